"""Which project of a team what is asked for is charged to: the one that is named, or the only one that the asker acts in."""

from api.deps import House
from factory_infra.errors import Forbidden, InvalidInput
from factory_infra.paas.tenants.models import Principal


async def project_of(asker: Principal, tenant: str | None, named: str, held: House) -> str:
    """The project; empty for none.

    Raises NotFound where the team has none of that name, Forbidden for another than a key's own, InvalidInput for one of no team.
    """
    own = asker.project
    if own and named not in {"", own}:
        raise Forbidden(f"This key is of the project '{own}'.", remedy="Leave the project out, or use another key.", code="project_other")
    if not named or named == own:
        return own
    if tenant is None:
        raise InvalidInput("A project is a team's.", remedy="Name the team as well.")
    return (await held.factory.organisations.project(tenant, named)).name

"""Who may order organisations and teams: administrators of the installation, and people who administer that place."""

from api.deps import House
from factory_infra.errors import Forbidden, InvalidInput, NotFound
from factory_infra.paas.tenants.models import Principal, Role
from factory_infra.paas.tenants.structure import Place


def check_managing(asker: Principal, place: Place) -> None:
    """Raise Forbidden, alike for a place that is not there, unless the asker administers it; InvalidInput for no place."""
    if place.tenant is None and place.organisation is None:
        raise InvalidInput("It must be said where: in which organisation or team.", remedy="Name one of the two.")
    needed = f"organisation/{place.organisation}" if place.tenant is None else f"team/{place.tenant}"
    if asker.role is not Role.ADMIN and needed not in asker.manages:
        remedy = "Ask an administrator of it, or of the installation."
        raise Forbidden(f"You do not administer {needed.replace('/', ' ')}.", remedy=remedy, code="not_managed")


def may_see(asker: Principal, place: Place) -> bool:
    """Whether an asker sees who and what is in a place: who administers it, and approvers of the team."""
    if asker.role is Role.ADMIN or (place.organisation is not None and f"organisation/{place.organisation}" in asker.manages):
        return True
    own = place.tenant is not None and place.tenant == asker.tenant and asker.role.reaches(Role.APPROVER)
    return own or f"team/{place.tenant}" in asker.manages


async def team_named(asker: Principal, tenant: str | None, held: House) -> str:
    """The team that is meant: the one that is named, else the asker's own. Raises NotFound for another's, InvalidInput for none."""
    name = tenant or asker.tenant
    if name is None:
        raise InvalidInput("An administrator's key belongs to no team.", remedy="Name the team.")
    if asker.tenant is not None and name != asker.tenant and f"team/{name}" not in asker.manages:
        raise NotFound(f"There is no team '{name}'.", code="team_unknown", remedy="Leave the team out to see your own.")
    return name

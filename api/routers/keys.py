"""Keys: make, list, rotate, revoke."""

from collections.abc import Sequence

from fastapi import APIRouter

from api.deps import PERSON, ApproverDep, House, HouseDep, PageDep, ScopeDep, scope
from api.schemas.keys import IssuedKey, NewKey, NewTeamKey, Rotation
from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput, NotFound
from factory_infra.paas.tenants.authority import check_caring, check_making
from factory_infra.paas.tenants.directory import Granted
from factory_infra.paas.tenants.models import ApiKey, KeyFilter, KeyState, KeyTerms, Principal, Scope
from factory_infra.paas.tenants.permissions import CALL_MODELS, grants

router = APIRouter(prefix="/v1", tags=["keys"])


@router.post("/keys", status_code=201)
async def make_key(body: NewKey, asker: ApproverDep, held: HouseDep) -> IssuedKey:
    """Make a key; its secret is shown now and never again. An approver makes keys of the team's viewers, users and operators."""
    return await made(held, asker, scope(asker, body.tenant), body)


@router.post("/tenants/{tenant}/keys", status_code=201)
async def issue_key(tenant: str, body: NewTeamKey, asker: ApproverDep, held: HouseDep) -> IssuedKey:
    """Make a key of a team; its secret is shown now and never again."""
    return await made(held, asker, scope(asker, tenant), body)


async def made(held: House, asker: Principal, tenant: str | None, body: NewTeamKey, account: str = "") -> IssuedKey:
    """Make a key if the asker's own key reaches so far. What a role of one's own counts as is for the role to say, not for the body."""
    tenants, role = held.factory.tenants, body.role
    terms = body.terms.model_copy(update={"account": account})
    if body.custom_role:
        granted = await custom(held, tenant, body.custom_role)
        role = granted.counts_as
        terms = terms.model_copy(update={"scopes": opened(terms, granted)})
    check_making(await shown_key(asker, held), role, terms, body.expires_at)
    key, secret = await tenants.issue_key(tenant, body.name, role, body.expires_at, terms)
    return IssuedKey(key=key, secret=secret)


def opened(terms: KeyTerms, granted: Granted) -> frozenset[Scope]:
    """What a key with a role of one's own opens: models only where the role has `models:call`. Raises InvalidInput for nothing."""
    if grants(granted.permissions or (), CALL_MODELS):
        return terms.scopes
    left = terms.scopes - {"gateway"}
    if not left:
        remedy = f"Give the role the permission {CALL_MODELS}, or make a key with the role user."
        raise InvalidInput("This role does not call models.", remedy=remedy, code="scope_missing")
    return left


async def custom(held: House, tenant: str | None, name: str) -> Granted:
    """What a role of a team's own gives. Raises NotFound where there is none."""
    granted = await held.factory.directory.granted(tenant, name) if tenant is not None else None
    if granted is None or not granted.permissions:
        raise NotFound(f"There is no role '{name}' there.", remedy="List the roles with GET /v1/roles.", code="role_unknown")
    return granted


async def shown_key(asker: Principal, held: House) -> ApiKey:
    """The key that was shown, or what a person's standing would be as one."""
    if not asker.key_id.startswith(PERSON):
        return (await held.factory.tenants.key(asker.key_id, asker.tenant)).model_copy(update={"role": asker.role})
    told = asker.model_dump(include={"tenant", "name", "role", "project", "custom_role"})
    # The API cannot tell a project's jobs and plans from the team's others: who is in a project only hands out keys for models.
    scopes = {"scopes": ["gateway"]} if asker.project else {}
    return ApiKey(id=asker.key_id, **told, **scopes, created_at=utcnow(), expires_at=None, revoked_at=None)


@router.get("/keys")
async def list_keys(  # noqa: PLR0913 - each is a filter of its own
    asker: ApproverDep, held: HouseDep, tenant: ScopeDep, page: PageDep, project: str | None = None, state: KeyState | None = None
) -> Sequence[ApiKey]:
    """List keys without their secrets, oldest first."""
    return await held.factory.tenants.keys(tenant, KeyFilter(project=project, state=state), page.limit, page.offset)


@router.post("/keys/{key_id}/rotate")
async def rotate_key(key_id: str, body: Rotation, asker: ApproverDep, held: HouseDep) -> IssuedKey:
    """Give a key a new secret under the same id; the secret of now stays good until the overlap ends."""
    tenants = held.factory.tenants
    await cared_for(key_id, asker, held)
    turned = await tenants.key(key_id, asker.tenant)
    if turned.state is KeyState.ACTIVE:  # of any other, rotating itself says what is wrong
        check_making(await shown_key(asker, held), turned.role, terms_of(turned), turned.expires_at)
    key, secret = await tenants.rotate_key(key_id, body.overlap_seconds)
    return IssuedKey(key=key, secret=secret)


@router.delete("/keys/{key_id}", status_code=204)
async def revoke_key(key_id: str, asker: ApproverDep, held: HouseDep) -> None:
    """Revoke a key: its next request is refused, in every process."""
    await cared_for(key_id, asker, held)
    await held.factory.tenants.revoke_key(key_id)


def terms_of(key: ApiKey) -> KeyTerms:
    """What a key is bound to: a new secret of it is handed out like a new key."""
    models = None if key.models is None else frozenset(key.models)
    return KeyTerms(project=key.project, models=models, scopes=frozenset(key.scopes), custom_role=key.custom_role, account=key.account)


async def cared_for(key_id: str, asker: Principal, held: House) -> None:
    """Raise NotFound for a key that the asker does not see, Forbidden for one that is not theirs to care for."""
    key = await held.factory.tenants.key(key_id, asker.tenant)
    check_caring(await shown_key(asker, held), key.role)

"""Keys: make, list, rotate, revoke."""

from collections.abc import Sequence

from fastapi import APIRouter

from api.deps import ApproverDep, House, HouseDep, PageDep, ScopeDep, scope
from api.schemas.keys import IssuedKey, NewKey, NewTeamKey, Rotation
from factory_infra.paas.tenants.authority import check_caring, check_making
from factory_infra.paas.tenants.models import ApiKey, KeyFilter, KeyState, KeyTerms, Principal

router = APIRouter(prefix="/v1", tags=["keys"])


@router.post("/keys", status_code=201)
async def make_key(body: NewKey, asker: ApproverDep, held: HouseDep) -> IssuedKey:
    """Make a key; its secret is shown now and never again. An approver makes keys of the team's viewers and users."""
    return await made(held, asker, scope(asker, body.tenant), body)


@router.post("/tenants/{tenant}/keys", status_code=201)
async def issue_key(tenant: str, body: NewTeamKey, asker: ApproverDep, held: HouseDep) -> IssuedKey:
    """Make a key of a team; its secret is shown now and never again."""
    return await made(held, asker, scope(asker, tenant), body)


async def made(held: House, asker: Principal, tenant: str | None, body: NewTeamKey) -> IssuedKey:
    """Make a key if the asker's own key reaches so far."""
    tenants = held.factory.tenants
    check_making(await tenants.key(asker.key_id, asker.tenant), body.role, body.terms, body.expires_at)
    key, secret = await tenants.issue_key(tenant, body.name, body.role, body.expires_at, body.terms)
    return IssuedKey(key=key, secret=secret)


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
        check_making(await tenants.key(asker.key_id, asker.tenant), turned.role, terms_of(turned), turned.expires_at)
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
    return KeyTerms(project=key.project, models=models, scopes=frozenset(key.scopes))


async def cared_for(key_id: str, asker: Principal, held: House) -> None:
    """Raise NotFound for a key that the asker does not see, Forbidden for one that is not theirs to care for."""
    key = await held.factory.tenants.key(key_id, asker.tenant)
    check_caring(await held.factory.tenants.key(asker.key_id, asker.tenant), key.role)

"""Endpoints: list, show, ask, feedback, health, and requests that are kept by consent."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.deps import ApproverDep, HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep, scope
from api.schemas.endpoints import ConsentChange, Rows, Truth
from factory_infra.errors import InvalidInput
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.paas.deployments.models import Endpoint, Prediction
from factory_infra.paas.deployments.request_log import Consent, LoggedRequest
from factory_infra.paas.deployments.scaling import EndpointHealth, Scaling
from factory_infra.paas.deployments.vllm import VllmBlueprint, VllmOrder, blueprint
from factory_infra.second_wall import everything
from tools.traffic import entry_id

router = APIRouter(prefix="/v1/endpoints", tags=["deployments"])
EndpointTeam = Annotated[str, Path(max_length=63)]
EndpointName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


@router.get("")
async def list_endpoints(held: HouseDep, tenant: ScopeDep) -> list[Endpoint]:
    """List live endpoints."""
    return await held.factory.deployments.list(tenant)


@router.get("/{tenant}/{name}")
async def get_endpoint(tenant: str, name: str, asker: PrincipalDep, held: HouseDep) -> Endpoint:
    """Show an endpoint."""
    return await held.factory.deployments.get(scope(asker, tenant) or tenant, name)


@router.post("/{tenant}/{name}/predict")
async def predict(tenant: str, name: str, body: Rows, asker: UserDep, held: HouseDep) -> Prediction:
    """Ask an endpoint of one's own team, or one that it was granted. The answer names the version that gave it."""
    if asker.tenant not in (None, tenant) and await held.factory.access.granted(asker.tenant, entry_id(tenant, name)):
        with everything():
            return await held.factory.deployments.predict(tenant, name, body.rows)
    return await held.factory.deployments.predict(scope(asker, tenant) or tenant, name, body.rows)


@router.post("/{tenant}/{name}/feedback", status_code=204)
async def feedback(tenant: str, name: str, body: Truth, asker: UserDep, held: HouseDep) -> None:
    """Tell what was true: the accuracy of a roll-out's candidate is judged by it."""
    await held.factory.deployments.traffic.feedback(scope(asker, tenant) or tenant, name, body.feedback())


@router.get("/{tenant}/{name}/health")
async def health(tenant: str, name: str, asker: PrincipalDep, held: HouseDep) -> EndpointHealth:
    """Ask each server of an endpoint whether it is up, and tell what the last minute's requests were like."""
    return await held.factory.scaler.health(scope(asker, tenant) or tenant, name)


@router.get("/{tenant}/{name}/scaling")
async def scaling(tenant: str, name: str, asker: PrincipalDep, held: HouseDep) -> Scaling:
    """How an endpoint's servers grow and shrink, and how many there are. It is set by a plan: see the tools over deployments."""
    return await held.factory.scaler.get(scope(asker, tenant) or tenant, name)


@router.get("/{tenant}/{name}/consent")
async def get_consent(tenant: str, name: str, asker: PrincipalDep, held: HouseDep) -> Consent:
    """Say whether an endpoint's requests are kept."""
    return await held.factory.request_log.consent(scope(asker, tenant) or tenant, name)


@router.put("/{tenant}/{name}/consent")
async def set_consent(tenant: str, name: str, body: ConsentChange, asker: ApproverDep, held: HouseDep) -> Consent:
    """Have requests kept for some days from now on; without days nothing is kept, and what was kept is forgotten at once."""
    wanted = Consent(tenant=scope(asker, tenant) or tenant, endpoint=name, days=body.days, share=body.share, set_by=asker.actor)
    return await held.factory.request_log.set_consent(wanted)


@router.post("/{tenant}/{name}/vllm")
async def vllm(tenant: EndpointTeam, name: EndpointName, body: VllmOrder, asker: UserDep, held: HouseDep) -> VllmBlueprint:
    """Draw the blueprint of a language model behind vLLM in a cluster: manifests, commands, the gateway's entry. Nothing is made."""
    team = await held.factory.tenants.get(scope(asker, tenant) or tenant)
    pool = held.factory.pools.named(body.pool)
    if not isinstance(pool, KubernetesPool):
        raise InvalidInput(f"Pool '{pool.name}' is no Kubernetes cluster.", remedy="Name one that is.", code="pool_serves_not")
    return blueprint(pool, team.name, name, body)


@router.get("/{tenant}/{name}/requests")
async def list_requests(  # noqa: PLR0913 - each is a part of the address or a filter
    tenant: str,
    name: str,
    asker: ApproverDep,
    held: HouseDep,
    page: PageDep,
    since: Annotated[datetime | None, Query(description="Only those from this moment on.")] = None,
) -> list[LoggedRequest]:
    """Open kept requests with their answers, newest first."""
    return await held.factory.request_log.recent(scope(asker, tenant) or tenant, name, since, page.limit, page.offset)

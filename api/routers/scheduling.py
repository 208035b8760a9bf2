"""Why something waits, and what would become of a lease if it were asked for."""

from fastapi import APIRouter

from api.deps import HouseDep, PrincipalDep, scope
from api.routers.factory import owner
from api.schemas.scheduling import ForeseenLease, ForeseeQuestion
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.scheduling.answers import Why
from factory_infra.paas.tenants.models import PLATFORM

router = APIRouter(prefix="/v1", tags=["scheduling"])


@router.get("/leases/{lease_id}/why")
async def why_lease(lease_id: str, asker: PrincipalDep, held: HouseDep) -> Why:
    """Tell why a lease waits, when it should begin, and what would let it begin sooner."""
    return await held.factory.scheduling.why(lease_id, asker.tenant)


@router.get("/jobs/{job_id}/why")
async def why_job(job_id: str, asker: PrincipalDep, held: HouseDep) -> Why:
    """Tell why a job does not run yet: for its lease, or for its engine."""
    return await held.factory.scheduling.why_job(job_id, await owner(job_id, asker, held))


@router.post("/scheduling/foresee")
async def foresee(body: ForeseeQuestion, asker: PrincipalDep, held: HouseDep) -> ForeseenLease:
    """Tell what would become of a lease if it were asked for now: will it begin, when, for how much. Nothing is done."""
    tenant = scope(asker, body.tenant) or PLATFORM
    request = LeaseRequest(tenant=tenant, key="foresee", **body.model_dump(exclude={"tenant"}))
    found = await held.factory.scheduling.foresee(request)
    return ForeseenLease(currency=held.factory.metering.prices.currency, **found.model_dump())

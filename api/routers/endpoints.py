"""Endpoints: list, show, ask."""

from fastapi import APIRouter

from api.deps import HouseDep, PrincipalDep, ScopeDep, UserDep, scope
from api.schemas.endpoints import Rows
from factory_infra.paas.deployments.models import Endpoint, Prediction

router = APIRouter(prefix="/v1/endpoints", tags=["deployments"])


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
    """Ask the live version. The address stays the same when the version changes."""
    return await held.factory.deployments.predict(scope(asker, tenant) or tenant, name, body.rows)

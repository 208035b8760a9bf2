"""The installation itself: health, metrics, where its other faces are."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from api.deps import HouseDep, PrincipalDep
from factory_infra.paas.kpis.exposition import exposition

router = APIRouter(prefix="/v1", tags=["system"])


class Health(BaseModel):
    """Whether the API reaches what it needs."""

    status: str


class Links(BaseModel):
    """Where Temporal's and MLflow's own pages are, and which model thinks."""

    temporal_url: str | None
    temporal_namespace: str
    mlflow_url: str | None
    model: str


@router.get("/health")
async def health(held: HouseDep) -> Health:
    """Answer once the database and Temporal answer."""
    await held.factory.database.ping()
    await held.temporal.service_client.check_health()
    return Health(status="ok")


@router.get("/links")
async def links(asker: PrincipalDep, held: HouseDep) -> Links:
    """Tell the console where to link to."""
    settings, model = held.factory.settings, held.factory.chat_model
    return Links(
        temporal_url=settings.temporal_ui_url,
        temporal_namespace=settings.temporal_namespace,
        mlflow_url=settings.mlflow_url,
        model=model.name if model else "none",
    )


@router.get("/metrics", include_in_schema=False)
async def metrics(asker: PrincipalDep, held: HouseDep) -> Response:
    """Prometheus metrics of this process; for an administrator also the newest key figures."""
    told = generate_latest()
    if asker.tenant is None:
        told += exposition(await held.factory.alerts.shown())
    return Response(told, media_type=CONTENT_TYPE_LATEST)

"""Key figures: measured over any window, alerts on objectives, counterfactuals. Of all teams together, so for administrators."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime

from api.deps import AdminDep, HouseDep, PageDep
from api.schemas.kpis import LogRead
from factory_infra.paas.kpis.models import Alert, FixedCounterfactual, Kpi, KpiPage, NewCounterfactual

router = APIRouter(prefix="/v1/kpis", tags=["kpis"])
Since = Annotated[AwareDatetime | None, Query(description="Where the window begins; 30 days before its end if left out.")]
Until = Annotated[AwareDatetime | None, Query(description="Where it ends, that moment not included; now if left out.")]


@router.get("")
async def show_kpis(
    asker: AdminDep,
    held: HouseDep,
    since: Since = None,
    until: Until = None,
    name: Annotated[list[str] | None, Query(max_length=20, description="Only these.")] = None,
) -> KpiPage:
    """Show every key figure with its numerator, denominator, exclusions and bounds."""
    return await held.factory.kpis.page(since, until, name or [])


@router.get("/alerts")
async def list_alerts(
    asker: AdminDep, held: HouseDep, page: PageDep, open_only: Annotated[bool, Query(description="Only those that stand.")] = False
) -> list[Alert]:
    """List alerts on objectives, newest first."""
    return await held.factory.kpis.alerts(open_only=open_only, limit=page.limit, offset=page.offset)


@router.get("/counterfactuals")
async def list_counterfactuals(asker: AdminDep, held: HouseDep, page: PageDep) -> list[FixedCounterfactual]:
    """List what costs are compared with, newest first."""
    return await held.factory.kpis.counterfactuals(limit=page.limit, offset=page.offset)


@router.post("/counterfactuals", status_code=201)
async def fix_counterfactual(body: NewCounterfactual, asker: AdminDep, held: HouseDep) -> FixedCounterfactual:
    """Fix what slots would cost otherwise: it is dated now, cannot be changed, and counts for windows that begin later."""
    return await held.factory.kpis.fix(body, asker.actor)


@router.post("/rebuild")
async def rebuild(asker: AdminDep, held: HouseDep) -> LogRead:
    """Make the kept sums anew from the log, which the worker reads on. A long log takes minutes, in which there are no figures."""
    progress = await held.factory.kpis.rebuild()
    return LogRead(events=progress.events, whole=progress.whole, at=progress.at)


@router.get("/{name}")
async def show_kpi(
    name: Annotated[str, Path(max_length=40)], asker: AdminDep, held: HouseDep, since: Since = None, until: Until = None
) -> Kpi:
    """Show one figure, with the statement that gives the same from the log itself."""
    return await held.factory.kpis.get(name, since, until)

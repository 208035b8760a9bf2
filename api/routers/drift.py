"""Drift: what is watched, what was found, what is open."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.deps import HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.routers.features import TeamQuery, team
from api.schemas.features import Checked, NewMonitor
from factory_infra.errors import InvalidInput
from factory_infra.paas.features.drift_models import Alert, Check, Monitor
from factory_infra.paas.features.models import NAME_PATTERN
from workflows.proposal import Starter
from workflows.retraining import answer

router = APIRouter(prefix="/v1/features", tags=["features"])
MonitorPath = Annotated[str, Path(pattern=NAME_PATTERN, max_length=40)]


@router.get("/monitors")
async def list_monitors(held: HouseDep, tenant: ScopeDep, page: PageDep) -> list[Monitor]:
    """List what is watched for drift, with the last verdicts."""
    return await held.factory.drift.book.list(tenant, page.limit, page.offset)


@router.get("/monitors/{name}")
async def get_monitor(name: MonitorPath, asker: PrincipalDep, held: HouseDep, tenant: TeamQuery = None) -> Monitor:
    """Show a monitor with its revision."""
    return await held.factory.drift.book.get(team(asker, tenant), name)


@router.put("/monitors/{name}")
async def define(name: MonitorPath, body: NewMonitor, asker: UserDep, held: HouseDep, tenant: TeamQuery = None) -> Monitor:
    """Watch something, or change what is watched: a change names the revision that it was made from."""
    if body.spec.name != name:
        raise InvalidInput(f"The monitor is called {body.spec.name} there and {name} in the address.", remedy="Use one name.")
    return await held.factory.drift.define(team(asker, tenant), body.spec, asker.name, body.revision)


@router.delete("/monitors/{name}", status_code=204)
async def remove(name: MonitorPath, asker: UserDep, held: HouseDep, tenant: TeamQuery = None) -> None:
    """Watch no more; what was found stays."""
    await held.factory.drift.book.remove(team(asker, tenant), name)


@router.post("/monitors/{name}/check")
async def check(name: MonitorPath, asker: UserDep, held: HouseDep, tenant: TeamQuery = None) -> Checked:
    """Compare now, outside the schedule: what is found is kept, and drift becomes an alert and a plan, as by the schedule."""
    monitor = await held.factory.drift.book.get(team(asker, tenant), name)
    found, alert = await held.factory.drift.check(monitor)
    if alert is not None:
        alert = await answer(Starter(held.factory, held.temporal, held.task_queue), alert, monitor)
    return Checked(check=found, alert=alert)


@router.get("/monitors/{name}/checks")
async def list_checks(name: MonitorPath, asker: PrincipalDep, held: HouseDep, page: PageDep, tenant: TeamQuery = None) -> list[Check]:
    """List what was found, newest first."""
    return await held.factory.drift.book.checks(team(asker, tenant), name, page.limit, page.offset)


@router.get("/alerts")
async def list_alerts(
    held: HouseDep, tenant: ScopeDep, page: PageDep, every: Annotated[bool, Query(description="Closed ones too.")] = False
) -> list[Alert]:
    """List drift that is not answered yet, newest first, with the plan that answers each."""
    return await held.factory.drift.book.alerts(tenant, every=every, limit=page.limit, offset=page.offset)

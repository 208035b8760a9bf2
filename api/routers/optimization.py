"""Costs: who used what, what stood idle, the plan that mends it, what will be needed, and how it is bought best."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from api.deps import HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.routers.tools import answer
from api.schemas.optimization import CapacityQuery, DaysQuery, Dismissal, FindingsQuery, by_words
from api.schemas.tools import Proposed
from factory_infra.paas.optimization.budgets import Budget
from factory_infra.paas.optimization.findings import Finding
from factory_infra.paas.optimization.focus import csv_lines, parquet_bytes, rows
from factory_infra.paas.optimization.forecast_models import CapacityReport
from factory_infra.paas.optimization.mix_models import MixAnswer, MixAsk
from factory_infra.paas.optimization.models import Allocation, Dimension, IdleReport, IdleRule
from factory_infra.paas.optimization.service import Owner
from workflows.proposal import Starter
from workflows.saving import fix

router = APIRouter(prefix="/v1/costs", tags=["costs"])
DaysDep = Annotated[DaysQuery, Depends()]
ByDep = Annotated[Sequence[Dimension], Depends(by_words)]
FindingsDep = Annotated[FindingsQuery, Depends()]
CapacityDep = Annotated[CapacityQuery, Query()]


@router.get("/allocation")
async def get_allocation(held: HouseDep, tenant: ScopeDep, days: DaysDep, by: ByDep) -> Allocation:
    """Show what was charged, broken down as `by` says; each amount is in one line, and the lines are the ledger, to the last digit."""
    return await held.factory.optimization.allocation(days.period, Owner(tenant), by)


@router.get("/idle")
async def get_idle(held: HouseDep, tenant: ScopeDep, days: DaysDep, rule: IdleRule | None = None) -> IdleReport:
    """Show what stood unleased and who is shown it, by a stated rule, and what was leased and not used."""
    return await held.factory.optimization.idle(days.period, Owner(tenant), rule)


@router.get("/focus.csv", response_class=Response)
async def get_focus_csv(held: HouseDep, tenant: ScopeDep, days: DaysDep) -> Response:
    """Export charges as CSV in FOCUS 1.2; `BilledCost` adds up to the ledger."""
    optimization = held.factory.optimization
    charges = await optimization.charges(days.period, Owner(tenant))
    lines = csv_lines(rows(charges, optimization.currency))
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=named(tenant, days, "csv"))


@router.get("/focus.parquet", response_class=Response)
async def get_focus_parquet(held: HouseDep, tenant: ScopeDep, days: DaysDep) -> Response:
    """The same as Parquet."""
    optimization = held.factory.optimization
    charges = await optimization.charges(days.period, Owner(tenant))
    content = await asyncio.to_thread(parquet_bytes, rows(charges, optimization.currency))
    return Response(content, media_type="application/vnd.apache.parquet", headers=named(tenant, days, "parquet"))


def named(tenant: str | None, days: DaysQuery, suffix: str) -> dict[str, str]:
    """The name that a file is kept under."""
    name = f"focus-{tenant or 'all'}-{days.period.since}-{days.period.until}.{suffix}"
    return {"content-disposition": f'attachment; filename="{name}"'}


@router.get("/findings")
async def list_findings(held: HouseDep, tenant: ScopeDep, page: PageDep, wanted: FindingsDep) -> list[Finding]:
    """List what is paid for and not needed, what saves most first."""
    found = await held.factory.findings.list(Owner(tenant), wanted.limits, every=wanted.every)
    return [each for each in found if wanted.kind in (None, each.kind)][page.offset : page.offset + page.limit]


@router.post("/findings/{finding_id}/fix", status_code=202)
async def fix_finding(finding_id: str, asker: UserDep, held: HouseDep) -> Proposed:
    """Propose the plan that mends a finding; it is priced, judged and decided like any other."""
    return answer(await fix(Starter(held.factory, held.temporal, held.task_queue), finding_id, asker))


@router.post("/findings/{finding_id}/dismiss")
async def dismiss_finding(finding_id: str, body: Dismissal, asker: UserDep, held: HouseDep) -> Finding:
    """Leave a finding out of lists, for some days or for good."""
    return await held.factory.findings.dismiss(finding_id, Owner(asker.tenant), body.reason, body.days, asker.actor)


@router.get("/budgets")
async def list_budgets(held: HouseDep, tenant: ScopeDep, page: PageDep) -> list[Budget]:
    """List budgets with what is taken of each and when it ends at the pace of the last seven days, the most used first."""
    return [*await held.factory.budgets.list(Owner(tenant))][page.offset : page.offset + page.limit]


@router.get("/capacity")
async def get_capacity(held: HouseDep, asker: PrincipalDep, ask: CapacityDep) -> CapacityReport:
    """Foresee what a pool will be asked for, by team, when it is full, and how much is best reserved. A team sees its own line."""
    return await held.factory.capacity.plan(ask.asked(), Owner(asker.tenant), fresh=ask.fresh)


@router.post("/mix")
async def compare_mixes(body: MixAsk, asker: PrincipalDep, held: HouseDep) -> MixAnswer:
    """Simulate the past of a pool, or made-up work, with mixes of reserved, spot and on-demand machines. Nothing real changes."""
    return await held.factory.mixes.compare(body, Owner(asker.tenant))

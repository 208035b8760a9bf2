"""Entries say what they cost by the ledger: a model to make, a pipeline to run; and nothing where nothing is known."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import update

from factory_infra.database import Database
from factory_infra.paas.catalog.models import Badge, CatalogEntry, Filters, Viewer
from factory_infra.paas.catalog.service import Catalog
from factory_infra.paas.optimization.cost_badges import CostBadges, rounded
from factory_infra.paas.optimization.models import Allocation, AllocationLine, Charge, Days, Dimension, Taken
from factory_infra.paas.training.pipelines.definitions import Pipelines
from factory_infra.paas.training.pipelines.models import NewRun
from factory_infra.paas.training.pipelines.reading import read
from factory_infra.paas.training.pipelines.runs import PipelineRuns
from factory_infra.paas.training.pipelines.shelf import Shelf
from factory_infra.paas.training.pipelines.tables import RunRow

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
VISION = Viewer.of("vision")
GOOD = Badge(name="quality", value="accuracy 98.0%", level="good")


class Books:
    """A ledger that was told what plans were charged."""

    currency = "EUR"

    def __init__(self, **charged: str) -> None:
        self.charged = {plan.replace("_", "-"): Decimal(amount) for plan, amount in charged.items()}

    async def allocated(self, days: Days, by: Sequence[Dimension], team: str | None = None) -> Allocation:
        lines = [
            AllocationLine(team="vision", plan=plan, unit=unit, charges=1, quantity=Decimal(1), quantity_out=Decimal(0), amount=amount / 2)
            for plan, amount in self.charged.items()
            for unit in ("slot_seconds", "tokens")
        ]
        total = sum(self.charged.values(), Decimal(0))
        return Allocation(
            since=days.since, until=days.until, team=team, currency="EUR", by=list(by), lines=lines, total=total, ledger_total=total
        )

    async def charges(self, days: Days, team: str | None = None) -> Sequence[Charge]:
        return []

    async def budgets(self, since: datetime, team: str | None = None) -> Sequence[Taken]:
        return []

    def hour_price(self, slot_kind: str, accelerator: str, price_class: str, at: datetime) -> Decimal | None:
        return None


def model(name: str, plan: str, tenant: str = "vision") -> CatalogEntry:
    return CatalogEntry(
        id=f"model/{tenant}/{name}", kind="model", tenant=tenant, name=name, description="M.", badges=[GOOD], facts={"plan_id": plan}
    )


async def cost(catalog: Catalog, entry_id: str) -> list[str]:
    return [each.value for each in (await catalog.get(entry_id, Viewer(teams=None))).badges if each.name == "cost"]


@pytest.mark.stack
async def test_a_model_says_what_its_plan_was_charged(database: Database) -> None:
    catalog = Catalog(database)
    for entry in (model("reader", "plan-1"), model("free", "plan-2"), model("theirs", "plan-1", "speech")):
        await catalog.put(entry)
    badges = CostBadges(database, catalog, Books(plan_1="12.5"))
    assert await badges.look(NOW) == 1
    assert await badges.look(NOW) == 0, "the same again changes nothing"
    entry = await catalog.get("model/vision/reader", VISION)
    assert [each.name for each in entry.badges] == ["quality", "cost"]
    assert entry.badges[1].value == "12.50 EUR to make" and "plan-1" in entry.badges[1].basis
    assert not await cost(catalog, "model/vision/free") and not await cost(catalog, "model/speech/theirs")
    assert [each.id for each in await catalog.list(VISION, Filters(badge="cost"))] == ["model/vision/reader"]
    assert await CostBadges(database, catalog, Books(plan_1="13")).look(NOW) == 1
    assert await cost(catalog, "model/vision/reader") == ["13.00 EUR to make"]


@pytest.mark.stack
async def test_a_pipeline_says_what_half_of_its_runs_are_charged_less_than(database: Database) -> None:
    catalog = Catalog(database)
    pipelines = Pipelines(database, Shelf(catalog).pipeline)
    runs = PipelineRuns(database, pipelines)
    await pipelines.apply("vision", read("pipeline: nightly\nsteps:\n  - {id: s, argv: [/bin/true]}\n", "p.yaml"), "ann")
    ids = []
    for number in range(4):
        wanted = NewRun(tenant="vision", pipeline="nightly", key=str(number), trigger="api", actor="ann", role="user")
        ids.append((await runs.ask(wanted)).id)
    for name, ended in zip(ids, (NOW, NOW, NOW - timedelta(days=2), NOW - timedelta(days=40)), strict=True):
        async with database.transaction() as session:
            await session.execute(update(RunRow).where(RunRow.id == name).values(state="done", ended_at=ended))
    charged = dict(zip((each.replace("-", "_") for each in ids), ("0.001", "0.004", "9", "800"), strict=True))
    assert await CostBadges(database, catalog, Books(**charged)).look(NOW) == 1
    assert await cost(catalog, "pipeline/vision/nightly") == ["0.004 EUR a run"]


@pytest.mark.stack
async def test_what_is_gone_gets_none(database: Database) -> None:
    catalog = Catalog(database)
    await catalog.put(model("reader", "plan-1"))
    await catalog.remove("model/vision/reader")
    assert await CostBadges(database, catalog, Books(plan_1="12.5")).look(NOW) == 0
    assert not await catalog.judge("model/vision/reader", GOOD)


@pytest.mark.parametrize(("amount", "shown"), [("1234.567", "1234.57"), ("0.00421", "0.0042"), ("0.5", "0.50"), ("0.000001", "< 0.0001")])
def test_amounts_at_a_glance(amount: str, shown: str) -> None:
    assert rounded(Decimal(amount)) == shown

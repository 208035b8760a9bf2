"""The page's numbers are those that other code counts from the raw events, over other logs and windows; and none is shown of too little."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.paas.kpis.facts import measured, window
from factory_infra.paas.kpis.metrics.book import METRICS
from factory_infra.paas.kpis.models import KpiPage, NewCounterfactual
from factory_infra.paas.kpis.service import Kpis
from tests.factory_infra.paas.kpis.life import BEGIN, lived
from tests.factory_infra.paas.kpis.logs import write
from tests.factory_infra.paas.kpis.recount import read, recounted

pytestmark = pytest.mark.stack

WINDOWS = (
    (BEGIN + timedelta(days=3), BEGIN + timedelta(days=33)),
    (BEGIN + timedelta(days=2, minutes=17, microseconds=3), BEGIN + timedelta(days=20, hours=5, seconds=1.5)),
    (
        (BEGIN + timedelta(days=9)).replace(minute=0, second=0, microsecond=0),
        (BEGIN + timedelta(days=39)).replace(hour=0, minute=0, second=0),
    ),
)


def differences(page: KpiPage, counted: dict[str, float]) -> dict[str, tuple[float | None, float]]:
    """Figures that are not what was counted."""
    return {
        kpi.name: (kpi.value, counted[kpi.name])
        for kpi in page.kpis
        if kpi.value is None or abs(kpi.value - counted[kpi.name]) > 1e-9 * max(abs(counted[kpi.name]), 1)
    }


@pytest.mark.parametrize("seed", [11, 12])
async def test_every_figure_is_what_other_code_counts_from_the_raw_events(database: Database, seed: int) -> None:
    events, kpis = lived(seed), Kpis(database)
    for part in range(0, len(events), 3000):
        await write(database, events[part : part + 3000])
        await kpis.aggregates.catch_up(batches=2, limit=700)
    await kpis.aggregates.catch_up(batches=100)
    for since, until in WINDOWS:
        page = await kpis.page(since, until)
        counted = recounted(await read(database, since, until))
        assert set(counted) == set(METRICS)
        assert not differences(page, counted), (since, until)
        assert all(each.numerator.words and each.denominator.words and each.definition for each in page.kpis)


async def test_a_changed_event_is_noticed_by_the_recount(database: Database) -> None:
    """The control: the recount is no copy of the sums."""
    kpis, (since, until) = Kpis(database), WINDOWS[0]
    await write(database, lived(13))
    await kpis.aggregates.catch_up(batches=100)
    async with database.transaction() as session:
        await session.execute(text("UPDATE events SET payload = payload || '{\"slots\": 90}' WHERE kind = 'lease.begun'"))
        await session.execute(text("UPDATE events SET at = at + interval '1 day' WHERE kind = 'node.mended'"))
    found = differences(await kpis.page(since, until), recounted(await read(database, since, until)))
    assert {"gpu_occupancy", "node_mtbf"} <= set(found)


async def test_an_empty_log_gives_no_number_and_says_why(database: Database) -> None:
    page = await Kpis(database).page()
    assert len(page.kpis) == len(METRICS) == 13
    for kpi in page.kpis:
        assert (kpi.value, kpi.met) == (None, None), kpi.name
        assert kpi.note, kpi.name


async def test_while_the_sums_are_made_there_is_no_number(database: Database) -> None:
    kpis = Kpis(database)
    await write(database, lived(14, size=40))
    await kpis.aggregates.advance(limit=10)
    _, progress = await kpis.aggregates.measure(window(*WINDOWS[0]))
    assert not progress.whole
    progress = await kpis.rebuild()
    assert progress.whole  # a short log is read at once


async def test_one_figure_comes_with_its_query_and_what_is_not_there_is_refused(database: Database) -> None:
    kpis, (since, until) = Kpis(database), WINDOWS[0]
    await write(database, lived(15, size=60))
    kpi = await kpis.get("self_service", since, until)
    async with database.transaction() as session:
        rows = (await (await session.connection()).exec_driver_sql(kpi.query)).all()
    assert sum(row.n for row in rows if row.dim.startswith(("done/policy", "done/team"))) == kpi.numerator.value
    with pytest.raises(NotFound, match="no figure"):
        await kpis.get("profit")
    with pytest.raises(InvalidInput, match="no window"):
        await kpis.page(until, since)


async def test_a_counterfactual_is_fixed_once_and_counts_for_later_windows_only(database: Database) -> None:
    kpis = Kpis(database)
    document = NewCounterfactual(name="list prices", currency="EUR", hourly={"gpu": 4.0, "cpu": 0.05})
    fixed = await kpis.fix(document, "admin")
    with pytest.raises(Conflict):
        await kpis.fix(document, "somebody")
    assert [each.digest for each in await kpis.counterfactuals()] == [fixed.digest]
    await write(database, lived(16, size=60))
    before = (await kpis.get("cost_reduction", fixed.fixed_at - timedelta(hours=1), fixed.fixed_at + timedelta(hours=1))).source
    later = await kpis.get("cost_reduction", fixed.fixed_at + timedelta(seconds=1), fixed.fixed_at + timedelta(hours=1))
    assert fixed.digest[:16] in later.source and fixed.digest[:16] not in before


async def test_the_pure_function_gives_the_same_figures(database: Database) -> None:
    events, kpis = lived(17, size=80), Kpis(database)
    await write(database, events)
    await kpis.aggregates.catch_up(batches=100)
    over = window(*WINDOWS[1])
    page, (found, _) = await kpis.page(*over), await kpis.aggregates.measure(over)
    pure = measured(events, over, found.counterfactuals)
    assert [METRICS[each.name].of(pure) for each in page.kpis] == page.kpis

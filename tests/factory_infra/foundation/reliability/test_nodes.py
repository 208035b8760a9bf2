"""Nodes in a real database: registered, doubted, drained, mended, replaced, and counted."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, NotFound
from factory_infra.foundation.reliability.health import Health, Trigger
from factory_infra.foundation.reliability.node_models import NodeAccelerator, NodeEvent, NodeFilter, NodeReport
from factory_infra.foundation.reliability.nodes import Nodes
from factory_infra.foundation.reliability.tables import EventRow, IncidentRow, NodeRow

pytestmark = pytest.mark.stack

POOL = "h100"
EIGHT = NodeReport(accelerator="H100", accelerators=[NodeAccelerator(index=index) for index in range(8)], driver="ok", cores=96)


def event(code: str, number: int = 1, **fields: object) -> NodeEvent:
    return NodeEvent.model_validate({"id": f"{code}-{number:08}", "code": code, "at": datetime(2026, 1, 1, tzinfo=UTC), **fields})


@pytest.fixture
async def nodes(database: Database) -> AsyncIterator[Nodes]:
    """Two nodes of a pool."""
    made = Nodes(database, host="elsewhere")
    for name in ("a", "b"):
        await made.report(POOL, name, EIGHT)
    yield made


async def health(nodes: Nodes, name: str = "a") -> Health:
    return (await nodes.get(POOL, name)).health


class TestReports:
    async def test_the_first_one_registers_and_the_next_changes_what_is_known(self, nodes: Nodes) -> None:
        found = await nodes.get(POOL, "a")
        assert (found.health, found.accelerator, found.accelerators, found.accelerators_ok) == (Health.HEALTHY, "H100", 8, 8)
        again = await nodes.report(POOL, "a", EIGHT.model_copy(update={"accelerators": EIGHT.accelerators[:7], "machine_id": "i-1"}))
        assert (again.accelerators, again.machine_id, again.first_seen_at) == (7, "i-1", found.first_seen_at)

    async def test_lists_are_filtered_and_paged(self, nodes: Nodes) -> None:
        await nodes.report("other", "c", EIGHT)
        assert [node.name for node in await nodes.list()] == ["a", "b", "c"]
        assert [node.name for node in await nodes.list(NodeFilter(pool=POOL), 1, 1)] == ["b"]
        assert await nodes.list(NodeFilter(health=Health.SUSPECT)) == []

    async def test_one_that_is_not_there_is_not_found(self, nodes: Nodes) -> None:
        for asked in (nodes.get(POOL, "z"), nodes.record(POOL, "z", [event("xid_79")]), nodes.history("z", "a"), nodes.figures(POOL, "z")):
            with pytest.raises(NotFound) as raised:
                await asked
            assert raised.value.error_code == "node_unknown"


class TestEvents:
    async def test_a_failure_takes_the_node_out_and_opens_one_incident(self, nodes: Nodes) -> None:
        assert await nodes.record(POOL, "a", [event("xid_79", accelerator=3), event("gpu_lost", accelerator=3)]) == 2
        assert await health(nodes) is Health.SUSPECT
        assert await nodes.unfit(POOL) == {"a"}
        (incident,) = await nodes.planless()
        assert (incident.code, incident.action, incident.reason) == (
            "xid_79",
            "replace",
            "The GPU has fallen off the bus on accelerator 3 (xid_79).",
        )
        told = await nodes.history(POOL, "a")
        assert {each.incident_id for each in told.events} == {incident.id}
        assert [(each.was, each.now) for each in told.moves] == [(Health.HEALTHY, Health.SUSPECT)]

    async def test_each_event_counts_once_by_its_id(self, nodes: Nodes) -> None:
        sent = [event("xid_79"), event("xid_79", 2)]
        assert await nodes.record(POOL, "a", sent) == 2
        assert await nodes.record(POOL, "a", [*sent, event("xid_79", 3)]) == 1
        assert len((await nodes.history(POOL, "a")).events) == 3

    async def test_two_senders_at_once_make_one_incident(self, nodes: Nodes) -> None:
        told = await asyncio.gather(*(nodes.record(POOL, "a", [event("xid_79")]) for _ in range(8)))
        assert sum(told) == 1
        assert len(await nodes.planless()) == 1

    async def test_a_programs_fault_leaves_the_node_alone(self, nodes: Nodes) -> None:
        await nodes.record(POOL, "a", [event("xid_31"), event("xid_13"), event("xid_43")])
        assert (await health(nodes), await nodes.unfit(POOL)) == (Health.HEALTHY, set())

    async def test_an_incident_grows_graver_until_it_has_a_plan(self, nodes: Nodes) -> None:
        await nodes.record(POOL, "a", [event("thermal")])
        assert await nodes.planless() == []
        await nodes.record(POOL, "a", [event("xid_95")])
        await nodes.record(POOL, "a", [event("thermal", 2)])
        (incident,) = await nodes.planless()
        assert (incident.code, incident.action) == ("xid_95", "drain")
        await nodes.planned(incident.id, "plan-1")
        await nodes.planned(incident.id, "plan-2")
        await nodes.record(POOL, "a", [event("xid_79")])
        assert await nodes.planless() == []
        assert [(each.code, each.plan_id) for each in (await nodes.history(POOL, "a")).incidents] == [("xid_95", "plan-1")]

    async def test_what_passes_by_itself_is_over_and_what_is_planned_is_not(self, nodes: Nodes) -> None:
        await nodes.record(POOL, "a", [event("thermal"), event("thermal", 2, recovered=True)])
        await nodes.record(POOL, "b", [event("gpu_lost"), event("gpu_lost", 2, recovered=True)])
        assert (await health(nodes, "a"), await health(nodes, "b")) == (Health.HEALTHY, Health.SUSPECT)
        assert (await nodes.history(POOL, "a")).incidents[0].closed_at is not None

    async def test_the_end_of_something_else_ends_nothing(self, nodes: Nodes) -> None:
        await nodes.record(POOL, "a", [event("thermal"), event("power_brake", recovered=True)])
        assert await health(nodes) is Health.SUSPECT

    async def test_old_ones_are_forgotten_unless_they_belong_to_an_incident(self, nodes: Nodes, database: Database) -> None:
        await nodes.record(POOL, "a", [event("xid_31"), event("xid_79")])
        async with database.transaction() as session:
            await session.execute(update(EventRow).values(received_at=utcnow() - timedelta(days=100)))
        await nodes.record(POOL, "a", [event("xid_13")])
        assert await nodes.forget() == 1
        assert {each.code for each in (await nodes.history(POOL, "a")).events} == {"xid_79", "xid_13"}


class TestSilence:
    async def test_a_node_that_is_not_heard_of_is_doubted_once_and_cleared_by_its_next_report(
        self, nodes: Nodes, database: Database
    ) -> None:
        async with database.transaction() as session:
            long_ago = utcnow() - timedelta(hours=1)
            await session.execute(update(NodeRow).where(NodeRow.name == "a").values(heartbeat_at=long_ago))
        assert await nodes.sweep() == ["a"]
        assert await nodes.sweep() == []
        assert await nodes.unfit(POOL) == {"a"}
        assert await nodes.planless() == []
        await nodes.report(POOL, "a", EIGHT)
        assert await nodes.unfit(POOL) == set()


class TestDrains:
    async def test_drained_and_resumed(self, nodes: Nodes) -> None:
        for _ in range(2):
            assert (await nodes.move(POOL, "a", Trigger.DRAIN, "Maintenance.", "ann")).health is Health.DRAINING
        assert await nodes.unfit(POOL) == {"a"}
        assert (await nodes.move(POOL, "a", Trigger.RESUME, "Done.", "ann")).health is Health.HEALTHY
        moves = (await nodes.history(POOL, "a")).moves
        assert [(each.trigger, each.actor) for each in moves] == [(Trigger.RESUME, "ann"), (Trigger.DRAIN, "ann")]

    async def test_undone_it_is_as_good_as_it_was(self, nodes: Nodes) -> None:
        await nodes.record(POOL, "a", [event("xid_79")])
        for name in ("a", "b"):
            await nodes.move(POOL, name, Trigger.DRAIN, "", "ann")
            await nodes.undrain(POOL, name, "Taken back.", "ann")
        assert (await health(nodes, "a"), await health(nodes, "b")) == (Health.SUSPECT, Health.HEALTHY)

    async def test_this_hosts_slots_are_those_of_no_node(self, database: Database) -> None:
        here = Nodes(database, host="here")
        await here.report("local", "here", EIGHT)
        await here.move("local", "here", Trigger.DRAIN, "", "ann")
        assert await here.unfit("local") == {"here", ""}
        assert await Nodes(database, host="elsewhere").unfit("local") == {"here"}


class TestReplacement:
    async def test_the_new_one_is_not_handed_out_before_it_is_found_good(self, nodes: Nodes) -> None:
        await nodes.record(POOL, "a", [event("xid_79")])
        await nodes.move(POOL, "a", Trigger.DRAIN, "", "ann")
        for _ in range(2):
            old = await nodes.succeed(POOL, "a", "c", "ann")
        assert (old.health, old.replaced_by) == (Health.RETIRED, "c")
        assert await nodes.unfit(POOL) == {"a", "c"}
        await nodes.report(POOL, "c", EIGHT)
        assert (await nodes.standing_for(POOL, "a")).name == "c"
        assert (await nodes.move(POOL, "c", Trigger.RESUME, "", "ann")).health is Health.HEALTHY
        assert (await nodes.history(POOL, "a")).incidents[0].closed_at is not None
        with pytest.raises(Conflict):
            await nodes.succeed(POOL, "a", "d", "ann")

    async def test_what_a_retired_node_tells_changes_nothing(self, nodes: Nodes) -> None:
        await nodes.move(POOL, "a", Trigger.DRAIN, "", "ann")
        await nodes.succeed(POOL, "a", "c", "ann")
        await nodes.report(POOL, "a", EIGHT)
        await nodes.record(POOL, "a", [event("xid_79")])
        assert (await health(nodes), await nodes.planless()) == (Health.RETIRED, [])


class TestFigures:
    async def test_failures_hours_and_repairs_are_added_up(self, nodes: Nodes, database: Database) -> None:
        now = utcnow()
        async with database.transaction() as session:
            await session.execute(update(NodeRow).values(first_seen_at=now - timedelta(hours=1000)))
        for number in range(4):
            await nodes.record(POOL, "a", [event("xid_79", number)])
            await nodes.move(POOL, "a", Trigger.RESUME, "", "ann")
        await nodes.record(POOL, "b", [event("xid_31"), event("thermal")])  # neither is a failure
        async with database.transaction() as session:
            failed = IncidentRow.severity == "failure"
            await session.execute(
                update(IncidentRow).where(failed).values(opened_at=now - timedelta(hours=3), closed_at=now - timedelta(hours=1))
            )
        pool = await nodes.figures(POOL)
        assert (pool.nodes, pool.accelerators, pool.node_mtbf.events) == (2, 16, 4)
        assert pool.node_mtbf.hours == pytest.approx((2000 - 8) / 4, rel=1e-3)
        assert pool.accelerator_mtbf.hours == pytest.approx(8 * (2000 - 8) / 4, rel=1e-3)
        assert pool.mttr.hours == pytest.approx(2)
        assert pool.mttr.events == 4
        sound = await nodes.figures(POOL, "b")
        assert (sound.node_mtbf.hours, sound.node_mtbf.hours_upper) == (None, None)
        assert sound.node_mtbf.hours_lower == pytest.approx(1000 / 2.302585, rel=1e-3)
        assert (await nodes.figures()).subject == "all pools"

    async def test_of_one_cluster(self, nodes: Nodes) -> None:
        await nodes.report(POOL, "a", EIGHT.model_copy(update={"cluster_id": "c-1"}))
        for name in ("a", "b"):
            await nodes.record(POOL, name, [event("xid_79", id=f"event-of-{name}")])
        told = await nodes.figures(cluster_id="c-1")
        assert (told.subject, told.nodes, told.node_mtbf.events) == ("cluster c-1", 1, 1)
        assert (await nodes.figures()).node_mtbf.events == 2

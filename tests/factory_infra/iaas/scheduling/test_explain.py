"""Why a workload waits, what would help, and what will be."""

import pytest

from factory_infra.errors import Conflict, NotFound
from factory_infra.iaas.scheduling.explain import advise, applied, foresee, why
from factory_infra.iaas.scheduling.models import Binding, Shape, Workload
from factory_infra.iaas.scheduling.queueing import Scheduler
from tests.factory_infra.iaas.scheduling.worlds import PLAIN, guaranteed, nodes, quotas, scheduler, started, submitted, work


def full() -> Scheduler:
    """Two machines: one is free, one runs until 100; a gang waits for both."""
    core = submitted(scheduler(), work("running", 8))
    core.decide(0.0)
    submitted(core, work("gang", 8, members=2, submitted_at=1.0))
    core.decide(1.0)
    return core


class TestWhy:
    def test_the_constraint_and_the_time(self) -> None:
        found = why(full(), "gang", 1.0)
        assert found.binding is Binding.GANG
        assert found.detail == "room for 1 of 2 members, and they start together; 'running' ends in 99 s"
        assert found.starts_at == 100.0
        assert found.starts_by is not None
        assert found.starts_by[0] <= 100.0 <= found.starts_by[1]

    def test_one_that_does_not_wait(self) -> None:
        with pytest.raises(NotFound):
            why(full(), "running", 1.0)

    @pytest.mark.parametrize(
        ("asked", "binding"),
        [
            (work("w", 9), Binding.NEVER_FITS),
            (work("w", 8, members=3), Binding.NEVER_FITS),
            (work("w", 8, pools=("nowhere",)), Binding.NEVER_FITS),
            (work("w", shape=Shape(0, 0, 1000, 1, frozenset({"B200"}))), Binding.NO_SUCH_TYPE),
            (work("w", shape=Shape(0, 0, 1000, 1, price_classes=frozenset({"spot"}))), Binding.PRICE_CLASS),
            (work("w", 1, not_before=500.0), Binding.NOT_BEFORE),
            (work("w", 4, members=4, topology="node"), Binding.NEVER_FITS),
            (work("w", 2, members=3, topology="node"), Binding.TOPOLOGY),
            (work("w", 6), Binding.FRAGMENTATION),
            (work("w", 8, "capped"), Binding.QUOTA),
            (work("w", 3, "capped/below"), Binding.QUOTA_OF_PARENT),
        ],
    )
    def test_every_constraint_has_its_name(self, asked: Workload, binding: Binding) -> None:
        core = scheduler(tree=quotas(guaranteed("capped", 2, borrowing=False), guaranteed("capped/below", 0)))
        submitted(core, work("one", 4), work("two", 4, pools=("pool",)))
        core.decide(0.0)
        if binding in (Binding.TOPOLOGY, Binding.FRAGMENTATION):
            core = scheduler()
            submitted(core, work("one", 5), work("two", 4), work("three", 4))
            core.decide(0.0)
            core.finish("three", 1.0)
        submitted(core, asked)
        core.decide(2.0)
        found = core.why("w")
        assert found.binding is binding, found
        assert found.detail


class TestAdvice:
    def test_fewer_members_start_now(self) -> None:
        core = full()
        found = advise(core, "gang", 1.0)
        assert found
        assert found[0].starts_at == 1.0
        assert found[0].words.endswith(": now")
        changed = applied(core, work("gang", 8, submitted_at=1.0, seconds=200.0))
        assert started(changed, 1.0) == ["gang"]

    def test_another_pool(self) -> None:
        core = scheduler(fleets={"a": nodes(1), "b": nodes(1, hourly_price=4.0)})
        submitted(core, work("running", 8, pools=("a",)))
        core.decide(0.0)
        submitted(core, work("w", 8, pools=("a",)))
        core.decide(0.0)
        found = {str(advice.change): advice for advice in advise(core, "w", 0.0)}
        advice = found["{'pools': ('b',)}"]
        assert advice.words == "pool b: now"
        assert advice.cost == pytest.approx(4.0 * 100 / 3600)

    def test_what_starts_at_once_needs_none(self) -> None:
        core = submitted(scheduler(), work("w"))
        assert advise(core, "w", 0.0) == []

    def test_the_scheduler_stays_as_it_is(self) -> None:
        core, other = full(), full()
        advise(core, "gang", 1.0)
        why(core, "gang", 1.0)
        assert core.decide(100.0) == other.decide(100.0)


class TestForesight:
    def test_it_would_start_at_once(self) -> None:
        core = scheduler(fleets={"pool": nodes(1, hourly_price=8.0)})
        found = foresee(core, work("w", 4, seconds=3600.0), 5.0)
        assert found.wait is None
        assert found.forecast is not None
        assert found.forecast.starts_at == 5.0
        assert found.cost == pytest.approx(4.0)
        assert core.pending == {}

    def test_it_would_wait(self) -> None:
        found = foresee(full(), work("w", 8, members=2, submitted_at=2.0), 2.0)
        assert found.forecast is not None
        assert found.forecast.starts_at == 200.0
        assert found.wait is not None
        assert found.wait.starts_at == 200.0

    def test_it_would_never_run(self) -> None:
        found = foresee(scheduler(), work("w", 8, members=3), 0.0)
        assert found.forecast is None
        assert found.wait is not None
        assert found.wait.binding is Binding.NEVER_FITS
        assert [advice.starts_at for advice in found.advice] == [0.0]

    def test_an_id_that_is_taken(self) -> None:
        with pytest.raises(Conflict):
            foresee(full(), work("gang"), 1.0)

    def test_an_interval_comes_from_past_forecasts(self) -> None:
        core = full()
        before = why(core, "gang", 1.0).starts_by
        core.learn(waits=[(1000.0, 1000.0)] * 400)
        found = why(core, "gang", 1.0)
        assert found.starts_at == 100.0
        assert found.starts_by == pytest.approx((100.0, 100.0), abs=1.0)
        assert before is not None
        assert before[0] < 60.0
        assert before[1] > 200.0, "wide before anything was seen"


def test_policy_without_backfill_says_so() -> None:
    core = scheduler(PLAIN.model_copy(update={"backfill": False, "order": "fifo"}))
    submitted(core, work("running", 8), work("head", 8, members=2), work("small", 1, submitted_at=1.0))
    core.decide(1.0)
    assert core.why("small").binding is Binding.PRIORITY

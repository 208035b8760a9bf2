"""What is reserved for the head of the line is not delayed, and what does not delay it goes first."""

import pytest

from factory_infra.iaas.scheduling import admission
from factory_infra.iaas.scheduling.policy import QuotaSpec
from factory_infra.iaas.scheduling.queueing import Scheduler
from tests.factory_infra.iaas.scheduling.worlds import PLAIN, guaranteed, nodes, quotas, scheduler, started, submitted, work


def blocked_head() -> Scheduler:
    """One of two machines is free until 100; the head of the line needs both."""
    core = submitted(scheduler(), work("running", 8))
    core.decide(0.0)
    submitted(core, work("head", 8, members=2, submitted_at=1.0))
    assert started(core, 1.0) == []
    assert core.reserved == ("head",)
    return core


class TestReservations:
    def test_a_short_one_goes_first(self) -> None:
        core = submitted(blocked_head(), work("short", 8, seconds=90.0, submitted_at=2.0))
        decision = core.decide(2.0)
        assert [(start.workload, start.backfilled) for start in decision.starts] == [("short", True)]

    def test_a_long_one_does_not(self) -> None:
        core = submitted(blocked_head(), work("long", 1, seconds=200.0, submitted_at=2.0))
        assert started(core, 2.0) == []
        core.finish("running", 100.0)
        assert started(core, 100.0) == ["head"]

    def test_without_it_the_head_is_delayed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(admission, "harms", lambda *_: False)
        core = submitted(blocked_head(), work("long", 1, seconds=200.0, submitted_at=2.0))
        assert started(core, 2.0) == ["long"]
        core.finish("running", 100.0)
        assert started(core, 100.0) == []

    def test_a_long_one_beside_what_is_reserved(self) -> None:
        core = submitted(scheduler(fleets={"pool": nodes(3)}), work("running", 8, members=2))
        core.decide(0.0)
        submitted(core, work("head", 8, members=2, submitted_at=1.0), work("long", 8, seconds=500.0, submitted_at=2.0))
        assert started(core, 2.0) == ["long"]
        core.finish("running", 100.0)
        assert started(core, 100.0) == ["head"]

    def test_an_early_end_moves_it_forward(self) -> None:
        core = blocked_head()
        core.finish("running", 50.0)
        assert started(core, 50.0) == ["head"]

    def test_the_caps_of_a_queue_are_kept_too(self) -> None:
        core = scheduler(PLAIN.model_copy(update={"starvation_seconds": 10.0}), quotas(guaranteed("a", 8, borrowing=False)))
        submitted(core, work("running", 6, "a"))
        core.decide(0.0)
        submitted(core, work("starved", 8, "a"), work("long", 2, "a", seconds=500.0, submitted_at=15.0))
        assert started(core, 15.0) == []
        core.finish("running", 100.0)
        assert started(core, 100.0) == ["starved"]

    def test_without_backfill_nobody_passes(self) -> None:
        core = submitted(scheduler(PLAIN.model_copy(update={"backfill": False, "order": "fifo"})), work("running", 8))
        core.decide(0.0)
        submitted(core, work("head", 8, members=2, submitted_at=1.0), work("short", 1, "other", seconds=1.0, submitted_at=2.0))
        assert started(core, 2.0) == []

    def test_a_reservation_is_entered_again(self) -> None:
        core = submitted(scheduler(), work("running", 8))
        core.decide(0.0)
        submitted(core, work("head", 8, members=2, submitted_at=1.0))
        assert core.reserve("head", 1.0)
        submitted(core, work("long", 1, "other", seconds=200.0, submitted_at=0.5))
        assert started(core, 2.0) == []

    def test_the_second_leaves_the_caps_to_the_first(self) -> None:
        # two pools, one cap of 8 GPUs: when `first` has started in its pool, `second` waits for the cap, though its seats are free before.
        two = PLAIN.model_copy(update={"reservations": 2, "order": "fifo"})
        tree = quotas(QuotaSpec(name="a", limit={"gpus": 8}))
        core = scheduler(two, tree, {"one": nodes(1), "two": nodes(1, model="A100")})
        submitted(core, work("busy-one", 8, "b", pools=("one",)), work("busy-two", 8, "b", pools=("two",)))
        core.decide(0.0)
        submitted(core, work("first", 8, "a", seconds=50.0, pools=("one",)), work("second", 4, "a", pools=("two",)))
        core.decide(1.0)
        assert [(kept.workload, kept.at) for kept in core.state.reservations] == [("first", 100.0), ("second", 150.0)]

    def test_one_that_would_lie_on_several_types_has_its_turn_too(self) -> None:
        # types have quotas of their own, and no type alone has room for all three members: it starves, and is kept free for all the same.
        starves = PLAIN.model_copy(update={"starvation_seconds": 10.0})
        tree = quotas(guaranteed("a", 24), QuotaSpec(name="b", limit={"gpus:H100": 8}))
        core = scheduler(starves, tree, {"pool": [*nodes(2), *nodes(2, model="A100")]})
        submitted(core, *(work(f"b{number}", 8, "c", preemptible=False) for number in range(4)))
        core.decide(0.0)
        submitted(core, work("starved", 8, "a", members=3))
        core.decide(20.0)
        assert core.reserved == ("starved",)
        core.finish("b0", 30.0)
        submitted(core, work("long", 8, "c", seconds=900.0, submitted_at=30.0))
        assert started(core, 30.0) == [], "nothing goes before one that has waited too long"
        for number in (1, 2, 3):
            core.finish(f"b{number}", 100.0)
        assert started(core, 100.0)[0] == "starved"

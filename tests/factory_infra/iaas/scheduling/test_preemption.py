"""Who gives way to whom."""

import pytest

from factory_infra.iaas.scheduling import preemption
from factory_infra.iaas.scheduling.models import Preemption
from factory_infra.iaas.scheduling.policy import QuotaSpec
from tests.factory_infra.iaas.scheduling.worlds import PLAIN, guaranteed, nodes, quotas, scheduler, started, submitted, work

TREE = quotas(guaranteed("a", 8), guaranteed("b", 8))


class TestReclaim:
    def test_a_queue_gets_its_quota_back(self) -> None:
        core = submitted(scheduler(tree=TREE), *(work(f"b{number}", 4, "b") for number in range(4)))
        core.decide(0.0)
        submitted(core, work("a1", 8, "a", submitted_at=30.0))
        decision = core.decide(30.0)
        assert {gone.reason for gone in decision.preemptions} == {"reclaim"}
        assert len(decision.preemptions) == 2
        assert [start.workload for start in decision.starts] == ["a1"]
        assert len(core.pending) == 2

    def test_no_more_than_its_quota(self) -> None:
        core = submitted(scheduler(tree=TREE), *(work(f"b{number}", 4, "b") for number in range(4)))
        core.decide(0.0)
        submitted(core, work("a1", 8, "a", members=2, submitted_at=30.0))
        assert core.decide(30.0).preemptions == ()

    def test_not_before_the_guaranteed_time_and_then_at_once(self) -> None:
        core = submitted(scheduler(PLAIN.model_copy(update={"guaranteed_seconds": 60.0}), TREE), work("b1", 8, "b", members=2))
        core.decide(0.0)
        submitted(core, work("a1", 8, "a", submitted_at=30.0))
        assert started(core, 30.0) == []
        assert started(core, 60.0) == ["a1"]

    def test_without_it_they_would_be_displaced_early(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(preemption, "guarantee_over", lambda *_: True)
        core = submitted(scheduler(PLAIN.model_copy(update={"guaranteed_seconds": 60.0}), TREE), work("b1", 8, "b", members=2))
        core.decide(0.0)
        submitted(core, work("a1", 8, "a", submitted_at=30.0))
        assert started(core, 30.0) == ["a1"]

    def test_the_least_work_is_lost(self) -> None:
        core = submitted(scheduler(tree=TREE), work("b-old", 8, "b"), work("b-saved", 8, "b", checkpoint_seconds=5.0))
        core.decide(0.0)
        submitted(core, work("a1", 8, "a", submitted_at=50.0))
        assert core.decide(50.0).preemptions == (Preemption("b-saved", "a1", "reclaim", 5.0),)

    def test_kept_work_is_not_done_again(self) -> None:
        core = submitted(scheduler(tree=TREE), work("b1", 8, "b", members=2, checkpoint_seconds=10.0))
        core.decide(0.0)
        submitted(core, work("a1", 8, "a", seconds=20.0, submitted_at=50.0))
        core.decide(50.0)
        core.finish("a1", 70.0)
        assert started(core, 70.0) == ["b1"]
        assert core.running["b1"].ends_at == 130.0, "40 of 100 seconds were kept"
        assert core.running["b1"].progress_seconds == 40.0

    def test_who_started_in_the_same_pass_may_give_way_later(self) -> None:
        # of one queue nobody is guaranteed anything: what it holds is borrowed, and is asked back when its guaranteed time is over.
        core = scheduler(PLAIN.model_copy(update={"order": "fifo", "guaranteed_seconds": 60.0}), quotas(guaranteed("a", 16)))
        submitted(core, work("b1", 8, "b", members=2, seconds=1000.0), work("a1", 8, "a", submitted_at=0.0))
        assert started(core, 0.0) == ["b1"]
        assert core.waking.alarms[0][0] == 60.0
        assert started(core, 60.0) == ["a1"]


class TestPriority:
    def test_within_its_own_queue(self) -> None:
        core = submitted(scheduler(), work("low", 8, members=2), work("other", 1, "other"))
        core.decide(0.0)
        submitted(core, work("high", 8, priority=1, submitted_at=10.0))
        assert [gone.reason for gone in core.decide(10.0).preemptions] == ["priority"]

    def test_not_another_queues_unless_the_policy_says_so(self) -> None:
        for scope, starts in (("queue", []), ("any", ["high"])):
            core = submitted(scheduler(PLAIN.model_copy(update={"preemption": scope})), work("low", 8, "b", members=2))
            core.decide(0.0)
            submitted(core, work("high", 8, "a", priority=1, submitted_at=10.0))
            assert started(core, 10.0) == starts

    def test_nobody_is_spared_beyond_the_quota_of_a_type(self) -> None:
        # `small` shares no GPU with `high`, but both together are more H100 than their queue may hold.
        tree = quotas(QuotaSpec(name="team", limit={"gpus:H100": 8}))
        core = scheduler(tree=tree, fleets={"pool": nodes(1, gpus=9)})
        submitted(core, work("low", 7), work("gone", 1, "other"), work("small", 1))
        core.decide(0.0)
        core.finish("gone", 5.0)
        submitted(core, work("high", 8, priority=1, submitted_at=10.0))
        decision = core.decide(10.0)
        assert sorted(gone.workload for gone in decision.preemptions) == ["low", "small"]
        assert [start.workload for start in decision.starts] == ["high"]

    def test_what_is_not_preemptible_stays(self) -> None:
        core = submitted(scheduler(), work("low", 8, members=2, preemptible=False))
        core.decide(0.0)
        submitted(core, work("high", 8, priority=1, submitted_at=10.0))
        assert started(core, 10.0) == []


class TestDeadlines:
    def test_one_that_is_near_goes_before_those_without(self) -> None:
        core = submitted(scheduler(), work("open", 8, members=2, seconds=1000.0))
        core.decide(0.0)
        submitted(core, work("due", 8, deadline_at=400.0, submitted_at=10.0))
        assert started(core, 10.0) == []
        decision = core.decide(280.0)
        assert [gone.reason for gone in decision.preemptions] == ["deadline"]
        assert [start.workload for start in decision.starts] == ["due"]

"""The scheduler: order, quotas, elastic workloads, pools, and what callers may do wrong."""

from dataclasses import replace

import pytest

from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.iaas.scheduling.models import Binding, Running, Seat, Shape, Workload
from factory_infra.iaas.scheduling.policy import SchedulingPolicy
from tests.factory_infra.iaas.scheduling.worlds import PLAIN, guaranteed, nodes, quotas, scheduler, started, submitted, work


class TestOrder:
    def test_the_queue_with_the_smallest_share_comes_first(self) -> None:
        core = submitted(scheduler(), work("a1", 8, "a"), work("a2", 8, "a"), work("b1", 8, "b"))
        assert started(core, 0.0) == ["a1", "b1"]

    def test_a_weight_gives_a_larger_share(self) -> None:
        tree = quotas(guaranteed("a", 0, weight=3), guaranteed("b", 0))
        waiting = [work(f"{queue}{number}", 4, queue) for number in range(4) for queue in "ab"]
        core = submitted(scheduler(tree=tree), *waiting)
        assert sorted(started(core, 0.0)) == ["a0", "a1", "a2", "b0"]

    def test_among_equals_who_asked_first(self) -> None:
        core = submitted(scheduler(), work("late", 8, "a", submitted_at=2.0), work("early", 8, "b", submitted_at=1.0))
        assert started(core, 2.0) == ["early", "late"]

    def test_history_counts_against_a_queue(self) -> None:
        core = scheduler(replace_policy(history_half_life_seconds=1000.0))
        core.remember(work("past", 8, "a"), 0.0, 500.0)
        submitted(core, work("a1", 8, "a", members=2), work("b1", 8, "b", members=2, submitted_at=1.0))
        assert started(core, 500.0) == ["b1"]

    @pytest.mark.parametrize(("order", "first"), [("fifo", "old"), ("shortest", "short"), ("priority", "important")])
    def test_other_orders(self, order: str, first: str) -> None:
        core = scheduler(replace_policy(order=order, preemption="off"))
        waiting = [work("old", 8), work("short", 8, seconds=1.0, submitted_at=1.0), work("important", 8, priority=1, submitted_at=2.0)]
        submitted(core, *(replace(each, members=2) for each in waiting))
        assert started(core, 2.0) == [first]

    def test_one_that_waited_too_long_comes_first(self) -> None:
        core = submitted(scheduler(replace_policy(starvation_seconds=50.0)), work("whole", 8, "greedy", members=2))
        submitted(core, work("gang", 8, "greedy", members=2, submitted_at=1.0))
        submitted(core, *(work(f"small{number}", 1, "b", submitted_at=1.0, seconds=1000.0) for number in range(30)))
        assert started(core, 1.0) == ["whole"]
        core.finish("whole", 101.0)
        assert started(core, 101.0) == ["gang"]


class TestQuotas:
    def test_a_limit_holds(self) -> None:
        tree = quotas(guaranteed("a", 4, limit={"gpus": 4}))
        core = submitted(scheduler(tree=tree), *(work(f"w{number}", 2, "a") for number in range(3)))
        decision = core.decide(0.0, waits="all")
        assert len(decision.starts) == 2
        assert decision.waits[0].binding is Binding.QUOTA
        assert decision.waits[0].detail == "a holds 4 of its 4 GPUs, and this takes 2 GPUs"

    def test_what_is_borrowed_is_said_to_be(self) -> None:
        core = submitted(scheduler(tree=quotas(guaranteed("a", 2), guaranteed("b", 14))), work("own", 2, "a"), work("more", 2, "a"))
        assert [start.borrowed for start in core.decide(0.0).starts] == [False, True]

    def test_room_in_a_quota_wakes_who_waited_for_it(self) -> None:
        core = submitted(scheduler(tree=quotas(guaranteed("a", 4, borrowing=False))), work("first", 4, "a"), work("second", 4, "a"))
        assert started(core, 0.0) == ["first"]
        core.finish("first", 10.0)
        assert started(core, 10.0) == ["second"]


class TestElastic:
    def test_it_starts_with_fewer_members_and_runs_longer(self) -> None:
        core = submitted(scheduler(), work("other", 8), work("elastic", 4, members=4, members_min=1, submitted_at=1.0))
        assert [start.members for start in core.decide(1.0).starts] == [1, 2]
        assert core.running["elastic"].ends_at == 201.0

    def test_it_shrinks_for_a_higher_priority(self) -> None:
        core = submitted(scheduler(), work("elastic", 4, members=4, members_min=1))
        core.decide(0.0)
        submitted(core, work("important", 8, priority=1, submitted_at=50.0))
        decision = core.decide(50.0)
        assert decision.preemptions == ()
        assert [start.workload for start in decision.starts] == ["important"]
        assert decision.shrunk == (("elastic", 1),)
        assert core.running["elastic"].ends_at == 250.0, "half of the work is left, for one of four members"

    def test_not_where_the_policy_says_so(self) -> None:
        core = submitted(scheduler(replace_policy(elastic=False)), work("other", 8), work("elastic", 4, members=4, members_min=1))
        assert started(core, 0.0) == ["other"]


class TestPools:
    def test_the_cheapest_pool_that_meets_the_deadline(self) -> None:
        fleets = {"dear": nodes(1, hourly_price=80.0), "spot": nodes(1, hourly_price=20.0, price_class="spot", interruptions_hourly=30.0)}
        core = submitted(scheduler(fleets=fleets), work("calm", 1, checkpoint_seconds=10.0), work("hurried", 1, deadline_at=110.0))
        assert {start.workload: start.pool for start in core.decide(0.0).starts} == {"calm": "spot", "hurried": "dear"}

    def test_its_own_order_of_pools_counts(self) -> None:
        fleets = {"dear": nodes(1, hourly_price=80.0), "cheap": nodes(1, hourly_price=20.0)}
        core = submitted(scheduler(fleets=fleets), work("picky", 1, pools=("dear", "cheap")))
        assert core.decide(0.0).starts[0].pool == "dear"

    def test_a_node_that_comes_back_is_noticed(self) -> None:
        core = scheduler()
        for node in (0, 1):
            core.fleets["pool"].set_fit(node, False)
        submitted(core, work("w", 8))
        assert core.decide(0.0, waits="all").waits[0].binding is Binding.UNFIT_NODES
        core.fleets["pool"].set_fit(1, True)
        assert core.decide(1.0).starts[0].seats[0].node == 1


class TestCalls:
    def test_a_clock_that_goes_back_is_refused(self) -> None:
        core = scheduler()
        core.decide(10.0)
        with pytest.raises(InvalidInput, match="went backwards") as refused:
            core.decide(9.0)
        assert refused.value.error_code == "clock_backwards"
        with pytest.raises(InvalidInput):
            core.decide(float("nan"))

    def test_ids_are_unique_and_known(self) -> None:
        core = submitted(scheduler(), work("w"))
        with pytest.raises(Conflict):
            core.submit(work("w"))
        with pytest.raises(NotFound):
            core.finish("w", 0.0)
        with pytest.raises(NotFound):
            core.remove("nobody")

    @pytest.mark.parametrize(
        "wrong",
        [
            work("w", members=0),
            work("w", seconds=0.0),
            work("w", seconds=float("inf")),
            work("w", members_min=2),
            work("w", submitted_at=-1.0),
            work("w", queue=""),
        ],
    )
    def test_a_workload_that_contradicts_itself_is_refused(self, wrong: Workload) -> None:
        with pytest.raises(InvalidInput, match="Workload 'w'"):
            scheduler().submit(wrong)

    def test_what_could_not_be_started_waits_again(self) -> None:
        core = submitted(scheduler(), work("w", 8))
        core.decide(0.0)
        core.put_back("w")
        assert list(core.pending) == ["w"]
        assert started(core, 1.0) == ["w"]

    def test_what_runs_already_is_adopted(self) -> None:
        core = scheduler(tree=quotas(guaranteed("a", 8, borrowing=False)))
        running = Running(work("old", 8, "a"), "pool", (Seat(0, tuple(range(8))),), started_at=5.0, ends_at=105.0)
        core.adopt(running)
        submitted(core, work("new", 8, "a", submitted_at=6.0))
        assert core.decide(6.0, waits="all").waits[0].binding is Binding.QUOTA
        with pytest.raises(NotFound, match="no pool 'elsewhere'"):
            core.adopt(replace(running, workload=work("x"), pool="elsewhere"))

    def test_an_end_before_the_start_is_refused(self) -> None:
        core = submitted(scheduler(), work("w"))
        core.decide(10.0)
        with pytest.raises(InvalidInput):
            core.finish("w", 9.0)

    def test_a_shape_that_cannot_be_is_refused(self) -> None:
        with pytest.raises(InvalidInput):
            scheduler().submit(work("w", shape=Shape(gpu_milli=500, gpus=2)))

    def test_a_placement_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(InvalidInput):
            scheduler(replace_policy(placement="by_luck"))


def replace_policy(**other: object) -> SchedulingPolicy:
    return PLAIN.model_copy(update=other)

"""Elastic workloads grow back into what nobody else could use."""

from dataclasses import replace

from factory_infra.iaas.scheduling.models import Workload
from factory_infra.iaas.scheduling.policy import QuotaSpec
from factory_infra.iaas.scheduling.queueing import Scheduler
from tests.factory_infra.iaas.scheduling.worlds import PLAIN, nodes, quotas, scheduler, started, submitted, work

CALM = PLAIN.model_copy(update={"guaranteed_seconds": 50.0})


def elastic(**other: object) -> Workload:
    """Four members of four GPUs that would also run with one."""
    made = work("elastic", 4, members=4, members_min=1, seconds=400.0)
    return replace(made, **other)  # type: ignore[arg-type]


def short(core: Scheduler | None = None, **other: object) -> Scheduler:
    """It runs with two members since 0, for another holds the other machine until 100."""
    made = submitted(core or scheduler(CALM), work("other", 8))
    assert started(made, 0.0) == ["other"]
    assert started(submitted(made, elastic(**other)), 0.0) == ["elastic"]
    assert len(made.running["elastic"].seats) == 2
    return made


def members(core: Scheduler, now: float) -> int:
    """With how many members it runs after a pass."""
    core.decide(now)
    return len(core.running["elastic"].seats)


class TestGrowing:
    def test_it_takes_what_became_free_and_ends_sooner(self) -> None:
        core = short()
        assert core.running["elastic"].ends_at == 800.0
        core.finish("other", 100.0)
        decision = core.decide(100.0)
        ((name, seats),) = decision.grown
        assert (name, seats, decision.starts) == ("elastic", core.running["elastic"].seats, ())
        assert len(seats) == 4
        assert core.running["elastic"].ends_at == 100.0 + (400.0 - 50.0), "half of 100 seconds was done"
        assert core.decide(101.0).grown == ()

    def test_who_waits_comes_first(self) -> None:
        core = submitted(short(), work("waits", 8))
        core.finish("other", 100.0)
        decision = core.decide(100.0)
        assert [start.workload for start in decision.starts] == ["waits"]
        assert decision.grown == ()

    def test_not_within_its_guaranteed_time_and_then_by_itself(self) -> None:
        core = short()
        core.finish("other", 20.0)
        assert members(core, 20.0) == 2
        assert core.waking.alarms[0][0] == 50.0
        assert members(core, 50.0) == 4

    def test_not_onto_what_is_reserved(self) -> None:
        core = submitted(
            short(scheduler(CALM, fleets={"pool": nodes(2), "side": nodes(1, 4)})), work("large", 8, members=2, pools=("pool",))
        )
        core.decide(1.0)
        assert core.reserved == ("large",)
        core.finish("other", 100.0)
        assert members(core, 100.0) == 2, "both machines are kept for it"

    def test_within_the_caps(self) -> None:
        core = short(scheduler(CALM, quotas(QuotaSpec(name="mine", limit={"gpus": 12}))), queue="mine")
        core.finish("other", 100.0)
        assert members(core, 100.0) == 3

    def test_within_one_machine_where_it_asks_for_that(self) -> None:
        core = short(topology="node")
        core.finish("other", 100.0)
        assert members(core, 100.0) == 2

    def test_not_where_the_policy_says_so(self) -> None:
        for field in ("regrow", "elastic"):
            core = short()
            core.state.policy = CALM.model_copy(update={field: False})
            core.finish("other", 100.0)
            assert members(core, 100.0) == 2

    def test_it_shrinks_again_for_a_higher_priority(self) -> None:
        core = short()
        core.finish("other", 100.0)
        assert members(core, 100.0) == 4
        submitted(core, work("high", 8, priority=1, submitted_at=200.0))
        decision = core.decide(200.0)
        assert [name for name, _ in decision.shrunk] == ["elastic"]
        assert [start.workload for start in decision.starts] == ["high"]

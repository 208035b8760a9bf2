"""The engine carries out decisions in virtual time: exact times, no work lost or made, and the same from the same seed."""

from dataclasses import replace

import pytest

from factory_infra.errors import Conflict, InvalidInput
from factory_infra.foundation.twin.failures import FailureModel
from factory_infra.foundation.twin.market import Market
from factory_infra.iaas.scheduling.models import Running, Seat
from factory_infra.iaas.scheduling.policy import QuotaSpec, QuotaTree
from factory_infra.iaas.twin.engine import compare, run
from factory_infra.iaas.twin.scenario import Elastic, Past, Scenario, Standing
from tests.factory_infra.iaas.twin.making import HOUR, QUICK, busy, job, nodes, scenario

SPOT = Market(spot=True, on_demand_hourly=10, in_stock_hours=6, out_of_stock_hours=1, interruptions_hourly=0.2, start_seconds=60)


class TestTimes:
    def test_are_exact(self) -> None:
        found = run(scenario(job("a", 0, HOUR), job("b", 10, 2 * HOUR)))
        first, second = found.jobs
        assert (first.started_at, first.finished_at) == (0, HOUR)
        assert (second.started_at, second.finished_at) == (HOUR, 3 * HOUR)
        assert found.queue_seconds.max == HOUR - 10 and found.completion_seconds.max == 3 * HOUR - 10
        assert found.counts.finished == 2 and found.seconds == 3 * HOUR

    def test_of_passes_are_apart_as_the_scenario_says(self) -> None:
        found = run(scenario(job("a", 0, 100), job("b", 1, 100), pass_seconds=60))
        assert [one.started_at for one in found.jobs] == [0, 120]

    def test_the_truth_counts_and_not_the_estimate(self) -> None:
        assert run(scenario(job("a", 0, HOUR, actual=100))).jobs[0].finished_at == 100

    def test_it_ends_when_it_is_told_to(self) -> None:
        found = run(scenario(job("a", 0, 10 * HOUR), job("b", 1), seconds=5 * HOUR))
        assert (found.counts.running, found.counts.waiting, found.seconds) == (1, 1, 5 * HOUR)
        assert found.occupancy == pytest.approx(1)

    def test_what_is_larger_than_every_pool_waits_and_the_run_ends(self) -> None:
        found = run(scenario(job("a", 0, HOUR), job("b", 0, HOUR, members=2)))
        assert (found.counts.finished, found.counts.waiting) == (1, 1)

    def test_over_its_time_it_is_ended(self) -> None:
        found = run(scenario(job("a", 0, HOUR, seconds_max=600)))
        assert found.counts.out_of_time == 1 and found.jobs[0].finished_at == 600

    def test_an_owner_gives_up(self) -> None:
        found = run(scenario(job("a", 0, HOUR), job("b", 1, HOUR, leaves_at=500), job("c", 2, HOUR, leaves_at=HOUR + 5)))
        assert [one.outcome for one in found.jobs] == ["finished", "left", "finished"]


class TestNumbers:
    def test_occupancy_and_activity(self) -> None:
        found = run(scenario(job("a", 0, HOUR, gpus=4, activity=0.5), seconds=HOUR))
        assert (found.occupancy, found.activity) == pytest.approx((0.5, 0.25))
        assert found.cost == {"on_demand": pytest.approx(10)} and found.gpu_hours == {"on_demand": pytest.approx(8)}

    def test_deadlines(self) -> None:
        jobs = (job("a", 0, HOUR, deadline_at=HOUR), job("b", 1, HOUR, deadline_at=1.5 * HOUR), job("c", 2, HOUR, deadline_at=9 * HOUR))
        found = run(scenario(*jobs, seconds=2.5 * HOUR)).deadlines
        assert (found.asked, found.met, found.missed) == (3, 1, 1)

    def test_queues_by_themselves(self) -> None:
        found = run(scenario(job("a", 0, HOUR, queue="x"), job("b", 0, HOUR, queue="y")))
        assert [(each.name, each.gpu_hours, each.queue_seconds.max) for each in found.queues] == [("x", 8, 0), ("y", 8, HOUR)]

    def test_are_marked_as_simulated(self) -> None:
        found = compare([scenario(job("a"))], [1])
        assert found.results[0].model_dump()["simulated"] is True and found.table().startswith("simulated")


class TestGrowing:
    def test_an_elastic_job_takes_what_became_free_and_ends_when_its_work_is_done(self) -> None:
        jobs = (job("other", 0, HOUR, gpus=8), job("wide", 0, 4 * HOUR, gpus=4, members=4, members_min=1, checkpoint_seconds=60))
        policy = QUICK.model_copy(update={"guaranteed_seconds": 0.0})
        grown, kept = (
            run(scenario(*jobs, count=2, core=None, policy=policy.model_copy(update={"regrow": each}))).jobs[1] for each in (True, False)
        )
        assert kept.finished_at == 8 * HOUR, "half of its members all the time"
        assert grown.finished_at == pytest.approx(HOUR + 3.5 * HOUR, abs=60), "all of them since the other ended"
        assert grown.starts == kept.starts == 1


class TestFailures:
    MODEL = FailureModel(fleet="rsc-1", scale=600)

    def test_no_work_is_lost_or_made_but_what_is_told(self) -> None:
        work = busy(3, checkpoint_seconds=600)
        found = run(scenario(*work, count=4, failures=self.MODEL), 5)
        held = sum(each.gpu_hours for each in found.queues)
        wanted = sum(each.actual_seconds * each.workload.milli / 1000 for each in work) / HOUR
        assert found.counts.finished == len(work) and found.counts.restarts > 20
        assert found.lost_gpu_hours["failure"] > 0
        assert held == pytest.approx(wanted + found.lost_total, rel=1e-6)

    def test_without_checkpoints_more_is_lost(self) -> None:
        with_them, without = (
            run(scenario(*busy(3, checkpoint_seconds=step), count=4, failures=self.MODEL), 5).lost_total for step in (300, 0)
        )
        assert without > 2 * with_them

    def test_a_restart_costs_what_the_scenario_says(self) -> None:
        alone = job("a", 0, 100 * HOUR, checkpoint_seconds=60)
        plain, dear = (run(scenario(alone, count=4, failures=self.MODEL, restart_seconds=each), 5).jobs[0] for each in (0, 1200))
        assert plain.starts > 1 and (dear.finished_at or 0) - (plain.finished_at or 0) >= 1200

    def test_a_gang_falls_with_one_member(self) -> None:
        found = run(
            scenario(job("g", 0, 200 * HOUR, members=4, checkpoint_seconds=60), count=8, failures=FailureModel(fleet="rsc-1", scale=60)), 1
        )
        assert found.jobs[0].starts > 3 and found.counts.finished == 1

    def test_machines_that_are_out_of_order_are_not_used(self) -> None:
        found = run(scenario(job("a", 0, HOUR), job("b", 0, HOUR), count=2, unfit={"p": frozenset({0})}))
        assert [one.started_at for one in found.jobs] == [0, HOUR]


class TestElasticPools:
    def elastic(self, market: Market, **fields: object) -> Scenario:
        pools = {"spot": nodes(6, "s", price_class="spot")}
        jobs = busy(2, 24, 4, **fields)
        return scenario(*jobs, pools=pools, elastic={"spot": Elastic(market)}, name="elastic")

    def test_machines_come_when_work_waits_and_go_when_it_is_done(self) -> None:
        market = Market(on_demand_hourly=10, start_seconds=300, start_sigma=0)
        found = run(scenario(job("a", 0, HOUR), pools={"p": nodes(3)}, elastic={"p": Elastic(market)}))
        assert found.jobs[0].started_at == pytest.approx(300, abs=2)
        assert found.cost["on_demand"] == pytest.approx(10, rel=0.02)

    def test_spot_machines_are_taken_back_and_everything_still_finishes(self) -> None:
        found = run(self.elastic(SPOT, checkpoint_seconds=600), 1)
        assert found.counts.finished == found.counts.submitted
        assert found.counts.machines["interruptions"] > 0 and found.counts.machines["stock_outs"] > 0
        assert found.cost["spot"] < 0.6 * sum(found.gpu_hours.values()) / 8 * 10

    def test_with_notice_a_checkpoint_is_written_and_without_it_work_is_lost(self) -> None:
        warned, taken = (
            run(self.elastic(SPOT.model_copy(update={"notice_seconds": seconds}), checkpoint_seconds=600), 1).lost_total
            for seconds in (120, 0)
        )
        assert warned == 0 < taken

    def test_the_cheaper_pool_grows_first(self) -> None:
        pools = {"dear": nodes(2, "d"), "cheap": nodes(2, "c")}
        elastic = {"dear": Elastic(Market(on_demand_hourly=20)), "cheap": Elastic(Market(on_demand_hourly=5))}
        assert run(scenario(job("a", 0, HOUR), pools=pools, elastic=elastic)).jobs[0].pool == "cheap"


class TestOwnScheduler:
    """The product's own scheduler, through the same door."""

    def test_the_same_seed_gives_the_same_results_and_another_does_not(self) -> None:
        base = scenario(core=None, policy=QUICK, count=3, failures=FailureModel(fleet="rsc-1", scale=200))
        base = replace(base, arrivals=lambda seed: busy(seed, 24, checkpoint_seconds=600))
        first, again, other = run(base, 1), run(base, 1), run(base, 2)
        assert first.model_dump_json() == again.model_dump_json() and first.jobs == again.jobs
        assert first.jobs != other.jobs

    def test_no_work_is_lost_or_made_under_failures_and_preemptions(self) -> None:
        work = [replace(each, workload=replace(each.workload, priority=number % 2)) for number, each in enumerate(busy(4, 24, 12))]
        work = [replace(each, workload=replace(each.workload, checkpoint_seconds=900.0)) for each in work]
        policy = QUICK.model_copy(update={"preemption": "any", "guaranteed_seconds": 60.0})
        found = run(scenario(*work, core=None, policy=policy, count=3, failures=TestFailures.MODEL, pass_seconds=30), 1)
        held = sum(each.gpu_hours for each in found.queues)
        wanted = sum(each.actual_seconds * each.workload.milli / 1000 for each in work) / HOUR
        assert found.counts.preemptions > 0 and found.counts.finished == len(work)
        assert held == pytest.approx(wanted + found.lost_total, rel=1e-6)

    def test_quotas_hold(self) -> None:
        quotas = QuotaTree(queues=(QuotaSpec(name="a", limit={"gpus": 8}),))
        found = run(scenario(*(job(f"j{n}", 0, HOUR) for n in range(3)), core=None, policy=QUICK, quotas=quotas, count=3))
        assert sorted(one.started_at or 0 for one in found.jobs) == [0, HOUR, 2 * HOUR]

    def test_what_runs_already_goes_on(self) -> None:
        work = job("old", -HOUR, 2 * HOUR).workload
        standing = Standing(Running(work, "p", (Seat(0, tuple(range(8))),), -HOUR, HOUR), ends_at_really=HOUR)
        found = run(scenario(job("new", 0, HOUR), core=None, policy=QUICK, running=(standing,), start_at=0.0))
        assert {one.id: one.finished_at for one in found.jobs} == {"old": HOUR, "new": 2 * HOUR}

    def test_what_ran_before_counts_in_the_shares(self) -> None:
        """Two queues want the one machine: who had it before comes second, where shares have a memory."""
        jobs = (job("a", 0, HOUR, queue="a"), job("b", 0, HOUR, queue="b"))
        past = tuple(Past(job(f"old-{name}", -9 * HOUR, 8 * HOUR, queue=name).workload, -8 * HOUR, 0.0) for name in "ab")
        for served, first in (("a", "b"), ("b", "a")):
            remembered = tuple(each for each in past if each.workload.queue == served)
            found = run(scenario(*jobs, core=None, policy=QUICK, past=remembered))
            assert next(one.id for one in found.jobs if one.started_at == 0) == first


class TestProgress:
    def test_is_told_and_grows_to_the_end(self) -> None:
        told: list[float] = []
        compare([scenario(*busy(1, 24), count=2)], [1, 2], told.append)
        assert len(told) > 20 and told == sorted(told) and 0.9 < told[-1] <= 1

    def test_a_no_ends_the_run(self) -> None:
        with pytest.raises(Conflict) as ended:
            run(scenario(*busy(1, 24), count=2), 1, lambda share: share < 0.3)
        assert ended.value.error_code == "twin_cancelled"


@pytest.mark.parametrize(
    "jobs",
    [
        (job("a", 10), job("b", 5)),
        (job("a", -5),),
        (job("a", 0, actual=-1),),
        (job("a", 0, actual=float("nan")),),
        (job("a", 0, activity=1.5),),
        (job("a", 0), job("a", 1)),
        (job("a", 0, members=0),),
    ],
)
def test_work_that_cannot_be_is_refused(jobs: tuple[object, ...]) -> None:
    with pytest.raises(InvalidInput) as refused:
        run(scenario(*jobs))  # type: ignore[arg-type]
    assert refused.value.error_code == "scenario_invalid" and refused.value.remedy

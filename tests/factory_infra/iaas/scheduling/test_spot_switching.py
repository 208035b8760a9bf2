"""Spot, on demand or waiting: no deadline is missed, whatever a policy wants; the control without the guard misses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling import spot_replay
from factory_infra.iaas.scheduling.spot_oracle import least_cost
from factory_infra.iaas.scheduling.spot_planning import Chances, Planned, Watch, transitions
from factory_infra.iaas.scheduling.spot_replay import Played, Prices, on_demand_cost, play
from factory_infra.iaas.scheduling.spot_switching import (
    ON_DEMAND,
    WAIT,
    Greedy,
    OnDemandOnly,
    Situation,
    SpotJob,
    Switching,
    UniformProgress,
)

TICK = 60.0
PRICES = Prices()


def market(seed: int, zones: int = 1, ticks: int = 200, up: float = 0.6) -> NDArray[np.bool_]:
    """Spot that comes and goes in spells."""
    draw = np.random.default_rng(seed)
    spells = [np.repeat(draw.random(ticks) < up, draw.integers(1, 9, size=ticks))[:ticks] for _ in range(zones)]
    return np.array(spells)


class Reckless:
    """Wants what is worst."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)

    def choose(self, job: SpotJob, seen: Situation, tick_seconds: float) -> int:
        return int(self.draw.choice([WAIT, ON_DEMAND, *range(len(seen.up))]))


POLICIES = (Greedy, UniformProgress, Planned)
JOBS = st.builds(
    lambda work, slack, changeover: SpotJob(
        work * 15.0, (work * 15.0 + changeover * 15.0 + slack * 60.0) // 60 * 60 + 60, changeover * 15.0
    ),
    work=st.integers(1, 200),
    slack=st.integers(0, 60),
    changeover=st.integers(0, 20),
)


class TestGuard:
    @given(job=JOBS, seed=st.integers(0, 10_000), zones=st.integers(1, 3))
    @settings(max_examples=60, deadline=None)
    def test_no_deadline_is_missed_and_hindsight_is_never_dearer(self, job: SpotJob, seed: int, zones: int) -> None:
        up = market(seed, zones)
        bound = least_cost(job, up, TICK, PRICES)
        assert bound <= on_demand_cost(job, PRICES) + 1e-9
        for policy in (Reckless(seed), *(each() for each in POLICIES)):
            found = play(job, up, TICK, policy, PRICES)
            assert not found.missed
            assert found.cost >= bound - 1e-9
            spent = found.spot_seconds + found.on_demand_seconds
            assert spent >= job.work_seconds - 1e-6
            assert found.finished_seconds == pytest.approx(spent + found.waited_seconds)

    def test_the_control_without_the_guard_is_late(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(spot_replay, "guarded", lambda policy, job, seen, tick: policy.choose(job, seen, tick))
        never = np.zeros((1, 200), dtype=np.bool_)
        assert play(SpotJob(3000, 6000, 60), never, TICK, Greedy(), PRICES).missed

    @pytest.mark.parametrize(("work", "deadline", "changeover"), [(0, 10, 0), (100, 1000, -1), (1000, 1030, 60)])
    def test_a_job_that_cannot_be_is_refused(self, work: float, deadline: float, changeover: float) -> None:
        with pytest.raises(InvalidInput):
            play(SpotJob(work, deadline, changeover), market(1), TICK, Greedy())

    def test_a_trace_that_ends_before_the_deadline_is_refused(self) -> None:
        job = SpotJob(3000, 20_000, 60)
        for run in (lambda: play(job, market(1), TICK, Greedy()), lambda: least_cost(job, market(1), TICK)):
            with pytest.raises(InvalidInput) as caught:
                run()
            assert caught.value.error_code == "trace_too_short"


class TestPolicies:
    def test_spot_all_the_time_costs_the_spot_price(self) -> None:
        always = np.ones((1, 200), dtype=np.bool_)
        job = SpotJob(3000, 6000, 60)
        for policy in (Greedy(), UniformProgress(), Planned()):
            found = play(job, always, TICK, policy, PRICES)
            assert found.saved(job, PRICES) == pytest.approx(1 - PRICES.spot_hourly / PRICES.on_demand_hourly)
            assert (found.changeovers, found.taken) == (1, 0)

    def test_no_spot_at_all_costs_what_on_demand_costs(self) -> None:
        never = np.zeros((1, 200), dtype=np.bool_)
        job = SpotJob(3000, 6000, 60)
        for policy in (OnDemandOnly(), Greedy(), UniformProgress(), Planned()):
            assert play(job, never, TICK, policy, PRICES).cost == pytest.approx(on_demand_cost(job, PRICES))
        assert least_cost(job, never, TICK, PRICES) == pytest.approx(on_demand_cost(job, PRICES))

    def test_uniform_progress_goes_on_demand_while_behind_the_line(self) -> None:
        job, policy = SpotJob(6000, 12_000, 60), UniformProgress()
        behind = Situation(now=3000, work_left=5000, place=WAIT, changeover_left=0, up=(False,))
        ahead = Situation(now=3000, work_left=4000, place=WAIT, changeover_left=0, up=(False,))
        assert (policy.choose(job, behind, TICK), policy.choose(job, ahead, TICK)) == (ON_DEMAND, WAIT)
        back = Situation(now=3000, work_left=4480, place=ON_DEMAND, changeover_left=0, up=(True,))
        assert policy.choose(job, back, TICK) == ON_DEMAND

    def test_ours_is_cheaper_on_the_whole_than_the_published_policy(self) -> None:
        job = SpotJob(4800, 6000, 60)

        def saved(policy: Switching, up: NDArray[np.bool_]) -> float:
            return play(job, up[:, 400:], TICK, policy, PRICES).saved(job, PRICES)

        markets = [market(seed, ticks=600) for seed in range(12)]
        ours = np.mean([saved(Planned(up[:, :400], PRICES), up) for up in markets])
        published = np.mean([saved(UniformProgress(), up) for up in markets])
        assert ours > published

    def test_a_zone_is_chosen_by_how_long_it_keeps_its_machines(self) -> None:
        watch = Watch(2, TICK)
        for tick in range(60):
            watch.see((tick % 3 != 0, tick % 30 != 0))
        assert watch.best((True, True), WAIT) == 1
        assert watch.best((True, True), 0) == 0
        assert watch.best((False, False), 0) == WAIT
        chances = watch.chances()
        assert all(0 < each < 0.2 for each in chances.taken)
        assert 0 <= chances.elsewhere <= 1

    def test_old_spells_are_not_thought_to_end_as_soon_as_young_ones(self) -> None:
        watch = Watch(1, TICK)
        for _ in range(40):
            for length in (2, 2, 300):
                for up in (*[True] * length, False):
                    watch.see((up,))
        young, _, old = watch.chances().taken
        assert young > 4 * old

    def test_the_steps_of_the_plan_lose_nothing(self) -> None:
        world, machine, lost = transitions(Chances((0.3, 0.1, 0.05), (0.2, 0.1, 0.05), (0.5, 0.1, 0.0), 0.4), 3)
        assert world.sum(axis=1).tolist() == pytest.approx([1.0] * 6)
        assert (machine.sum(axis=1) + lost.sum(axis=1)).tolist() == pytest.approx([1.0] * 3)


class TestOracle:
    def test_it_is_exact_on_a_case_by_hand(self) -> None:
        up = np.array([[True, True, False, False, True, True, True, True]])
        job = SpotJob(work_seconds=180, deadline_seconds=480, changeover_seconds=60)
        # Two ticks of spot do one tick of work; four more do three: the last two of work cost three ticks together.
        cheapest = least_cost(job, up, TICK, PRICES)
        assert cheapest == pytest.approx(4 * TICK * PRICES.of(0))

    def test_it_counts_in_milliseconds(self) -> None:
        with pytest.raises(InvalidInput, match="milliseconds"):
            least_cost(SpotJob(100.00005, 1000, 10), market(1), TICK)
        with pytest.raises(InvalidInput, match="no common unit"):
            least_cost(SpotJob(100.001, 1000, 10), market(1), TICK)

    def test_what_is_played_adds_up(self) -> None:
        found: Played = play(SpotJob(3000, 6000, 60), market(5), TICK, Greedy(), PRICES)
        assert found.cost == pytest.approx(found.spot_seconds * PRICES.of(0) + found.on_demand_seconds * PRICES.of(ON_DEMAND))

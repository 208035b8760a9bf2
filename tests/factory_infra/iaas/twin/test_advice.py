"""What the scheduler advises is true in the twin: with the change applied, the engine starts the workload when it was said."""

from dataclasses import replace
from random import Random

import pytest

from factory_infra.iaas.scheduling.explain import advise, foresee
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import Advice
from factory_infra.iaas.scheduling.queueing import Scheduler
from factory_infra.iaas.twin.engine import run
from factory_infra.iaas.twin.scenario import Scenario
from factory_infra.iaas.twin.snapshot import snapshot
from tests.factory_infra.iaas.twin.making import HOUR, QUICK, job, nodes

NOW = 1700.0
"""Before anything that runs is expected to end: who is late ends at any moment, and nobody knows when."""
SEEDS = 8
LOOK_SECONDS = 60.0
"""What changes by time alone, such as who has waited too long, is seen by the engine's next look."""
PASS_SECONDS = 0.001
POLICY = QUICK.model_copy(update={"history_half_life_seconds": 0.0})
"""Shares without a past: a snapshot has none."""


def full(seed: int) -> Scheduler:
    """Two pools that are full, and work that waits."""
    draws = Random(seed)  # noqa: S311 (a simulation)
    made = Scheduler(POLICY, None, {"p": Fleet(nodes(3)), "q": Fleet(nodes(2, "q", gpus=4))})
    for number in range(16):
        gpus = draws.choice((1, 2, 4, 8))
        fields = {"queue": draws.choice("abc"), "members": draws.choice((1, 2)), "pools": draws.choice(((), ("p",)))}
        made.submit(job(f"j{number}", 100.0 * number, draws.uniform(0.5, 5) * HOUR, gpus, **fields).workload)
        made.decide(100.0 * number)
    made.decide(NOW)
    return made


def changed(now: Scenario, name: str, advice: Advice) -> Scenario:
    """The same with the change of the advice applied."""
    arrivals = [
        replace(each, workload=replace(each.workload, **advice.change)) if each.workload.id == name else each  # type: ignore[arg-type]
        for each in now.drawn(0)
    ]
    arrivals = [replace(each, actual_seconds=each.workload.seconds) for each in arrivals]
    return replace(now, arrivals=arrivals, pass_seconds=PASS_SECONDS, look_seconds=LOOK_SECONDS)


def started(found: Scenario, name: str) -> float:
    return next(each.started_at if each.started_at is not None else -1.0 for each in run(found).jobs if each.id == name)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_advised_change_starts_it_when_it_was_said(seed: int) -> None:
    scheduler = full(seed)
    now = snapshot(scheduler, NOW)
    tried = 0
    for name in list(scheduler.pending)[:4]:
        for advice in advise(scheduler, name, NOW):
            assert started(changed(now, name, advice), name) == pytest.approx(advice.starts_at, abs=LOOK_SECONDS + 1)
            tried += 1
    assert tried or not scheduler.pending


def test_some_advice_was_there_to_be_tried() -> None:
    """The control: a test that never finds advice tests nothing."""
    assert sum(len(advise(full(seed), next(iter(full(seed).pending)), NOW)) for seed in range(SEEDS)) >= 3


def test_what_is_foreseen_happens() -> None:
    scheduler = full(1)
    work = job("new", NOW, HOUR, 8, queue="d").workload
    foreseen = foresee(scheduler, work, NOW, advice=False).forecast
    assert foreseen is not None
    scheduler.submit(work)
    now = replace(snapshot(scheduler, NOW), pass_seconds=PASS_SECONDS, look_seconds=LOOK_SECONDS)
    assert foreseen.starts_at == pytest.approx(started(now, "new"), abs=LOOK_SECONDS + 1)

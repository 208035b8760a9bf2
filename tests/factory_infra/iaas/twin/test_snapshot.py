"""What if: the scenario that begins now, and changes to it."""

import pytest

from factory_infra.errors import InvalidInput, NotFound
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.queueing import Scheduler
from factory_infra.iaas.twin.engine import run
from factory_infra.iaas.twin.scenario import Scenario
from factory_infra.iaas.twin.snapshot import snapshot, with_machines, with_policy, with_work, without_node, without_work
from tests.factory_infra.iaas.twin.making import HOUR, QUICK, job, nodes, scenario

NOW = 1000.0


@pytest.fixture
def scheduler() -> Scheduler:
    """Two machines: one is held for an hour from 0, the other is out of order; one job waits since 500."""
    made = Scheduler(QUICK, None, {"p": Fleet(nodes(2))})
    made.fleets["p"].set_fit(1, False)
    made.submit(job("runs", 0, HOUR).workload)
    made.decide(0)
    made.submit(job("waits", 500, HOUR).workload)
    made.decide(NOW)
    return made


@pytest.fixture
def now(scheduler: Scheduler) -> Scenario:
    return snapshot(scheduler, NOW)


def started(found: Scenario, name: str = "waits") -> float:
    return next(each.started_at or -1 for each in run(found).jobs if each.id == name)


def test_begins_with_what_runs_and_waits(scheduler: Scheduler, now: Scenario) -> None:
    assert [each.running.workload.id for each in now.running] == ["runs"] and now.unfit == {"p": frozenset({1})}
    found = {each.id: each for each in run(now).jobs}
    assert (found["runs"].started_at, found["runs"].finished_at) == (0, HOUR)
    assert found["waits"].started_at == pytest.approx(HOUR, abs=30) and found["waits"].submitted_at == 500
    assert list(scheduler.running) == ["runs"] and list(scheduler.pending) == ["waits"]


def test_more_machines_start_it_now(now: Scenario) -> None:
    assert started(with_machines(now, "more", "p", 1)) == NOW
    assert "simulated" in with_machines(now, "more", "p", 1).pools["p"][-1].name


def test_fewer_machines_put_back_what_ran_there(scheduler: Scheduler) -> None:
    scheduler.fleets["p"].set_fit(1, True)
    scheduler.decide(NOW)
    full = snapshot(scheduler, NOW)
    assert len(full.running) == 2
    fewer = with_machines(full, "fewer", "p", -1)
    assert len(fewer.running) == 1 and run(fewer).counts.finished == 2
    assert run(fewer).seconds > run(full).seconds


def test_without_what_runs_it_starts_now(now: Scenario) -> None:
    assert started(without_work(now, "without", ["runs"])) == NOW
    with pytest.raises(NotFound) as told:
        without_work(now, "without", ["nobody"])
    assert told.value.error_code == "workload_unknown"


def test_a_broken_machine_lets_its_work_begin_again(now: Scenario) -> None:
    found = run(without_node(now, "broken", "p", "n0"))
    assert found.counts.finished == 0 and found.counts.waiting == 2
    with pytest.raises(NotFound) as told:
        without_node(now, "broken", "p", "n9")
    assert told.value.error_code == "node_unknown"


def test_more_work_and_another_policy(now: Scenario) -> None:
    more = with_work(now, "more", [job("small", NOW, 600, gpus=1)])
    assert len(run(more).jobs) == 3
    assert with_policy(now, "fifo", QUICK.model_copy(update={"order": "fifo"})).policy.order == "fifo"


def test_what_cannot_be_is_refused(now: Scenario) -> None:
    with pytest.raises(InvalidInput):
        with_machines(now, "none", "p", -2)
    with pytest.raises(NotFound):
        with_machines(now, "none", "q", 1)
    with pytest.raises(InvalidInput):
        with_work(scenario(arrivals=lambda seed: []), "x", [])

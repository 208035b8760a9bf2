"""The agent of a node: what it reports, what it keeps while nobody listens, and what it gives away."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory_infra.errors import LineshaftError, Unavailable
from factory_infra.foundation.reliability.node_models import NodeEvent, NodeReport
from factory_infra.foundation.telemetry.agent import Identity, NodeAgent, Sources, push_on, run
from factory_infra.foundation.telemetry.providers.neuron import NeuronReader
from factory_infra.foundation.telemetry.providers.nvml import NvmlReader
from factory_infra.foundation.telemetry.spool import Spool
from tests.nvml.simulator import Simulator, simulated


class Door:
    """An API that may be away, and remembers what it was told; it counts an event once by its id."""

    def __init__(self) -> None:
        self.away: LineshaftError | None = None
        self.reports: list[NodeReport] = []
        self.known: dict[str, NodeEvent] = {}
        self.told = 0
        self.lose_answers = 0

    def heartbeat(self, report: NodeReport) -> None:
        if self.away:
            raise self.away
        self.reports.append(report)

    def events(self, events: list[NodeEvent]) -> None:
        if self.away:
            raise self.away
        self.told += len(events)
        self.known |= {event.id: event for event in events}
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable("The answer was lost.")

    def codes(self) -> list[str]:
        return sorted(event.code for event in self.known.values())


@pytest.fixture
def machine(nvml_library: Path, tmp_path: Path) -> Iterator[Simulator]:
    """Eight H100 that this process sees."""
    with simulated(nvml_library, tmp_path / "state") as made:
        yield made


@pytest.fixture
def agent(machine: Simulator, tmp_path: Path) -> Iterator[NodeAgent]:
    """An agent that has read once."""
    made = agent_in(tmp_path)
    made.tick()
    yield made
    made.close()


def agent_in(folder: Path) -> NodeAgent:
    sources = Sources(NvmlReader(slow_seconds=0, processes=True), NeuronReader(("no-such",)), folder)
    return NodeAgent(Identity("h100", "gpu-1", "i-1"), sources, Spool(folder / "spool.jsonl"))


def test_the_report_names_the_type_and_the_versions_and_no_process(agent: NodeAgent, machine: Simulator) -> None:
    machine.process(0, 1, 1024**3)
    machine.lose(7)
    agent.tick()
    report = agent.report()
    assert (report.accelerator, report.driver, report.machine_id) == ("H100", "ok", "i-1")
    assert [each.state for each in report.accelerators] == ["ok"] * 7 + ["lost"]
    assert report.versions["driver"] == "580.95.05" and "kernel" in report.versions
    assert "process" not in report.model_dump_json()


def test_a_host_without_gpus_reports_what_it_has(agent: NodeAgent, machine: Simulator) -> None:
    machine.unload()
    agent.tick()
    report = agent.report()
    assert (report.accelerators, report.driver) == ([], "no_driver")
    assert report.cores >= 1 and report.memory_gib > 0


def test_events_wait_while_the_api_is_away_also_for_the_next_process(agent: NodeAgent, machine: Simulator, tmp_path: Path) -> None:
    door = Door()
    door.away = Unavailable("Away.")
    machine.xid(3, 79)
    agent.tick()
    assert agent.push(door, heartbeat=True) is False
    again, door.away = agent_in(tmp_path), None
    assert again.push(door, heartbeat=True) is True
    assert (len(door.reports), door.codes(), len(again.spool)) == (1, ["xid_79"], 0)


def test_an_answer_that_is_lost_sends_the_same_event_again(agent: NodeAgent, machine: Simulator) -> None:
    door = Door()
    door.lose_answers = 2
    machine.xid(3, 79)
    agent.tick()
    assert [agent.push(door, heartbeat=False) for _ in range(3)] == [False, False, True]
    assert (door.told, len(door.known)) == (3, 1)


def test_it_runs_pushes_and_stops(agent: NodeAgent, machine: Simulator) -> None:
    door, stop, woken = Door(), threading.Event(), threading.Event()
    pusher = threading.Thread(target=push_on, args=(agent, door, stop, woken, 0.05))
    deadline = time.monotonic() + 30

    def after(events: list[NodeEvent]) -> None:
        if not agent.xids:
            machine.xid(2, 48)
        if events:
            woken.set()
        if door.known or time.monotonic() > deadline:
            stop.set()

    pusher.start()
    run(agent, stop, 0.01, after)
    woken.set()
    pusher.join(timeout=30)
    assert not pusher.is_alive()
    assert set(door.codes()) == {"xid_48"} and door.reports

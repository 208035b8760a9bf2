"""The agent of a node: reads it once a second, keeps what happens on disk, and tells the API of it."""

import platform
import threading
import time
from collections import deque
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from factory_infra.errors import LineshaftError
from factory_infra.foundation.accelerators.catalogue import normalise
from factory_infra.foundation.reliability.node_models import NodeAccelerator, NodeEvent, NodeReport
from factory_infra.foundation.telemetry.changes import Watcher
from factory_infra.foundation.telemetry.models import GpuReading, Reading
from factory_infra.foundation.telemetry.providers.local import reading
from factory_infra.foundation.telemetry.providers.neuron import NeuronReader
from factory_infra.foundation.telemetry.providers.nvml import NvmlReader
from factory_infra.foundation.telemetry.spool import Spool

HEARTBEAT_SECONDS = 10.0
BATCH = 100
SHOWN_EVENTS = 8
BACKOFF_SECONDS_MAX = 60.0
log = structlog.get_logger("node-agent")


class NodeDoor(Protocol):
    """Where a node reports."""

    def heartbeat(self, report: NodeReport) -> None:
        """Tell what the node is. Raises LineshaftError."""
        ...

    def events(self, events: list[NodeEvent]) -> None:
        """Tell what happened; the same again changes nothing. Raises LineshaftError."""
        ...


class Identity(NamedTuple):
    """Which node it is."""

    pool: str
    name: str
    machine_id: str = ""
    cluster_id: str = ""


class Sources(NamedTuple):
    """What is read."""

    nvml: NvmlReader
    neuron: NeuronReader
    folder: Path


class NodeAgent:
    """Reads, watches and keeps. What is pushed is pushed by a thread of its own: an API that hangs holds up no reading.

    Args:
        identity: which node it is.
        sources: what is read.
        spool: where events wait.
    """

    def __init__(self, identity: Identity, sources: Sources, spool: Spool) -> None:
        self.identity = identity
        self.spool = spool
        self.newest: Reading | None = None
        self.xids: dict[tuple[int, int], int] = {}
        self.recent: deque[NodeEvent] = deque(maxlen=SHOWN_EVENTS)
        self.keeps = True
        self._sources = sources
        self._watcher = Watcher()

    def tick(self) -> list[NodeEvent]:
        """Read once and return what happened since the reading before; it is kept for the API where there is one."""
        nvml, neuron, folder = self._sources
        told, report = nvml.events(), nvml.read()
        now = self.newest = reading(report, neuron.read(), folder, None)
        for each in told:
            self.xids[each.index, each.xid] = self.xids.get((each.index, each.xid), 0) + 1
        events = self._watcher.look(now, told)
        self.recent.extend(events)
        try:
            self.spool.add(events if self.keeps else [])
        except LineshaftError as error:
            log.error("events are kept in memory only", code=error.error_code, reason=error.reason)
        return events

    def report(self) -> NodeReport:
        """What the node is now."""
        return report_of(
            self.newest or reading(self._sources.nvml.read(), self._sources.neuron.read(), self._sources.folder, None), self.identity
        )

    def push(self, door: NodeDoor, *, heartbeat: bool) -> bool:
        """Tell the API; the report goes first, for it registers the node. Returns whether it has everything now. Never raises."""
        try:
            if heartbeat:
                door.heartbeat(self.report())
            while waiting := self.spool.first(BATCH):
                door.events(waiting)
                self.spool.done({event.id for event in waiting})
        except LineshaftError as error:
            log.warning("not pushed", code=error.error_code, reason=error.reason, waiting=len(self.spool))
            return False
        return True

    def close(self) -> None:
        """Give everything back."""
        self._sources.nvml.close()
        self._sources.neuron.close()


def push_on(agent: NodeAgent, door: NodeDoor, stop: threading.Event, woken: threading.Event, seconds: float = HEARTBEAT_SECONDS) -> None:
    """Push until told to stop: at each event, and a heartbeat every few seconds; less often while the API is away."""
    beat_at, pause = 0.0, seconds
    while not stop.is_set():
        due = time.monotonic() >= beat_at
        done = agent.push(door, heartbeat=due)
        pause = seconds if done else min(pause * 2, BACKOFF_SECONDS_MAX)
        if due:
            beat_at = time.monotonic() + pause
        woken.wait(max(beat_at - time.monotonic(), 0.05))
        woken.clear()


def run(agent: NodeAgent, stop: threading.Event, interval_seconds: float, after: Callable[[list[NodeEvent]], None]) -> None:
    """Read at a steady pace until told to stop.

    Args:
        interval_seconds: from one reading to the next.
        after: is called after each reading, with what happened.
    """
    due = time.monotonic()
    while not stop.is_set():
        after(agent.tick())
        due = max(due + interval_seconds, time.monotonic())
        stop.wait(due - time.monotonic())


def report_of(now: Reading, identity: Identity) -> NodeReport:
    """A reading as a node reports it: how each accelerator is, and nothing of who uses it."""
    first = next((gpu for gpu in now.gpus if gpu.name), None)
    kind = next((device.kind for device in now.neuron.devices), "")
    neuron = [NodeAccelerator(index=device.index, name=device.kind) for device in now.neuron.devices]
    return NodeReport(
        accelerator=normalise(first.name, first.memory_total_gib) if first else normalise(kind) if kind else "",
        accelerators=[accelerator_of(gpu) for gpu in now.gpus] or neuron,
        driver=now.driver.state,
        versions=versions(now),
        cores=now.cores,
        memory_gib=now.memory_total_gib,
        machine_id=identity.machine_id,
        cluster_id=identity.cluster_id,
    )


def accelerator_of(gpu: GpuReading) -> NodeAccelerator:
    """A GPU as a node reports it."""
    return NodeAccelerator(
        index=gpu.index,
        name=gpu.name,
        uuid=gpu.uuid,
        state=gpu.state,
        busy_percent=gpu.busy_percent,
        memory_used_gib=gpu.memory_used_gib,
        memory_total_gib=gpu.memory_total_gib,
        temperature_celsius=gpu.temperature_celsius,
        power_watts=gpu.power_watts,
    )


def versions(now: Reading) -> dict[str, str]:
    """The versions of what a node runs on."""
    try:
        own = version("lineshaft")
    except PackageNotFoundError:  # run from its sources
        own = "sources"
    found = {"driver": now.driver.version, "cuda": now.driver.cuda, "kernel": platform.release(), "lineshaft": own}
    return {name: each for name, each in found.items() if each}

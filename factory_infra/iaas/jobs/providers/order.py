"""What a job's specification asks this host for, and the programs that come of it. Standard library only: the runner loads it."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace

from factory_infra.iaas.jobs.providers.folder import JobFolder
from factory_infra.iaas.jobs.providers.verdict import LOG_BYTES_MAX, LOG_BYTES_MIN, PROCESSES_A_SLOT, Walls
from factory_infra.iaas.jobs.providers.walls_local import WallOrder

LOOPBACK = "127.0.0.1"
PORTS = (15_000, 32_000)
PORT_TRIES = 100


@dataclass(frozen=True)
class Order:
    """What a job asks for, and what it may reach."""

    job_id: str
    argv: list[str]
    environment: dict[str, str]
    slot_kind: str
    slots: list[int]
    service: bool
    walls: Walls
    devices: list[str] = field(default_factory=list)
    nodes: int = 1
    array: int = 0
    after: list[str] = field(default_factory=list)
    attempts_max: int = 1
    reach: WallOrder = field(default_factory=WallOrder)

    @classmethod
    def received(cls, text: str, log_bytes_max: int = LOG_BYTES_MAX) -> "Order":
        """Read what the provider sent: never what lies in the job's folder, which the job itself can write to. Raises ValueError."""
        sent = json.loads(text)
        spec, reach = sent["spec"], WallOrder(**sent["walls"])
        limits, array, nodes = spec["limits"], spec["array"], spec["nodes"]
        walls = Walls(
            memory_gib=limits["memory_gib"],
            file_gib=limits["file_gib"],
            seconds=None if spec["service"] else limits["seconds"],
            log_bytes=max(log_bytes_max // max(array, 1), min(LOG_BYTES_MIN, log_bytes_max)),
            processes=PROCESSES_A_SLOT * max(len(spec["slots"]) // nodes if not array else 1, 1),
        )
        asked = (spec["argv"], spec["environment"], spec["slot_kind"], spec["slots"], spec["service"], walls)
        later = (spec["devices"], nodes, array, spec["after"], spec["attempts_max"])
        return cls(spec["id"], *asked, *later, reach)

    def share(self, part: int, parts: int) -> "Order":
        """The same order with one part of the slots: each node has its own; where they do not go round, all share all."""
        each = len(self.slots) // parts
        if each * parts != len(self.slots) or not each:
            return self
        cut = slice(part * each, (part + 1) * each)
        return replace(self, slots=self.slots[cut], devices=self.devices[cut])

    def lanes(self) -> int:
        """How many tasks of an array run at one time: one on each slot, or on each core that we may use where none is leased."""
        return max(len(self.slots) or len(os.sched_getaffinity(0)), 1)

    def lane(self, number: int) -> "Order":
        """The same order with the one slot of a lane."""
        return self.share(number, len(self.slots)) if self.slots else self


@dataclass(frozen=True)
class Unit:
    """One program to start and watch: a job's only one, that of one node of it, or that of one task."""

    order: Order
    records: JobFolder
    """Where this unit's own run and exit records lie."""
    work: JobFolder
    """Its working folder, with its log and its checkpoints."""
    name: str = "job"
    variables: dict[str, str] = field(default_factory=dict)

    def at(self, port: int) -> "Unit":
        """The same unit with a place where its nodes meet."""
        return replace(self, variables=self.variables | {"MASTER_ADDR": LOOPBACK, "MASTER_PORT": str(port)})


def free_port() -> int:
    """A port of the loopback interface that nothing listens on, below those that the kernel gives to connections."""
    import socket  # noqa: PLC0415 - few jobs have nodes that meet, and every runner loads this module

    for _ in range(PORT_TRIES):
        port = PORTS[0] + int.from_bytes(os.urandom(4)) % (PORTS[1] - PORTS[0])
        with socket.socket() as door, suppress(OSError):
            door.bind((LOOPBACK, port))
            return port
    return PORTS[0]


def node_variables(rank: int, count: int) -> dict[str, str]:
    """What tells a program which of the job's nodes it is."""
    return {"NNODES": str(count), "NODE_RANK": str(rank), "WORLD_SIZE": str(count)}


def only_unit(order: Order, folder: JobFolder) -> Unit:
    """The program of a job of one node."""
    return Unit(order, folder, folder, variables=node_variables(0, 1))


def node_unit(order: Order, folder: JobFolder, rank: int) -> Unit:
    """The program of one node: all work in the job's folder and write to its log."""
    records = JobFolder(folder.nodes / str(rank))
    return Unit(order.share(rank, order.nodes), records, folder, f"node{rank}", node_variables(rank, order.nodes))


def task_unit(order: Order, folder: JobFolder, index: int, lane: int) -> Unit:
    """The program of one task of an array: it has a folder, a log and checkpoints of its own."""
    own = JobFolder(folder.task(index))
    variables = node_variables(0, 1) | {"LINESHAFT_ARRAY_INDEX": str(index), "LINESHAFT_ARRAY_COUNT": str(order.array)}
    return Unit(order.lane(lane), own, own, f"task{index}", variables)

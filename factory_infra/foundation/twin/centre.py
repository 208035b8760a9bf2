"""A simulated data centre of a pool: its state is a pure fold of the pool's entry, its log of commands and the time."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.foundation.twin.clock import Anchor
from factory_infra.foundation.twin.commands import Command, CommandLog, Writer
from factory_infra.foundation.twin.failures import HOUR, Failure, FailureModel, failures
from factory_infra.settings import Settings

LOG = "centre.jsonl"


@dataclass(frozen=True, slots=True)
class Node:
    """One machine that stands in the data centre, as it is at one time."""

    name: str
    rack: str
    failure: Failure | None = None
    """What is wrong with it now."""


def node_name(pool: TwinPool, index: int) -> str:
    """What the machine of an index is called."""
    return f"simulated-{pool.name}-{index:04d}"


def rack_name(pool: TwinPool, index: int) -> str:
    """The rack in which it stands."""
    return f"simulated-{pool.name}-rack-{index // pool.nodes_per_rack:03d}"


def machine_type(pool: TwinPool) -> str:
    """What its kind of machine is called."""
    return f"twin.{pool.gpus}x{pool.gpu.lower()}" if pool.gpus else f"twin.{pool.cores}cores"


class DataCentre:
    """Reads and writes the log of one pool; every process that does sees the same.

    Args:
        pool: its entry.
        settings: the home, below which the log lies.
        clock: real time, as Unix time; another one in tests.
    """

    def __init__(self, pool: TwinPool, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.pool = pool
        self.folder = settings.home / "twin" / pool.name
        self._log = CommandLog(self.folder / LOG)
        self._clock = clock

    def commands(self) -> Sequence[Command]:
        """What was asked so far; the data centre is opened by the first who looks."""
        commands = self._log.read()
        if not commands or self._speed_changed(commands):
            with self.writing() as writer:
                return writer.commands
        return commands

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Hold off every other writer, with the data centre open and its clock at the pool's speed. Raises StorageFull."""
        with self._log.writing() as writer:
            if not writer.commands:
                anchor = Anchor(self._clock(), 0.0, self.pool.speed)
                writer.append({"do": "open", "real": anchor.real, "virtual": 0.0, "speed": anchor.speed, "seed": self.pool.seed})
            elif self._speed_changed(writer.commands):
                real = self._clock()
                writer.append(
                    {"do": "speed", "real": real, "virtual": anchor_of(writer.commands).virtual_at(real), "speed": self.pool.speed}
                )
            yield writer

    def anchor(self) -> Anchor:
        """What turns real time into virtual time."""
        return anchor_of(self.commands())

    def virtual(self, writer: Writer) -> float:
        """Virtual seconds since it was opened, while its log is held."""
        return anchor_of(writer.commands).virtual_at(self._clock())

    def now(self) -> float:
        """Virtual seconds since it was opened."""
        return self.anchor().virtual_at(self._clock())

    def fail(self, node: str, hours: float = 1.0) -> None:
        """Let one machine fail now, for so many virtual hours: to see what comes of it."""
        with self.writing() as writer:
            at = self.virtual(writer)
            writer.append({"do": "fail", "node": node, "at": at, "until": at + hours * HOUR})

    def nodes(self, at: float | None = None) -> list[Node]:
        """Every machine that stands there, as it is at a virtual time that is not to come; now if None."""
        commands = self.commands()
        now = anchor_of(commands).virtual_at(self._clock()) if at is None else at
        return [self._node(index, commands, now) for index in range(self.pool.nodes)]

    def _node(self, index: int, commands: Sequence[Command], now: float) -> Node:
        name = node_name(self.pool, index)
        wrong = [each for each in self.failures(name, commands, now) if each.back_at > now]
        return Node(name, rack_name(self.pool, index), wrong[-1] if wrong else None)

    def failures(self, node: str, commands: Sequence[Command], until: float) -> list[Failure]:
        """The failures of a machine up to a virtual time: those of its seed, and those that were asked for."""
        model = FailureModel(fleet=self.pool.failures, scale=self.pool.failure_scale)
        asked = [
            Failure(float(str(each["at"])), "asked_for", float(str(each["until"])))
            for each in commands
            if each["do"] == "fail" and each["node"] == node and float(str(each["at"])) <= until
        ]
        return sorted([*drawn(model, self.pool.seed, node, until), *asked], key=lambda each: each.at)

    def _speed_changed(self, commands: Sequence[Command]) -> bool:
        return anchor_of(commands).speed != self.pool.speed


def anchor_of(commands: Sequence[Command]) -> Anchor:
    """The last moment at which the clock was set."""
    for each in reversed(commands):
        if each["do"] in {"open", "speed"}:
            return Anchor(float(str(each["real"])), float(str(each["virtual"])), float(str(each["speed"])))
    return Anchor()


def drawn(model: FailureModel, seed: int, node: str, until: float) -> list[Failure]:
    """A machine's failures of its seed that began by then."""
    if model.per_node_second <= 0:
        return []
    day = 24 * HOUR
    return [each for each in _drawn(model, seed, node, (int(until // day) + 1) * day) if each.at <= until]


@lru_cache(maxsize=20_000)
def _drawn(model: FailureModel, seed: int, node: str, until: float) -> tuple[Failure, ...]:
    """The same, by whole days, so that it is drawn once a day and not at each look."""
    found = []
    for failure in failures(model, seed, node):
        if failure.at > until:
            break
        found.append(failure)
    return tuple(found)

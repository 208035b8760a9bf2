"""Machines that are made in a simulated data centre: which clusters there are, and how each machine fares, by log, seed and time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf

from factory_infra.foundation.pools.spec import PriceClass, TwinPool
from factory_infra.foundation.twin.commands import Command
from factory_infra.foundation.twin.failures import FailureModel, failures
from factory_infra.foundation.twin.market import Market, MarketTape


@dataclass(frozen=True, slots=True)
class Rules:
    """What of a pool's entry says how machines fare."""

    name: str
    seed: int
    market: Market
    failures: FailureModel

    @classmethod
    def of(cls, pool: TwinPool) -> "Rules":
        """Of a pool."""
        return cls(pool.name, pool.seed, pool.market, FailureModel(fleet=pool.failures, scale=pool.failure_scale))


@dataclass(frozen=True, slots=True)
class Life:
    """When a machine was asked for, is ready, is told that it will end, and ends by itself. Virtual seconds."""

    asked_at: float
    ready_at: float
    told_at: float
    ends_at: float


@dataclass
class Made:
    """One cluster as the log tells it."""

    id: str
    tenant: str
    lease: str
    run: str
    price_class: PriceClass
    wanted: int
    asked_at: float
    machines: dict[str, float] = field(default_factory=dict)
    """When each was asked for."""
    leaving: set[str] = field(default_factory=set)
    """Those that were replaced and are left to their own end."""
    keys: set[str] = field(default_factory=set)
    """Changes that were made already."""
    released: bool = False

    def staying(self, pool: TwinPool, now: float) -> list[str]:
        """Its machines that are there now and are to stay."""
        return [name for name in self.there(pool, now) if name not in self.leaving]

    def there(self, pool: TwinPool, now: float) -> list[str]:
        """All of its machines that are there now."""
        rules = Rules.of(pool)
        return [name for name, at in self.machines.items() if life(rules, name, self.price_class, at).ends_at > now]


@dataclass
class Stock:
    """Everything that was made, and how much more can be."""

    clusters: dict[str, Made] = field(default_factory=dict)
    total: int | None = None
    """So many machines at most, where that was set after the pool's entry."""
    made: int = 0
    """How many were ever made: the next one's number."""

    def free(self, pool: TwinPool, now: float) -> int:
        """How many machines can be had now."""
        there = sum(len(each.there(pool, now)) for each in self.clusters.values())
        return max(0, (pool.machines_max if self.total is None else self.total) - there)


def fold(commands: Sequence[Command]) -> Stock:
    """What the commands come to, in their order."""
    stock = Stock()
    for each in commands:
        what = str(each["do"])
        if what == "stock":
            stock.total = None if each["total"] is None else int(str(each["total"]))
        elif what == "provision":
            _provision(stock, each)
        elif what in {"scale", "replace", "release"}:
            _change(stock, stock.clusters[str(each["id"])], each)
    return stock


def _provision(stock: Stock, each: Command) -> None:
    price_class: PriceClass = each["price_class"]  # type: ignore[assignment]  # as it was validated when it was written
    at = float(str(each["at"]))
    made = Made(str(each["id"]), str(each["tenant"]), str(each["lease"]), str(each["run"]), price_class, int(str(each["wanted"])), at)
    made.machines = dict.fromkeys(names(each, "add"), at)
    stock.made += len(made.machines)
    stock.clusters[made.id] = made


def _change(stock: Stock, made: Made, each: Command) -> None:
    at = float(str(each["at"]))
    if each["do"] == "release":
        made.released, made.machines, made.wanted = True, {}, 0
        return
    fresh = names(each, "add")
    stock.made += len(fresh)
    made.machines |= dict.fromkeys(fresh, at)
    for name in names(each, "remove"):
        made.machines.pop(name, None)
    made.leaving |= set(names(each, "leave"))
    made.keys.add(str(each["key"]))
    made.wanted = int(str(each["wanted"]))


def names(command: Command, key: str) -> list[str]:
    """A list of machines in a command."""
    found = command.get(key)
    return [str(each) for each in found] if isinstance(found, list) else []


@lru_cache(maxsize=20_000)
def life(rules: Rules, machine: str, price_class: PriceClass, asked_at: float) -> Life:
    """How one machine fares: ready after its start, ended by the market, where it is a spot one, or by a failure."""
    tape = tape_of(rules, price_class)
    ready = asked_at + tape.start_seconds(machine)
    failed = next((each.at for each in failures(rules.failures, rules.seed, machine, ready)), inf)
    told = ends = inf
    if price_class == "spot":
        told = min(tape.interruptions(machine, ready), next((each.at for each in tape.changes(asked_at) if not each.in_stock), inf))
        ends = told + rules.market.notice_seconds
    return Life(asked_at, ready, told if ends <= failed else inf, min(ends, failed))


@lru_cache(maxsize=64)
def tape_of(rules: Rules, price_class: PriceClass) -> MarketTape:
    """The market of a price class."""
    return MarketTape(rules.market.model_copy(update={"spot": price_class == "spot"}), rules.seed, rules.name)

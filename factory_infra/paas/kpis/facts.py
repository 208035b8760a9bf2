"""From events to the sums of a window: pure, and slow. What it gives is what the kept sums must give."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from pydantic import JsonValue

from factory_infra.errors import InvalidInput
from factory_infra.paas.kpis.rules import DELAYED, DISTRIBUTIONS, LEVELS, NO_TEAMS, RULES, TENANT, UNREADABLE, VALUE_MAX, Rule

MICROSECOND = timedelta(microseconds=1)
DIM_MAX = 200
WINDOW_DAYS_MAX = 3660


class LogEvent(NamedTuple):
    """An event as far as the numbers look at it."""

    key: str
    kind: str
    tenant: str | None
    payload: Mapping[str, JsonValue]
    at: datetime

    @property
    def subject(self) -> str:
        """What it happened to."""
        return self.key.rpartition("/")[0]


class Fact(NamedTuple):
    """What one event adds to one series."""

    series: str
    dim: str
    at: datetime
    value: int
    """Of a distribution, where it adds; else 0."""
    n: int


class Window(NamedTuple):
    """From a moment, which belongs to it, until another, which does not."""

    since: datetime
    until: datetime

    @property
    def microseconds(self) -> int:
        """Its length."""
        return (self.until - self.since) // MICROSECOND

    def earlier(self, seconds: int) -> "Window":
        """The same, so much earlier."""
        return Window(self.since - timedelta(seconds=seconds), self.until - timedelta(seconds=seconds))


def window(since: datetime, until: datetime) -> Window:
    """A window. Raises InvalidInput `period_invalid` for one that is empty, or longer than ten years."""
    if not timedelta(0) < until - since <= timedelta(days=WINDOW_DAYS_MAX):
        raise InvalidInput(
            f"From {since.isoformat()} until {until.isoformat()} is no window.",
            remedy="Name a beginning before the end, at most ten years before it.",
            code="period_invalid",
        )
    return Window(since, until)


class Sum(NamedTuple):
    """A series within a window."""

    n: int = 0
    """What was added."""
    area: int = 0
    """Of a level: it over time, in weight times microseconds."""
    level: int = 0
    """Of a level: what stands at the end."""


class Counterfactual(NamedTuple):
    """What slots would have cost otherwise, as it was fixed."""

    digest: str
    at: datetime
    document: Mapping[str, JsonValue]


@dataclass(frozen=True)
class Measured:
    """All that the metrics read of the log, for one window."""

    window: Window
    sums: Mapping[tuple[str, str], Sum]
    """By series and dims."""
    values: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """Of each distribution: how often which value."""
    counterfactuals: tuple[Counterfactual, ...] = ()
    """Those that were fixed by the end of the window, oldest first."""

    @cached_property
    def by_series(self) -> Mapping[str, Mapping[str, Sum]]:
        """The sums by series, and by dims within each."""
        found: dict[str, dict[str, Sum]] = {}
        for (series, dim), each in self.sums.items():
            found.setdefault(series, {})[dim] = each
        return found

    def of(self, series: str) -> Mapping[str, Sum]:
        """A series by its dims."""
        return self.by_series.get(series, {})

    def total(self, series: str) -> Sum:
        """A series over all its dims."""
        return add(self.of(series).values())

    def unreadable(self, *kinds: str) -> int:
        """Events of some kinds whose number could not be read."""
        return sum(each.n for dim, each in self.of(UNREADABLE).items() if dim.partition(" ")[0] in kinds)


def add(sums: Iterable[Sum]) -> Sum:
    """Add sums up."""
    n = area = level = 0
    for each in sums:
        n, area, level = n + each.n, area + each.area, level + each.level
    return Sum(n, area, level)


def facts(events: Iterable[LogEvent]) -> Iterator[Fact]:
    """What a log says; in any order, each key once."""
    by_key: dict[str, LogEvent] = {}
    for event in events:
        by_key.setdefault(event.key, event)
    by_kind: dict[str, list[LogEvent]] = defaultdict(list)
    for event in by_key.values():
        by_kind[event.kind].append(event)
    for rule in RULES:
        for event in by_kind[rule.kind]:
            partner = by_key.get(f"{event.subject}/{rule.partner_verb}") if rule.partner else None
            fact = fact_of(rule, event, partner)
            if fact is not None:
                yield fact
    for kind, name in numbers():
        for event in by_kind[kind]:
            if number(event.payload, name) is None:
                yield Fact(UNREADABLE, f"{kind} {name}", event.at, 0, 1)


def numbers() -> list[tuple[str, str]]:
    """Every field that is read as a number, with the kind of its events."""
    return sorted({(rule.kind, rule.value) for rule in RULES if rule.value and not rule.from_partner})


def fact_of(rule: Rule, event: LogEvent, partner: LogEvent | None) -> Fact | None:
    """What an event adds by a rule; None where it adds nothing."""
    if not meets(event.payload, rule.when) or (rule.teams and (event.tenant is None or event.tenant in NO_TEAMS)):
        return None
    if rule.partner and not (partner is not None and partnered(rule, event, partner)):
        return None
    source = partner if rule.from_partner and partner is not None else event
    amount = number(source.payload, rule.value) if rule.value else 1
    if amount is None:
        return None
    dim = "/".join(text(source, name) for name in rule.dims)[:DIM_MAX]
    if rule.spread:
        return Fact(rule.series, dim, event.at, -(-amount // rule.spread), 1)
    return Fact(rule.series, dim, event.at, 0, rule.sign * amount)


def partnered(rule: Rule, event: LogEvent, partner: LogEvent) -> bool:
    """Whether an event has the partner that a rule asks for."""
    apart = (event.at - partner.at if rule.partner_before else partner.at - event.at) // MICROSECOND
    near = not rule.partner_seconds or apart <= rule.partner_seconds * 1_000_000
    return partner.kind == rule.partner and apart >= 0 and near and meets(partner.payload, rule.partner_when)


def meets(payload: Mapping[str, JsonValue], when: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether fields have one of the values that are asked for."""
    return all(word(payload.get(name)) in wanted for name, wanted in when.items())


def word(value: JsonValue) -> str | None:
    """A value as it is compared."""
    return str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else None


def text(event: LogEvent, name: str) -> str:
    """A dim."""
    value = event.tenant if name == TENANT else event.payload.get(name)
    return value if isinstance(value, str) else ""


def number(payload: Mapping[str, JsonValue], name: str) -> int | None:
    """A whole number, rounded down; None for what is none, is negative, or is larger than any that is meant."""
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= VALUE_MAX:
        return None
    return math.floor(value)


def measured(events: Iterable[LogEvent], over: Window, counterfactuals: tuple[Counterfactual, ...] = ()) -> Measured:
    """Add a log up over a window."""
    sums: dict[tuple[str, str], Sum] = {}
    values: dict[str, dict[int, int]] = {}
    for fact in facts(events):
        meant = over.earlier(DELAYED.get(fact.series, 0))
        if fact.at >= meant.until:
            continue
        within = fact.at >= meant.since
        if fact.series in DISTRIBUTIONS:
            if within:
                counts = values.setdefault(fact.series, {})
                counts[fact.value] = counts.get(fact.value, 0) + fact.n
            continue
        key, one = (fact.series, fact.dim), Sum(fact.n if within else 0)
        if fact.series in LEVELS:
            one = Sum(one.n, fact.n * ((meant.until - max(fact.at, meant.since)) // MICROSECOND), fact.n)
        sums[key] = add((sums.get(key, Sum()), one))
    return Measured(over, sums, values, tuple(each for each in counterfactuals if each.at < over.until))

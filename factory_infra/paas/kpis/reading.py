"""How a window is read from the kept sums: whole days, whole hours, and the events at its edges."""
# ruff: noqa: S608 - what stands in these statements is this package's own; every value is bound

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from factory_infra.paas.kpis.facts import Window
from factory_infra.paas.kpis.rules import LEVELS, RULES, UNREADABLE, rules_of
from factory_infra.paas.kpis.statements import FIELDS, MICROSECONDS, UPTO, of_edges, quoted

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AREA = "CASE WHEN series = ANY(:levels) THEN {sum} ELSE 0 END"
"""Only levels have one, and it is dear to reckon."""


class Piece(NamedTuple):
    """Part of a window: hours or days that were added up, or (level None) events to add up now."""

    level: int | None
    since: datetime | None
    until: datetime


def floor(moment: datetime, unit: timedelta) -> datetime:
    """The beginning of the hour or day, UTC."""
    return EPOCH + ((moment - EPOCH) // unit) * unit


def ceiling(moment: datetime, unit: timedelta) -> datetime:
    """The first beginning of an hour or day that is not before a moment, UTC."""
    return EPOCH - ((EPOCH - moment) // unit) * unit


def pieces(over: Window) -> Iterator[Piece]:
    """A window as whole days, whole hours, and events at its edges."""
    since, until = over
    hour_since, hour_until = ceiling(since, HOUR), floor(until, HOUR)
    if hour_since >= hour_until:
        edges = [(since, min(hour_since, until)), (max(hour_since, since), until)] if since < hour_since <= until else [(since, until)]
        yield from (Piece(None, first, last) for first, last in edges if first < last)
        return
    day_since, day_until = ceiling(hour_since, DAY), floor(hour_until, DAY)
    parts: list[tuple[int | None, datetime, datetime]] = [(None, since, hour_since), (None, hour_until, until)]
    if day_since < day_until:
        parts += [(0, hour_since, day_since), (1, day_since, day_until), (0, day_until, hour_until)]
    else:
        parts += [(0, hour_since, hour_until)]
    yield from (Piece(level, first, last) for level, first, last in parts if first < last)


def pieces_before(moment: datetime) -> Iterator[Piece]:
    """All time before a moment, in the same way."""
    day, hour = floor(moment, DAY), floor(moment, HOUR)
    yield Piece(1, None, day)
    yield from (Piece(level, first, last) for level, first, last in ((0, day, hour), (None, hour, moment)) if first < last)


def question(over: Window, series: frozenset[str]) -> tuple[dict[str, object], str]:
    """The statement that reads a window, with its parameters."""
    asked: dict[str, object] = {"until": over.until, "series": sorted(series), "levels": sorted(series & LEVELS)}
    parts, edges = [], []
    span = MICROSECONDS.format(to="CAST(:until AS timestamptz)", since="{}")
    sought = [(piece, True) for piece in pieces(over)]
    if series & LEVELS:
        sought += [(piece, False) for piece in pieces_before(over.since)]
    for number, (piece, within) in enumerate(sought):
        asked |= {f"since{number}": piece.since, f"until{number}": piece.until} if piece.since else {f"until{number}": piece.until}
        column = "at" if piece.level is None else "bucket"
        bound = [f"{column} < CAST(:until{number} AS timestamptz)"]
        bound += [f"{column} >= CAST(:since{number} AS timestamptz)"] if piece.since else []
        area = f"n * {span.format(column)}"
        if piece.level is None:
            edges.append(f"({' AND '.join(bound)})")
            source = "edges"
        else:
            source, bound, area = "kpi_sums", [*bound, f"level = {piece.level}"], f"{area} - off"
        shown = f"0, n, {AREA.format(sum=area)}" if within else "n, 0, 0"
        bound.append(f"series = ANY({':series' if within else ':levels'})")
        parts.append(f"SELECT series, dim, value, {shown} FROM {source} WHERE {' AND '.join(bound)}")
    names = "series, dim, value, before, n, area"
    body = "\nUNION ALL ".join(parts)
    sums = "SELECT series, dim, value, sum(before), sum(n), sum(area)"
    return asked, f"{edge_facts(edges, series)}{sums} FROM ({body}) AS all_of ({names}) GROUP BY 1, 2, 3"


def edge_facts(edges: list[str], series: frozenset[str]) -> str:
    """The facts of the events at the window's edges, which no whole hour holds; only of events that were read."""
    if not edges:
        return ""
    kinds = sorted({rule.kind for rule in (RULES if UNREADABLE in series else rules_of(series))})
    log = (
        f"SELECT {FIELDS} FROM events WHERE kind IN ({', '.join(map(quoted, kinds))}) AND ({' OR '.join(edges)}) "
        f"AND {UPTO.format(alias='events')}"
    )
    return f"WITH log AS MATERIALIZED ({log}), {of_edges(rules_of(series), doubts=UNREADABLE in series)} "

"""How long a search of the catalog takes among 100,000 entries, embedding the query included, and how soon a deletion is gone.

`python -m benchmarks.control_plane.catalog_search [--entries N] [--seed N] [--queries N]` starts PostgreSQL, Chroma and the model server.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from sqlalchemy import text

from benchmarks.control_plane.catalog_parts import TEAMS, Maker, fill
from cli.checks import Check, print_checks
from evals.retrieval.parts import installation
from factory_infra.factory import Factory
from factory_infra.paas.catalog.models import CatalogEntry, Filters, Viewer
from factory_infra.second_wall import seen_by
from workflows.cataloguing import watch_catalog

ENTRIES, SEED = 100_000, 20
QUERIES = 400
P95_MS_MAX = 50.0
GONE_SECONDS_MAX = 5.0
Search = Callable[[str], Awaitable[object]]


async def timed(search: Search, queries: Sequence[str], at_once: int = 1) -> list[float]:
    """Milliseconds of each search; every query is asked once, so no vector of it is remembered."""
    taken: list[float] = []

    async def some(part: Sequence[str]) -> None:
        for query in part:
            began = time.perf_counter()
            await search(query)
            taken.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(some(queries[start::at_once]) for start in range(at_once)))
    return taken


def row(name: str, taken: list[float], goal: float | None = P95_MS_MAX) -> Check:
    """Percentiles against the goal."""
    p50, p95, p99 = (float(np.percentile(taken, share)) for share in (50, 95, 99))
    held = goal is None or p95 <= goal
    return Check(name, f"p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms", "told" if goal is None else f"p95 <= {goal:g} ms", held)


class Asked:
    """Queries that were not asked before."""

    def __init__(self, seed: int) -> None:
        self._maker = Maker(seed)
        self._seen: set[str] = set()

    def some(self, count: int) -> list[str]:
        """So many."""
        found: list[str] = []
        while len(found) < count:
            query = self._maker.question()
            if query not in self._seen:
                self._seen.add(query)
                found.append(query)
        return found


async def speeds(factory: Factory, asked: Asked, entries: int, queries: int) -> list[Check]:
    """Searches of a team behind both walls, and the parts that a search is made of."""
    index, viewer = factory.catalog_index, Viewer.of(TEAMS[3], actor="person-1")

    def with_filters(filters: Filters) -> Search:
        return lambda query: index.find(viewer, query, filters, 10)

    with seen_by(TEAMS[3]):
        await timed(with_filters(Filters()), asked.some(40))
        found = [
            row(f"a search among {entries:,} entries, new words each time", await timed(with_filters(Filters()), asked.some(queries))),
            row("the same of one kind", await timed(with_filters(Filters(kind="dataset")), asked.some(queries // 2))),
            row("the same with a rare tag", await timed(with_filters(Filters(tag="series-77")), asked.some(queries // 2))),
            row("the same with a common badge", await timed(with_filters(Filters(badge="quality:good")), asked.some(queries // 2))),
            row("4 at one time", await timed(with_filters(Filters()), asked.some(queries), 4), goal=None),
        ]
        again = asked.some(100)
        await timed(with_filters(Filters()), again)
        found.append(row("asked again: the vector of the query is remembered", await timed(with_filters(Filters()), again), goal=None))
        found.append(row("a page of the list", await timed(lambda _: factory.catalog.list(viewer, limit=50), again)))
    parts: dict[str, Search] = {
        "of it: embedding the query": lambda query: factory.embeddings.embed([query]),
        "of it: words alone": lambda query: factory.catalog.match(viewer, query, limit=60),
    }
    return found + [row(name, await timed(search, asked.some(queries // 2)), goal=None) for name, search in parts.items()]


async def changes(factory: Factory, entries: Sequence[CatalogEntry]) -> list[Check]:
    """How soon what is new is found by meaning, and what is removed is gone from the search and from the index."""
    worker = asyncio.create_task(watch_catalog(factory))
    viewer, query = Viewer.of(TEAMS[3]), "which root calms the stomach of a sailor"
    fresh = CatalogEntry(
        id=f"document/{TEAMS[3]}/ginger",
        kind="document",
        tenant=TEAMS[3],
        name="ginger",
        description="Ginger root calms the stomach of sailors at sea.",
    )
    try:
        began = time.perf_counter()
        await factory.catalog.put(fresh)
        found = await until("a new entry is found", lambda: stands(factory, viewer, query, fresh.id, there=True))
        began_gone = time.perf_counter()
        await factory.catalog.remove(fresh.id)
        left = (await factory.catalog_index.find(viewer, query)).entries
        at_once = time.perf_counter() - began_gone
        gone = await until("a removed entry is erased", lambda: forgotten(factory))
    finally:
        worker.cancel()
    return [
        Check(
            "a new entry is found by meaning after",
            f"{found - began:.2f} s",
            f"<= {GONE_SECONDS_MAX:g} s",
            found - began <= GONE_SECONDS_MAX,
        ),
        Check(
            "the first search after a deletion does not show it",
            f"{'gone' if fresh.id not in [each.id for each in left] else 'still there'}, {at_once * 1000:.0f} ms",
            "gone",
            fresh.id not in [each.id for each in left],
        ),
        Check(
            "a deletion is gone from the index after",
            f"{gone - began_gone:.2f} s",
            f"<= {GONE_SECONDS_MAX:g} s",
            gone - began_gone <= GONE_SECONDS_MAX,
        ),
    ]


async def stands(factory: Factory, viewer: Viewer, query: str, entry_id: str, *, there: bool) -> bool:
    """Whether an entry is among what lies near by meaning alone: how high, the evaluation of the search measures."""
    return (entry_id in await factory.catalog_index.meant(viewer, query, 60)) is there


async def forgotten(factory: Factory) -> bool:
    """Whether the index is up to the catalog, removed entries erased."""
    async with factory.database.reading() as connection:
        left = await connection.scalar(text("SELECT count(*) FROM catalog_entries WHERE removed_at IS NOT NULL"))
    return not left


async def until(what: str, holds: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> float:
    """The moment at which it holds. Raises RuntimeError if it never does."""
    deadline = time.perf_counter() + seconds
    while not await holds():
        if time.perf_counter() > deadline:
            raise RuntimeError(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(0.02)
    return time.perf_counter()


async def control(factory: Factory, asked: Asked) -> list[Check]:
    """Without the index of words the goal is missed: what holds it is the index, not the size of the machine."""
    async with factory.database.transaction() as session:
        await session.execute(text("DROP INDEX catalog_entries_words"))
    taken = await timed(lambda query: factory.catalog.match(Viewer.of(TEAMS[3]), query, limit=60), asked.some(30))
    p95 = float(np.percentile(taken, 95))
    return [Check("control: words alone, without the index of words", f"p95 {p95:.1f} ms", f"p95 > {P95_MS_MAX:g} ms", p95 > P95_MS_MAX)]


async def measured(factory: Factory, entries: int, seed: int, queries: int) -> list[Check]:
    """All figures."""
    maker, asked = Maker(seed), Asked(seed + 1)
    made = [maker.entry(number) for number in range(entries)]
    began = time.perf_counter()
    await fill(factory, made)
    filled = Check(f"{entries:,} entries written and indexed", f"{time.perf_counter() - began:.0f} s", "told", held=True)
    found = [filled, *await speeds(factory, asked, entries, queries), *await changes(factory, made), *await control(factory, asked)]
    await factory.close()
    return found


def checks(entries: int = ENTRIES, seed: int = SEED, queries: int = QUERIES) -> list[Check]:
    """Measure on servers of its own."""
    with tempfile.TemporaryDirectory(prefix="lineshaft-catalog-") as home, installation(Path(home)) as factory:
        return asyncio.run(measured(factory, entries, seed, queries))


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--entries", type=int, default=ENTRIES)
    reader.add_argument("--seed", type=int, default=SEED)
    reader.add_argument("--queries", type=int, default=QUERIES)
    wanted = reader.parse_args()
    rows = checks(wanted.entries, wanted.seed, wanted.queries)
    print_checks(Console(width=150, highlight=False), rows)
    sys.exit(0 if all(check.held for check in rows) else 1)

"""How long a reading of features takes from PostgreSQL, with 100,000 entities of 20 features; and what Feast's parts take.

`python -m benchmarks.control_plane.feature_reads` starts a PostgreSQL of its own.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
from pydantic import JsonValue, SecretStr
from rich.console import Console

from cli.checks import Check, print_checks
from evals.database import postgres
from factory_infra.database import Database, utcnow
from factory_infra.paas.features.models import Feature, FeatureView, Key, StoredView, TrainingSetSpec
from factory_infra.paas.features.providers.feast_local import FeastLocal
from factory_infra.paas.features.service import Features
from factory_infra.paas.features.training_sets import TrainingSets
from factory_infra.second_wall import seen_by

ENTITIES, BATCH, FEATURES = 100_000, 10_000, 20
READS, AT_ONCE = 2_000, 8
P99_MS_MAX = 10.0
TEAM = "vision"
VIEW = FeatureView(
    name="customers",
    keys=(Key(name="customer", kind="int"),),
    features=tuple(Feature(name=f"feature_{number}") for number in range(FEATURES)),
    timestamp="seen_at",
)
Read = Callable[[int], Awaitable[object]]


async def filled(features: Features) -> tuple[StoredView, float]:
    """The view with all its rows, and how many rows a second were written."""
    view = await features.define(TEAM, VIEW, "benchmark")
    chance, began = np.random.default_rng(0), time.perf_counter()
    for start in range(0, ENTITIES, BATCH):
        values = chance.normal(size=(BATCH, FEATURES)).tolist()
        seen = (utcnow() - timedelta(minutes=5)).isoformat()
        rows: list[dict[str, JsonValue]] = [
            {"customer": start + number, "seen_at": seen, **{f"feature_{place}": value for place, value in enumerate(row)}}
            for number, row in enumerate(values)
        ]
        await features.write(view, rows, f"batch-{start}")
    return view, ENTITIES / (time.perf_counter() - began)


async def timed(read: Read, count: int, at_once: int = 1) -> list[float]:
    """Milliseconds of each of so many readings of entities by chance."""
    order = np.random.default_rng(1).integers(0, ENTITIES, count).tolist()
    taken: list[float] = []

    async def some(numbers: list[int]) -> None:
        for number in numbers:
            began = time.perf_counter()
            await read(number)
            taken.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(some(order[start::at_once]) for start in range(at_once)))
    return taken


def row(name: str, taken: list[float], goal: float | None = P99_MS_MAX) -> Check:
    """Percentiles against the goal."""
    p50, p99 = (float(np.percentile(taken, share)) for share in (50, 99))
    held = goal is None or p99 <= goal
    return Check(name, f"p50 {p50:.2f}, p99 {p99:.2f} ms", "told" if goal is None else f"p99 <= {goal:g} ms", held)


async def measured(url: str, folder: Path) -> list[Check]:
    """All figures."""
    database = Database(url)
    store = FeastLocal(database, SecretStr(url), str(folder / "features"), folder / "laid-out")
    features = Features(database, "feast_local", lambda _: store)
    view, rate = await filled(features)

    async def one(number: int) -> object:
        found = await features.views.recent(TEAM, "customers")
        return await features.read(found, [{"customer": number}])

    async def hundred(number: int) -> object:
        found = await features.views.recent(TEAM, "customers")
        return await features.read(found, [{"customer": (number + each * 7) % ENTITIES} for each in range(100)])

    await timed(one, 200)
    own = time.process_time()
    await timed(one, READS)
    own = (time.process_time() - own) / READS * 1000
    found = [
        Check("what a reading takes of this process, whatever else the host does", f"{own:.2f} ms", "told", held=True),
        Check("feature rows written, history and newest values", f"{rate:,.0f} a second", "told", held=True),
        row(f"a reading of 1 entity of {ENTITIES:,}", await timed(one, READS)),
        row("a reading of 100 entities", await timed(hundred, READS // 4)),
        row(f"a reading of 1, {AT_ONCE} at one time", await timed(one, READS, AT_ONCE), goal=None),
    ]
    with seen_by(TEAM):
        found.append(row("a reading of 1, behind the wall between teams", await timed(one, READS)))
    found += await by_feast(features, store, view, folder, database)
    await store.close()
    await database.close()
    return found


async def by_feast(features: Features, store: FeastLocal, view: StoredView, folder: Path, database: Database) -> list[Check]:
    """What Feast's process takes: to load, to read, to join."""
    began = time.perf_counter()
    await store.by_feast(view, [(1,)])
    loaded = time.perf_counter() - began
    taken = await timed(lambda number: store.by_feast(view, [(number,)]), 30)
    asks: tuple[dict[str, JsonValue], ...] = tuple({"customer": n, "event_at": utcnow().isoformat()} for n in range(0, ENTITIES, 10))
    began = time.perf_counter()
    await TrainingSets(database, features, folder / "sets").make(TEAM, TrainingSetSpec(features=("customers",), rows=asks), "k", "b")
    joined = time.perf_counter() - began
    return [
        Check("Feast's process is loaded and its registry made", f"{loaded:.1f} s", "told", held=True),
        row("the same reading by Feast, in that process", taken, goal=None),
        Check(f"a training set of {len(asks):,} rows by {FEATURES} from {ENTITIES:,} events", f"{joined:.1f} s", "told", held=True),
    ]


def checks() -> list[Check]:
    """Measure on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="lineshaft-reads-") as home, postgres(Path(home) / "pg") as url:
        return asyncio.run(measured(url, Path(home)))


if __name__ == "__main__":
    found = checks()
    print_checks(Console(width=150, highlight=False), found)
    sys.exit(0 if all(check.held for check in found) else 1)

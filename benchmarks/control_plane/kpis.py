"""The key figures over ten million events: how long the log takes to be read, how long the page takes, and whether it is exact."""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
from rich.console import Console

from cli.checks import Check, print_checks
from evals.database import postgres
from factory_infra.database import Database
from factory_infra.paas.kpis.aggregates import Aggregates
from factory_infra.paas.kpis.facts import Window
from factory_infra.paas.kpis.metrics.book import METRICS
from factory_infra.paas.kpis.service import Kpis
from factory_infra.paas.kpis.statements import shown

EVENTS, DAYS, SEED = 10_000_000, 90, 20_260
TEAMS, POOLS, NODES = 200, 12, 2000
PAGES, PAGE_MS_MAX = 40, 300.0
CHUNK = 4000
BATCH = 100_000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
EXACT = ("gpu_occupancy", "provisioning_slots", "self_service", "deployment_success")
"""Figures that are counted once more from the whole log, by the statement that is shown with them."""
LATE = """INSERT INTO events (key, tenant, thread_id, plan_id, run_id, kind, payload, at)
VALUES ('late/closed', 'team-1', '', '', '', 'plan.closed', '{"state": "done", "hands": "team"}', '2026-01-06T12:00:00Z')"""
COLUMNS = "key, tenant, thread_id, plan_id, run_id, kind, payload, at"


class Year:
    """Draws a log of a large installation: what is written, in lines that COPY reads."""

    def __init__(self, events: int, seed: int) -> None:
        self._events = events
        self._draw = random.Random(seed)  # noqa: S311 - a log to measure with
        self._span = DAYS * 86_400.0

    def lines(self) -> Iterator[str]:
        """Every event; those of one thing lie together, so that many come earlier or later than their time."""
        yield from self._standing()
        written, number = TEAMS + POOLS + NODES, 0
        while written < self._events:
            told = list(self._step(number))
            yield from told
            written, number = written + len(told), number + 1

    def _line(self, key: str, kind: str, seconds: float, payload: str, team: int | None) -> str:
        at = (BEGIN + timedelta(seconds=seconds)).isoformat()
        tenant = "\\N" if team is None else f"team-{team}"
        return f"{key}\t{tenant}\t\t\t\t{kind}\t{payload}\t{at}\n"

    def _standing(self) -> Iterator[str]:
        for team in range(TEAMS):
            yield self._line(f"team-{team}/made", "team.made", 0, "{}", team)
        for pool in range(POOLS):
            yield self._line(f"pool-{pool}-1/grown", "pool.grown", 0, json.dumps({"pool": f"p{pool}", "kind": "gpu", "slots": 4096}), None)
        for node in range(NODES):
            yield self._line(f"node-{node}/seen", "node.seen", 0, json.dumps({"pool": f"p{node % POOLS}", "node": f"n{node}"}), None)

    def _step(self, number: int) -> Iterator[str]:
        """What becomes of one lease, with what happens beside it."""
        draw, at = self._draw.random, self._draw.random() * self._span
        team, pool = int(draw() * TEAMS * 0.8), int(draw() * POOLS)
        held, wait = 600 + draw() * 20_000, int(draw() ** 4 * 400_000)
        about = f'"pool":"p{pool}","kind":"gpu","slots":{1 + int(draw() * 8)}'
        yield self._line(f"lease-{number}/begun", "lease.begun", at, f'{{{about},"provision_ms":{wait}}}', team)
        yield self._line(f"lease-{number}/ended", "lease.ended", at + held, f'{{{about},"state":"released"}}', team)
        yield self._line(f"job-{number}-1/started", "job.started", at + 5, f"{{{about}}}", team)
        state = "succeeded" if draw() < 0.8 else "failed"
        yield self._line(f"job-{number}-1/ended", "job.ended", at + held * 0.9, f'{{{about},"state":"{state}"}}', team)
        paid = f'{{"subject":"gpu:H100","currency":"EUR","slot_ms":{int(held * 1000)},"amount_nano":{int(held * 7e5)}}}'
        yield self._line(f"usage-{number}/settled", "usage.settled", at + held, paid, team)
        yield from self._beside(number, at, team)

    def _beside(self, number: int, at: float, team: int) -> Iterator[str]:
        draw = self._draw.random
        node = f'"pool":"p{number % POOLS}","node":"n{number % NODES}"'
        yield self._line(f"sample-{number}/sampled", "node.sampled", at, f'{{{node},"samples":8,"busy":{int(draw() * 80_000)}}}', None)
        surface = ("api", "gateway", "mcp", "worker")[number % 4]
        bad = int(draw() < 0.001)
        probed = f'{{"surface":"{surface}","ok":{6 - bad},"failed":{bad}}}'
        yield self._line(f"probe-{number}/probed", "surface.probed", number % 7_776_000, probed, None)
        hands = ("policy", "team", "platform")[int(draw() * 3)]
        closed = f'{{"state":"{"done" if draw() < 0.9 else "failed"}","hands":"{hands}"}}'
        yield self._line(f"plan-{number}/closed", "plan.closed", at, closed, team)
        if number % 10 == 0:
            yield self._line(f"deployment-{number}/live", "deployment.live", at, "{}", team)
            if draw() < 0.1:
                yield self._line(f"deployment-{number}/rolled_back", "deployment.rolled_back", at + draw() * 200_000, "{}", team)
        if number % 100 == 0:
            yield self._line(f"incident-{number}/failed", "node.failed", at, f"{{{node}}}", None)
            yield self._line(f"incident-{number}/mended", "node.mended", at + draw() * 40_000, f"{{{node}}}", None)


def fill(url: str, events: int, seed: int) -> tuple[float, float]:
    """Write the log by COPY, without its indexes, and make those after it. Returns the seconds of each."""
    began = time.monotonic()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute("SET synchronous_commit = off")
        indexes = connection.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'events'").fetchall()
        connection.execute("ALTER TABLE events DROP CONSTRAINT events_pkey, DROP CONSTRAINT IF EXISTS events_key_key")
        for name, _ in indexes:
            connection.execute(f'DROP INDEX IF EXISTS "{name}"'.encode())
        with connection.cursor().copy(f"COPY events ({COLUMNS}) FROM STDIN".encode()) as copy:
            part: list[str] = []
            for line in Year(events, seed).lines():
                part.append(line)
                if len(part) >= CHUNK:
                    copy.write("".join(part))
                    part.clear()
            copy.write("".join(part))
        filled = time.monotonic()
        for _, definition in indexes:
            connection.execute(definition.encode())
        connection.execute("ANALYZE events")
    return filled - began, time.monotonic() - filled


async def read_all(kept: Aggregates) -> tuple[int, float]:
    """Read the whole log into the sums. Returns how many events there were, and the seconds."""
    began = time.monotonic()
    progress = await kept.catch_up(batches=1_000_000, limit=BATCH)
    assert progress.whole
    return progress.events, time.monotonic() - began


def settle(url: str) -> None:
    """Do what a running server does by itself in the time in which so many events come: autovacuum, and a checkpoint."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("events", "kpi_sums"):
            connection.execute(f"VACUUM (ANALYZE) {table}".encode())
        connection.execute("CHECKPOINT")


def windows(seed: int) -> list[Window]:
    """As people ask: some days until now, months, hours; at even and at uneven moments."""
    draw = random.Random(seed)  # noqa: S311 - windows to measure with
    found = []
    for number in range(PAGES):
        days = draw.choice([1 / 24, 1, 7, 30, 30, 30, 90])
        since = BEGIN + timedelta(seconds=draw.uniform(0, max(DAYS - days, 0.5) * 86_400))
        since = since if number % 3 else since.replace(minute=0, second=0, microsecond=0)
        found.append(Window(since, since + timedelta(days=days)))
    return found


async def pages(kpis: Kpis, seed: int) -> list[float]:
    """Milliseconds of each page, over other windows each time."""
    await kpis.page(BEGIN, BEGIN + timedelta(days=30))
    taken = []
    for over in windows(seed):
        began = time.perf_counter()
        await kpis.page(*over)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


async def exact(database: Database, kpis: Kpis, over: Window) -> dict[str, bool]:
    """Whether figures are what the statement that is shown with them gives from the whole log."""
    found = {}
    for name in EXACT:
        measured, _ = await kpis.aggregates.measure(over, METRICS[name].series)
        async with database.transaction() as session:
            rows = (await (await session.connection()).exec_driver_sql(shown(METRICS[name].series, *over))).all()
        sums = {(row.series, row.dim): int(row.n) for row in rows if row.value is None and row.n}
        areas = {(row.series, row.dim): int(row.area) for row in rows if row.series in {"slots.owned", "slots.leased"}}
        spread = {row.value: int(row.n) for row in rows if row.value is not None and row.n}
        told = {key: each.n for key, each in measured.sums.items() if each.n and key[0] != "unreadable"}
        level = {key: each.area for key, each in measured.sums.items() if key in areas}
        same = told == {key: n for key, n in sums.items() if key[0] != "unreadable"} and level == areas
        found[name] = same and spread == dict(next(iter(measured.values.values()), {}))
    return found


async def late(kpis: Kpis, url: str) -> bool:
    """Whether an event that comes 80 days late is in the next page, once."""
    over = (BEGIN + timedelta(days=5), BEGIN + timedelta(days=6))
    before = (await kpis.page(*over, names=["self_service"])).kpis[0]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(LATE)
    after = (await kpis.page(*over, names=["self_service"])).kpis[0]
    again = (await kpis.page(*over, names=["self_service"])).kpis[0]
    return after.numerator.value == again.numerator.value == before.numerator.value + 1


async def measured(url: str, events: int, seed: int) -> list[Check]:
    """Fill, read, ask."""
    filled, indexed = await asyncio.to_thread(fill, url, events, seed)
    database = Database(url)
    kpis = Kpis(database)
    try:
        count, reading = await read_all(kpis.aggregates)
        await asyncio.to_thread(settle, url)
        taken = await pages(kpis, seed)
        middle, high = (float(each) for each in np.percentile(taken, [50, 95]))
        came = await late(kpis, url)
        same = await exact(database, kpis, Window(BEGIN + timedelta(days=20, minutes=17, seconds=3), BEGIN + timedelta(days=51, hours=5)))
    finally:
        await database.close()
    return [
        Check(f"{count:,} events written by COPY, and their indexes made", f"{filled:.0f} s + {indexed:.0f} s", "told", held=True),
        Check("the log is read into the sums", f"{reading:.0f} s, {count / reading:,.0f} events/s", "told", held=count >= events),
        Check(
            f"the page of {len(METRICS)} figures, p95 of {PAGES} windows",
            f"{high:.0f} ms (p50 {middle:.0f})",
            f"<= {PAGE_MS_MAX:.0f} ms",
            held=high <= PAGE_MS_MAX,
        ),
        Check("an event that comes 80 days late is counted, once", "yes" if came else "no", "yes", held=came),
        Check(
            "sums equal those of the whole log, to the microsecond",
            ", ".join(f"{name}: {'yes' if held else 'NO'}" for name, held in same.items()),
            "yes",
            held=all(same.values()),
        ),
    ]


def checks(events: int = EVENTS, seed: int = SEED) -> list[Check]:
    """Measure on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="lineshaft-kpis-") as home, postgres(Path(home) / "pg") as url:
        return asyncio.run(measured(url, events, seed))


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--events", type=int, default=EVENTS)
    reader.add_argument("--seed", type=int, default=SEED)
    asked = reader.parse_args()
    found = checks(asked.events, asked.seed)
    print_checks(Console(width=170, highlight=False), found)
    sys.exit(0 if all(check.held for check in found) else 1)

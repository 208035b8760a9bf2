"""Real requests of an LLM service, speeded up, through the gateway: the ledger's sums must equal the columns.

python -m benchmarks.gateway.replay FOLDER [--speed 60]: there lies a trace with the columns TIMESTAMP, ContextTokens, GeneratedTokens.
"""

import argparse
import asyncio
import csv
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import aiohttp
from rich.console import Console

from benchmarks.gateway.ground import Gateway, Ground, openai_backend, route, scratch_ground, until
from benchmarks.gateway.ledger import open_reservations, settled
from benchmarks.gateway.load import Order, call, scripted
from benchmarks.line.shell import ROOT
from cli.checks import Check, print_checks

FOLDER = ROOT.parent / "shared" / "data" / "azure-llm-2023"
LANES = 64
SPEED = 60.0
LETTERS_A_TOKEN = 4
SETTLED_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Row:
    """One request of the trace: when it came, seconds after the first, and its tokens."""

    at: float
    tokens_in: int
    tokens_out: int


def rows(folder: Path) -> list[Row]:
    """The trace, in its order. Raises FileNotFoundError where there is none."""
    path = next(iter(sorted(folder.glob("*.csv"))), folder / "trace.csv")
    with path.open(newline="") as file:
        read = [(moment(each["TIMESTAMP"]), int(each["ContextTokens"]), int(each["GeneratedTokens"])) for each in csv.DictReader(file)]
    return [Row((at - read[0][0]).total_seconds(), into, out) for at, into, out in read]


def moment(text: str) -> datetime:
    """A time with seven digits after the second."""
    return datetime.fromisoformat(text[:26])


def order(row: Row, number: int) -> Order:
    """A call whose prompt is as long as the trace's, to an upstream that will use exactly as much."""
    text = f"{number} " + "word" * (row.tokens_in * LETTERS_A_TOKEN // 4)
    return Order(model="plain", text=scripted(text, prompt=row.tokens_in, out=row.tokens_out), tokens_max=row.tokens_out)


async def play(trace: list[Row], key: str, gateways: list[Gateway], speed: float) -> Counter[str]:
    """Send each request when it is due, at most so many at a time; returns what the clients saw."""
    seen: Counter[str] = Counter()
    waiting: Iterator[tuple[int, Row]] = iter(enumerate(trace))
    began = time.monotonic()

    async def lane(session: aiohttp.ClientSession) -> None:
        for number, row in waiting:
            await asyncio.sleep(max(0.0, row.at / speed - (time.monotonic() - began)))
            told = await call(session, gateways[number % len(gateways)].url, key, order(row, number))
            seen["answered" if told.whole else f"{told.status} {told.code}"] += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(lane(session) for _ in range(LANES)))
    return seen


def checks_on(ground: Ground, trace: list[Row], speed: float = SPEED) -> list[Check]:
    """Replay a trace on a ground and compare the sums."""
    upstream = ground.upstream()
    ground.configure({"plain": openai_backend(upstream.url)}, {"plain": route("plain")})
    ground.team(budget=10**9)
    key = ground.keys()[0]
    gateways = ground.start(2)
    began = time.monotonic()
    seen = asyncio.run(play(trace, key, gateways, speed))
    seconds = time.monotonic() - began
    until(lambda: open_reservations(ground) == 0 and len(settled(ground)) >= seen["answered"], "all is settled", SETTLED_SECONDS_MAX)
    charged = settled(ground)
    into, out = sum(each.tokens_in for each in charged.values()), sum(each.tokens_out for each in charged.values())
    true_in, true_out = sum(row.tokens_in for row in trace), sum(row.tokens_out for row in trace)
    told = ", ".join(f"{number:,} {name}" for name, number in seen.most_common())
    return [
        Check(
            "replayed requests",
            f"{told} in {seconds:.0f} s ({trace[-1].at / seconds:.0f} times as quick)",
            f"{len(trace):,} answered",
            seen["answered"] == len(trace),
        ),
        Check("tokens in: ledger, trace", f"{into:,}, {true_in:,}", "equal", into == true_in),
        Check("tokens out: ledger, trace", f"{out:,}, {true_out:,}", "equal", out == true_out),
    ]


def checks(folder: Path = FOLDER, speed: float = SPEED) -> list[Check]:
    """All of them; a trace that is not here is told and falls short."""
    if not folder.is_dir():
        return [Check("replayed requests", f"not here: {folder.name}", "the public trace's folder", held=False)]
    with scratch_ground() as ground:
        return checks_on(ground, rows(folder), speed)


def main() -> int:
    """Run it by itself."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    reader.add_argument("--speed", type=float, default=SPEED)
    given = reader.parse_args()
    found = checks(given.folder, given.speed)
    print_checks(Console(width=170, highlight=False), found)
    return 0 if all(check.held for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())

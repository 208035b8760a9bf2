"""What the gateway adds, how much it carries, and what that costs as it grows; LiteLLM's proxy beside it in the same run.

python -m benchmarks.gateway.speed [--seconds 4] [--no-growth] [--no-peer]
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
from rich.console import Console

from benchmarks.gateway.ground import Gateway, Ground, Upstream, openai_backend, route, scratch_ground
from benchmarks.gateway.growth import ENTRIES, fill_ledger
from benchmarks.gateway.hammer import Pace, hammer
from benchmarks.gateway.peers import Missing, litellm
from benchmarks.gateway.streams import STREAMS, TOKENS, Stalls
from benchmarks.line.shell import ROOT
from cli.checks import Check, print_checks

SECONDS = 8.0
WARM_SECONDS = 3.0
ROUNDS = 3
MANY = 32
ADDED_P50_MAX, ADDED_P99_MAX = 4.0, 15.0
PEER_FACTOR = 10.0
STALL_P99_MAX = 100.0
WORKER_BYTES_MAX = 250e6
KEYS = (10, 1_000, 100_000)


@dataclass(frozen=True)
class Bench:
    """A gateway with metering and limits on, before an upstream that answers at once."""

    ground: Ground
    upstream: Upstream
    gateway: Gateway
    keys: list[str]


@contextmanager
def bench(keys: int = 10) -> Iterator[Bench]:
    """One worker, a team with a budget and caps on tokens, requests and parallel calls that bind nobody."""
    with scratch_ground() as ground:
        upstream = ground.upstream("--canned")
        ground.configure({"plain": openai_backend(upstream.url)}, {"fast": route("plain", model="fast")})
        ground.team(budget=10**9)
        ground.limit("tokens", "minute", 10**10)
        ground.limit("requests", "minute", 10**9)
        ground.limit("parallel", "now", 10**6)
        made = ground.keys(keys)
        yield Bench(ground, upstream, ground.start()[0], made)


@dataclass(frozen=True)
class Figures:
    """Of one state of the gateway."""

    direct: Pace
    one: Pace
    many: Pace

    @property
    def added(self) -> tuple[float, float]:
        """Milliseconds that the gateway adds at one connection, in the middle and at the 99th of 100."""
        return self.one.p50 - self.direct.p50, self.one.p99 - self.direct.p99


def measured(on: Bench, keys: list[str], seconds: float) -> Figures:
    """One connection directly and through the gateway, the best of some rounds, then many, after a warm-up: the machine may be busy."""
    hammer(on.gateway.url, keys, MANY, WARM_SECONDS)
    rounds = [(hammer(on.upstream.url, keys, 1, seconds / 4), hammer(on.gateway.url, keys, 1, seconds / 2)) for _ in range(ROUNDS)]
    direct, one = min(rounds, key=lambda pair: pair[1].p99)
    return Figures(direct, one, hammer(on.gateway.url, keys, MANY, seconds))


@dataclass(frozen=True)
class Peer:
    """LiteLLM's proxy before the same upstream, in the same run."""

    one: Pace
    many: Pace
    bytes_held: int


def rows_of(found: Figures, peer: Peer | None, title: str = "") -> list[Check]:
    """What is added at one connection, and how many calls are carried at many."""
    p50, p99 = found.added
    failed = found.one.failed + found.many.failed
    factor = found.many.rate / max(peer.many.rate, 0.001) if peer is not None else 0.0
    beside = f"{factor:.0f} times LiteLLM's {peer.many.rate:,.0f}" if peer is not None else "LiteLLM not measured"
    return [
        Check(
            f"added at one connection{title}",
            f"p50 {p50:.2f} ms, p99 {p99:.2f} ms (direct {found.direct.p50:.2f}, {found.direct.p99:.2f})",
            f"<= {ADDED_P50_MAX:.0f} ms, <= {ADDED_P99_MAX:.0f} ms",
            p50 <= ADDED_P50_MAX and p99 <= ADDED_P99_MAX and failed == 0,
        ),
        Check(
            f"calls a second at {MANY} connections{title}",
            f"{found.many.rate:,.0f} (p50 {found.many.p50:.0f} ms, p99 {found.many.p99:.0f} ms), {beside}; {failed} refused",
            f">= {PEER_FACTOR:.0f} times, none refused",
            failed == 0 and factor >= PEER_FACTOR,
        ),
    ]


def beside(on: Bench, seconds: float) -> Peer | None:
    """Measure the peer; None where it cannot be had."""
    try:
        with litellm(on.upstream.url, on.ground.folder) as (url, key, pid):
            hammer(url, [key], MANY, WARM_SECONDS * 2)
            one, many = hammer(url, [key], 1, seconds), hammer(url, [key], MANY, seconds)
            return Peer(one, many, psutil.Process(pid).memory_info().rss)
    except Missing:
        return None


def row_of_peer(peer: Peer, direct: Pace) -> Check:
    """For comparison."""
    added = f"added p50 {peer.one.p50 - direct.p50:.1f} ms, p99 {peer.one.p99 - direct.p99:.1f} ms"
    return Check("LiteLLM at one connection", f"{added}; {peer.bytes_held / 1e6:.0f} MB", "for comparison", held=True)


def streamed(url: str, key: str, streams: int = STREAMS, tokens: int = TOKENS) -> Stalls:
    """Many streams, read by a process of its own."""
    command = [sys.executable, "-m", "benchmarks.gateway.streams", url, key, "--streams", str(streams), "--tokens", str(tokens)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    return Stalls(**json.loads(done.stdout))


def stalls(on: Bench, streams: int = STREAMS, tokens: int = TOKENS) -> list[Check]:
    """Streams at 50 tokens a second each, directly and through the gateway."""
    direct, through = (streamed(url, on.keys[0], streams, tokens) for url in (on.upstream.url, on.gateway.url))
    return [
        Check(
            f"{streams} streams at 50 tokens a second: wait beyond the pace",
            f"p99 {through.p99:.0f} ms; of each stream's longest wait p99 {through.worst_p99:.0f} ms, worst {through.worst:.0f} ms; "
            f"{through.whole} whole (direct: p99 {direct.p99:.0f} ms, {direct.worst_p99:.0f}, {direct.worst:.0f})",
            f"p99 <= {STALL_P99_MAX:.0f} ms, every stream whole",
            through.p99 <= STALL_P99_MAX and through.whole == streams,
        )
    ]


def memory(on: Bench) -> Check:
    """One worker after all of that."""
    held = max(each.memory_info().rss for each in on.gateway.workers())
    return Check("one worker", f"{held / 1e6:.0f} MB", f"<= {WORKER_BYTES_MAX / 1e6:.0f} MB", held <= WORKER_BYTES_MAX)


def growth(seconds: float, entries: int = ENTRIES, *, peer: bool = True) -> list[Check]:
    """The same figures with ever more keys, then with a ledger of many entries; calls come with every key at random."""
    found: list[Check] = []
    with bench(keys=max(KEYS)) as on:
        other = beside(on, seconds) if peer else None
        for number in KEYS:
            found += rows_of(measured(on, on.keys[:number], seconds), other, f", {number:,} keys in use of {len(on.keys):,}")
        fill_ledger(on.ground, entries)
        found += rows_of(measured(on, on.keys[: KEYS[1]], seconds), other, f", {entries:,} ledger entries")
        on.gateway.stop()
        again = on.gateway.start()
        found.append(Check(f"start with {entries:,} ledger entries", f"{again:.1f} s", "<= 15 s", again <= 15))
        found.append(memory(on))
    return found


def checks(seconds: float = SECONDS, *, peer: bool = True, grown: bool = True) -> list[Check]:
    """All of them."""
    with bench() as on:
        other = beside(on, seconds) if peer else None
        ours = measured(on, on.keys, seconds)
        found = rows_of(ours, other)
        found += [row_of_peer(other, ours.direct)] if other is not None else []
        found += stalls(on)
        found.append(memory(on))
    return found + (growth(seconds, peer=peer) if grown else [])


def main() -> int:
    """Run it by itself."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--seconds", type=float, default=SECONDS)
    reader.add_argument("--no-peer", action="store_true")
    reader.add_argument("--no-growth", action="store_true")
    given = reader.parse_args()
    found = checks(given.seconds, peer=not given.no_peer, grown=not given.no_growth)
    print_checks(Console(width=170, highlight=False), found)
    return 0 if all(check.held for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())

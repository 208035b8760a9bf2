"""The same limit over HTTP: one gateway of eight worker processes, and an upstream that knows what was truly made."""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import httpx
from rich.console import Console

from benchmarks.gateway.ground import Gateway, Ground, openai_backend, route, scratch_ground, until
from benchmarks.gateway.ledger import open_reservations, settled
from benchmarks.gateway.script import MARK
from cli.checks import Check, print_checks

WORKERS = 8
CALLERS = 32
CAP = 60_000
REACHED_MIN = 0.95
REFUSALS_MAX = 4
PAUSE_SECONDS = 0.05
SECONDS_MAX = 120.0
WATCH_SECONDS = 0.1
TEXT = f"Say something.\n{MARK}" + json.dumps({"prompt": 30, "out": 30})
BODY = {"model": "fast", "messages": [{"role": "user", "content": TEXT}], "max_tokens": 40}
USED = "SELECT coalesce(sum(used), 0) FROM ledger_uses WHERE limit_id = %s"


@dataclass
class Seen:
    """What callers and a watcher saw."""

    answers: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    most: int = 0
    """The most that the limit's row ever said."""


class Rush:
    """Callers that ask until they are refused again and again."""

    def __init__(self, ground: Ground, gateway: Gateway, limit: str) -> None:
        self._ground, self._gateway, self._limit = ground, gateway, limit
        self._key = ground.keys()[0]
        self.seen = Seen()

    async def run(self) -> Seen:
        """All callers at one time, watched."""
        watcher = asyncio.create_task(self._watch())
        async with asyncio.timeout(SECONDS_MAX):
            await asyncio.gather(*(self._call() for _ in range(CALLERS)))
        watcher.cancel()
        return self.seen

    async def _call(self) -> None:
        refused = 0
        # A connection of its own: callers spread over the workers.
        async with httpx.AsyncClient(base_url=self._gateway.url, headers={"authorization": f"Bearer {self._key}"}, timeout=30) as client:
            while refused < REFUSALS_MAX:
                answer = await client.post("/v1/chat/completions", json=BODY)
                told = answer.json()
                if answer.is_success:
                    refused = 0
                    self.seen.answers["200"] += 1
                    self.seen.tokens += told["usage"]["total_tokens"]
                else:
                    refused += 1
                    self.seen.answers[f"{answer.status_code} {told['error']['code']}"] += 1
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _watch(self) -> None:
        while True:
            self.seen.most = max(self.seen.most, int(await asyncio.to_thread(self.used)))
            await asyncio.sleep(WATCH_SECONDS)

    def used(self) -> Decimal:
        """What the limit's row says now."""
        return Decimal(str(self._ground.query(USED, self._limit)[0][0]))


def checks_on(ground: Ground) -> list[Check]:
    """One limit of tokens a day, eight workers."""
    upstream = ground.upstream()
    ground.configure({"plain": openai_backend(upstream.url)}, {"fast": route("plain", model="fast")})
    ground.team()
    limit = ground.limit("tokens", "day", CAP)
    gateway = ground.start(LINESHAFT_GATEWAY_WORKERS=str(WORKERS))[0]
    rush = Rush(ground, gateway, limit)
    seen = asyncio.run(rush.run())
    until(lambda: open_reservations(ground) == 0 and len(settled(ground)) >= seen.answers["200"], "all is posted", 30)
    made = sum(each.prompt + each.out for each in upstream.made().values())
    charged = sum(each.tokens_in + each.tokens_out for each in settled(ground).values())
    until(lambda: rush.used() == charged, "idle blocks are given back", 30)
    over = max(made - CAP, charged - CAP, seen.most - CAP, 0)
    figure = f"{dict(seen.answers)}; made {made:,}, charged {charged:,}, the row at most {seen.most:,} of {CAP:,}; over by {over:,}"
    exact = made == charged == seen.tokens
    kinds, workers = set(seen.answers) - {"200"}, len(gateway.workers())
    refused_so = all(kind.startswith("429") for kind in kinds)
    return [
        Check(f"{workers} workers over HTTP, {CALLERS} callers", figure, "over by 0", over == 0 and workers == WORKERS),
        Check("the limit is reached over HTTP", f"{charged / CAP:.1%}", f">= {REACHED_MIN:.0%}", charged >= REACHED_MIN * CAP),
        Check("charged as made, and refused as such", f"{made - charged:+,d} tokens; {kinds}", "+0; 429 alone", exact and refused_so),
    ]


def checks() -> list[Check]:
    """All of them."""
    with scratch_ground() as ground:
        return checks_on(ground)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it by itself."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    found = checks()
    print_checks(Console(width=170, highlight=False), found)
    return 0 if all(check.held for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())

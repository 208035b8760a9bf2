"""A process that meters calls until it is killed: `python -m tests.factory_infra.saas.metering.spending URL FOLDER NAME`."""

import asyncio
import os
import sys
from decimal import Decimal
from pathlib import Path

from factory_infra.database import Database
from factory_infra.errors import QuotaExceeded
from factory_infra.saas.metering.meter import Meter
from factory_infra.saas.metering.models import Usage
from tests.factory_infra.saas.metering.meters import ZERO, ask, budget, limit, tuned

PARALLEL = 16
LIMITS = (
    budget(2_000_000),
    limit("tokens", 40_000, "minute", name="limit/minute"),
    limit("parallel", 40, "now", name="limit/parallel"),
)


def upstream(name: str) -> Usage:
    """What a call used: the upstream knows it by the call's name alone."""
    number = sum(name.encode())
    return Usage(1 + number % 10, number % 6, tokens_cached=number % 2)


def cost(usage: Usage) -> Decimal:
    """What that costs by the tests' prices."""
    return Decimal(usage.tokens_in + 2 * usage.tokens_out)


async def spend(meter: Meter, calls: int, name: str) -> None:
    """Make calls one after another; the upstream notes each that reached it, as the truth."""
    for number in range(1_000_000):
        call = f"{name}-{number}/1"
        try:
            hold = await meter.reserve(ask(call, *LIMITS))
        except QuotaExceeded:
            await asyncio.sleep(0.05)
            continue
        os.write(calls, f"{call}\n".encode())
        await asyncio.sleep(0.002 * (number % 5))
        meter.progress(hold, Usage(upstream(call).tokens_in, 1))
        meter.settle(hold, upstream(call), "done")


async def main(url: str, folder: Path, name: str) -> None:
    """Meter for ever."""
    meter = Meter(Database(url), folder / "journals", options=tuned(recover=False))
    await meter.start()
    calls = os.open(folder / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.stdout.write(f"{meter.process_id}\n")
    sys.stdout.flush()
    await asyncio.gather(*(spend(meter, calls, f"{name}.{turn}") for turn in range(PARALLEL)))


def truth(folder: Path) -> Decimal:
    """What all calls cost that reached the upstream."""
    return sum((cost(upstream(name)) for name in (folder / "calls").read_text().split()), ZERO)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))

"""One process that spends at a shared limit as quickly as it can: python -m benchmarks.gateway.spender, with jobs as JSON on its input.

For each job it says `ready`, waits for a line, spends, and ends with `end`. It prints a line for each thing that it was given or gave
back: the clock (one for the whole host) and the change, in the limit's unit. What is taken is noted once it is granted, what is given
back before that is said, so the sum of all lines never tells too much.
"""

import asyncio
import random
import re
import sys
import time
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy import TextClause, text

from factory_infra.database import Database, utcnow
from factory_infra.errors import QuotaExceeded
from factory_infra.saas.metering import draws
from factory_infra.saas.metering.meter import Ask, Meter
from factory_infra.saas.metering.models import Attribution, Limit, Resource, Usage, Window
from factory_infra.saas.metering.prices import PriceBook, Rate

CONDITION = re.compile(r" WHERE u\.used \+ excluded\.used <= .*?(?= RETURNING)")
"""Where the statement that draws asks whether the cap allows it; without that it draws whatever is asked."""
REFUSALS_MAX = 4
"""After so many refusals in a row the limit counts as reached."""


class Job(BaseModel):
    """What one process does."""

    database_url: str
    folder: Path
    number: int
    team: str
    resource: Resource
    window: Window
    cap: Decimal
    seconds: float
    tasks: int = 4
    tokens_in: int = 400
    tokens_out: int = 600
    careless: bool = False


class Spender:
    """Reserves and settles until the limit is reached."""

    def __init__(self, job: Job, meter: Meter, rate: Rate) -> None:
        self.job, self.meter, self.rate = job, meter, rate
        self.limit = Limit(
            id=f"{job.team}:{job.resource}:{job.window}", resource=job.resource, window=job.window, cap=job.cap, title="shared"
        )
        self.whose = Attribution(tenant=job.team)
        self.deadline = time.monotonic() + job.seconds
        self.lines: list[str] = []

    def ask(self, name: str) -> Ask:
        """One call, at its worst."""
        return Ask(
            name=name,
            whose=self.whose,
            limits=(self.limit,),
            backend="none",
            subject="default",
            rate=self.rate,
            tokens_in_max=self.job.tokens_in,
            tokens_in_estimated=self.job.tokens_in,
            tokens_out_max=self.job.tokens_out,
        )

    def amount(self, tokens_in: int, tokens_out: int) -> Decimal:
        """In the limit's unit."""
        match self.job.resource:
            case "money":
                return self.rate.cost(Usage(tokens_in=tokens_in, tokens_out=tokens_out))
            case "tokens":
                return Decimal(tokens_in + tokens_out)
            case _:
                return Decimal(1)

    def note(self, change: Decimal) -> None:
        """One line."""
        self.lines.append(f"{time.clock_gettime_ns(time.CLOCK_MONOTONIC)} {change}")

    async def task(self, number: int) -> None:
        """Spend until the limit refuses again and again, or the time is over."""
        dice = random.Random(f"{self.job.number}/{number}")  # noqa: S311 - not a secret
        refused, count = 0, 0
        while time.monotonic() < self.deadline and (refused < REFUSALS_MAX or self.job.resource == "parallel"):
            count += 1
            try:
                hold = await self.meter.reserve(self.ask(f"{self.limit.id}-{self.job.number}-{number}-{count}/0"))
            except QuotaExceeded:
                refused += 1
                await asyncio.sleep(0.05)
                continue
            refused = 0
            worst = self.amount(self.job.tokens_in, self.job.tokens_out)
            self.note(worst)
            await asyncio.sleep(dice.uniform(0.0, 0.01))
            used = Usage(tokens_in=dice.randint(1, self.job.tokens_in), tokens_out=dice.randint(0, self.job.tokens_out))
            rest = Decimal(0) if self.job.resource == "parallel" else self.amount(used.tokens_in, used.tokens_out)
            self.note(rest - worst)
            self.meter.settle(hold, used, "done")


def take_carelessly() -> None:
    """Take without asking whether the cap allows it, from now on."""
    asking = {name: each for name, each in vars(draws).items() if isinstance(each, TextClause) and CONDITION.search(each.text)}
    assert asking, "the statement that draws has another form now"
    for name, each in asking.items():
        setattr(draws, name, text(CONDITION.sub("", each.text)))


async def spend(job: Job) -> list[str]:
    """The whole job; what was given and given back."""
    if job.careless:
        take_carelessly()
    database = Database(job.database_url)
    meter = Meter(database, job.folder)
    spender = Spender(job, meter, PriceBook.load().at(utcnow()).rate("default"))
    await meter.start()
    try:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        spender.deadline = time.monotonic() + job.seconds
        await asyncio.gather(*(spender.task(number) for number in range(job.tasks)))
        await meter.posted()
    finally:
        await meter.close()
        await database.close()
    return spender.lines


def main() -> None:
    """Read jobs, spend, tell."""
    while line := sys.stdin.readline():
        told = asyncio.run(spend(Job.model_validate_json(line)))
        print("\n".join([*told, "end"]), flush=True)


if __name__ == "__main__":
    main()

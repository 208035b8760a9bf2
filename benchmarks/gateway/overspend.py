"""Eight processes at one shared limit, each as quick as it can: never a token above it, and the limit is reached."""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal

from rich.console import Console

from benchmarks.gateway.ground import TEAM, Ground, end, scratch_ground
from benchmarks.gateway.spender import Job
from benchmarks.line.shell import ROOT
from cli.checks import Check, print_checks
from factory_infra.saas.metering.models import Resource, Window

PROCESSES = 8
SECONDS = 8.0
NOTED = re.compile(r"\d{6,} ")
"""A line of a spender's account; others are its log."""
REACHED_MIN = Decimal("0.95")
WORST_TOKENS = 1_000


@dataclass(frozen=True)
class Shared:
    """A limit that all share."""

    title: str
    resource: Resource
    window: Window
    cap: Decimal
    worst: Decimal
    """What one call reserves: less than this may be left over."""
    seconds: float = SECONDS
    careless: bool = False


MONEY = Shared("money in all", "money", "total", Decimal("2.00"), Decimal("0.0011"))
TOKENS = Shared("tokens a day", "tokens", "day", Decimal(2_000_000), Decimal(WORST_TOKENS))
PARALLEL = Shared("calls at one time", "parallel", "now", Decimal(10), Decimal(1), seconds=4.0)
CARELESS = Shared("money a day", "money", "day", Decimal("0.20"), Decimal("0.0011"), seconds=2.0)
ALL = (MONEY, TOKENS, PARALLEL)


@dataclass(frozen=True)
class Spent:
    """What the processes were given."""

    grants: int
    most: Decimal
    """The most that was charged and reserved at any moment, by the processes' own account."""
    last: Decimal
    """What is charged at the end."""
    used: Decimal
    """What the limit's own row says at the end."""
    spenders: int


class Crew:
    """Processes that spend together, one limit after the other."""

    def __init__(self, ground: Ground, number: int) -> None:
        self.ground = ground
        command = [sys.executable, "-m", "benchmarks.gateway.spender"]
        self.processes = [
            subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(number)
        ]

    def say(self, number: int, line: str) -> None:
        """Send a line to one of them."""
        pipe = self.processes[number].stdin
        assert pipe is not None
        pipe.write(line + "\n")
        pipe.flush()

    def hear(self, number: int, last: str) -> list[str]:
        """What one of them says until its word."""
        pipe, found = self.processes[number].stdout, list[str]()
        assert pipe is not None
        while (line := pipe.readline().strip()) != last:
            assert line or self.processes[number].poll() is None, "a spender ended"
            found.append(line)
        return found

    def spend(self, shared: Shared) -> Spent:
        """Let all spend at a limit at the same time."""
        everybody = range(len(self.processes))
        for number in everybody:
            self.say(number, self.job(shared, number).model_dump_json())
        for number in everybody:
            self.hear(number, "ready")
        for number in everybody:
            self.say(number, "go")
        told = [line for number in everybody for line in self.hear(number, "end") if NOTED.match(line)]
        changes = sorted((int(clock), Decimal(change)) for clock, _, change in (line.partition(" ") for line in told))
        total = most = Decimal(0)
        for _, change in changes:
            total += change
            most = max(most, total)
        limit = f"{TEAM}:{shared.resource}:{shared.window}"
        rows = self.ground.query("SELECT coalesce(sum(used), 0) FROM ledger_uses WHERE limit_id = %s", limit)
        return Spent(sum(change > 0 for _, change in changes), most, total, Decimal(str(rows[0][0])), len(self.processes))

    def job(self, shared: Shared, number: int) -> Job:
        """What one of them does."""
        return Job(
            database_url=self.ground.database_url,
            folder=self.ground.home / "journals",
            number=number,
            team=TEAM,
            resource=shared.resource,
            window=shared.window,
            cap=shared.cap,
            seconds=shared.seconds,
            careless=shared.careless,
        )

    def close(self) -> None:
        """End them."""
        for process in self.processes:
            end(process)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


@contextmanager
def crew(ground: Ground, number: int = PROCESSES) -> Iterator[Crew]:
    """So many processes, ended afterwards."""
    made = Crew(ground, number)
    try:
        yield made
    finally:
        made.close()


def judged(spent: Spent, shared: Shared) -> list[Check]:
    """Hard, and reached."""
    over = max(spent.most - shared.cap, Decimal(0))
    parallel = shared.resource == "parallel"
    reached = (spent.most if parallel else spent.last) / shared.cap
    left = shared.cap - (spent.most if parallel else spent.last)
    ends_right = spent.used == (0 if parallel else spent.last)
    return [
        Check(
            f"{spent.spenders} processes at {shared.cap:,f} {shared.title}",
            f"at most {spent.most:,f} charged and reserved, {spent.grants:,} calls granted; over by {over:,f}",
            "over by 0",
            over == 0 and spent.grants > 0,
        ),
        Check(
            f"the limit is reached: {shared.title}",
            f"{reached:.1%}; {left:,f} left, a call reserves {shared.worst:,f}; the row says {spent.used:,f} at the end",
            f">= {REACHED_MIN:.0%}, the row equals what was charged",
            reached >= REACHED_MIN and ends_right,
        ),
    ]


def control(together: Crew) -> Check:
    """Without the condition in the statement that takes, the same must overspend. The processes stay careless."""
    shared = replace(CARELESS, careless=True)
    over = together.spend(shared).most - shared.cap
    return Check("control: taking without the condition", f"over by {max(over, Decimal(0)):,f} of {shared.cap:,f}", "overspends", over > 0)


def checks_on(ground: Ground, only: Sequence[Shared] = ALL) -> list[Check]:
    """Each limit with the same processes, the control last."""
    ground.team()
    with crew(ground) as together:
        found = [check for shared in only for check in judged(together.spend(shared), shared)]
        return [*found, control(together)]


def checks(only: Sequence[Shared] = ALL) -> list[Check]:
    """All of them."""
    with scratch_ground() as ground:
        return checks_on(ground, only)


def main() -> int:
    """Run it by itself."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--only", choices=[shared.resource for shared in ALL])
    given = reader.parse_args()
    found = checks([shared for shared in ALL if given.only in (None, shared.resource)])
    print_checks(Console(width=170, highlight=False), found)
    return 0 if all(check.held for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())

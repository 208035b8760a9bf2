"""Measures every promise about the gateway and prints a row each: make prove-gateway. Exit code 1 if any falls short."""

import argparse
import sys
import time
from collections.abc import Callable
from subprocess import SubprocessError

import httpx
from rich.console import Console

from benchmarks.gateway import bad_input, bedrock, clients, exactness, overspend, replay, security, speed
from cli.checks import Check, print_checks
from factory_infra.errors import LineshaftError

GROUPS: dict[str, Callable[[], list[Check]]] = {
    "exactness": exactness.checks,
    "replay": replay.checks,
    "overspend": overspend.checks,
    "clients": clients.checks,
    "bedrock": bedrock.checks,
    "security": security.checks,
    "bad-input": bad_input.checks,
    "speed": lambda: speed.checks(grown=False),
    "growth": lambda: speed.growth(speed.SECONDS),
}
"""In this order; a group may be chosen by its name."""
FAULTS = (AssertionError, LineshaftError, OSError, ValueError, LookupError, RuntimeError, SubprocessError, httpx.HTTPError)


def groups(only: str) -> dict[str, Callable[[], list[Check]]]:
    """Those that are asked for. Exits with the names where one is unknown."""
    wanted = [name.strip() for name in only.split(",") if name.strip()] or list(GROUPS)
    unknown = sorted(set(wanted) - set(GROUPS))
    if unknown:
        sys.exit(f"There is no group {', '.join(unknown)}. Groups: {', '.join(GROUPS)}.")
    return {name: GROUPS[name] for name in wanted}


def measured(title: str, measure: Callable[[], list[Check]]) -> list[Check]:
    """The rows of one group; a group that breaks is a row that falls short, and the others still run."""
    try:
        return measure()
    except FAULTS as error:
        return [Check(title, f"broke: {type(error).__name__}: {str(error)[:300]}", "a figure", held=False)]


def main() -> int:
    """Run the groups that are asked for; each is announced, for some take minutes."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--only", default="", help=f"Groups, with commas between: {', '.join(GROUPS)}.")
    console, began = Console(width=170, highlight=False), time.monotonic()
    found: list[Check] = []
    for title, measure in groups(reader.parse_args().only).items():
        console.rule(title)
        began_group, rows = time.monotonic(), measured(title, measure)
        print_checks(console, rows)
        console.print(f"[dim]{time.monotonic() - began_group:.0f} s[/dim]")
        found += rows
    short = [check for check in found if not check.held]
    console.rule("the gateway")
    print_checks(console, found)
    console.print(f"{len(found) - len(short)} of {len(found)} hold, {time.monotonic() - began:.0f} s")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())

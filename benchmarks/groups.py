"""Runs groups of measurements one after the other and prints a row each: what every `make prove-…` of several groups shares."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from subprocess import SubprocessError

import httpx
from rich.console import Console

from cli.checks import Check, print_checks
from factory_infra.errors import LineshaftError

Measure = Callable[[], list[Check]]
FAULTS = (AssertionError, LineshaftError, OSError, ValueError, LookupError, RuntimeError, StopIteration, SubprocessError, httpx.HTTPError)


def asked_for(description: str | None, known: Iterable[str]) -> list[str]:
    """The names after `--only`, or all. Exits with the names where one is unknown."""
    names = list(known)
    reader = argparse.ArgumentParser(description=description)
    reader.add_argument("--only", default="", help=f"Groups, with commas between: {', '.join(names)}.")
    wanted = [name.strip() for name in reader.parse_args().only.split(",") if name.strip()] or names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        sys.exit(f"There is no group {', '.join(unknown)}. Groups: {', '.join(names)}.")
    return wanted


def measured(title: str, measure: Measure) -> list[Check]:
    """The rows of one group; a group that breaks is a row that falls short, and the others still run."""
    try:
        return measure()
    except FAULTS as error:
        return [Check(title, f"broke: {type(error).__name__}: {str(error)[:300]}", "a figure", held=False)]


def run(subject: str, groups: Mapping[str, Measure]) -> int:
    """Run the groups, each announced, for some take minutes; then all rows in one table. Returns the exit code: 1 if any falls short."""
    console, began = Console(width=170, highlight=False), time.monotonic()
    found: list[Check] = []
    for title, measure in groups.items():
        console.rule(title)
        began_group, rows = time.monotonic(), measured(title, measure)
        print_checks(console, rows)
        console.print(f"[dim]{time.monotonic() - began_group:.0f} s[/dim]")
        found += rows
    short = [check for check in found if not check.held]
    console.rule(subject)
    print_checks(console, found)
    console.print(f"{len(found) - len(short)} of {len(found)} hold, {time.monotonic() - began:.0f} s")
    return 1 if short else 0

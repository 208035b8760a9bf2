"""Measures every promise of the first line and prints a row each: make prove-line. Exit code 1 if any falls short."""

import sys

from rich.console import Console

from benchmarks.line import frame, judged, stack
from cli.checks import print_checks


def main() -> int:
    """Run all groups; each is announced, for some take minutes."""
    console = Console(width=170, highlight=False)
    found = []
    for title, measured in (("frame", frame.checks), ("stack", lambda: stack.checks(console)), ("judged", judged.checks)):
        console.rule(title)
        found += measured()
        print_checks(console, found)
    short = [check for check in found if not check.held]
    console.rule("the line")
    print_checks(console, found)
    console.print(f"{len(found) - len(short)} of {len(found)} hold")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())

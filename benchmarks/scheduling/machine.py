"""Runs the machine of the scheduler's tests over 10,000 sequences: the nightly run; others with `--seed N`. Prints what it went through."""

import argparse
import sys
import time
from collections import Counter

from rich.console import Console

from cli.checks import Check, print_checks
from tests.factory_infra.iaas.scheduling import test_machine

SEQUENCES = 10_000
SHORT = 300


def checks(sequences: int = SHORT, number: int | None = None) -> list[Check]:
    """The row of `make prove-scheduling`. The same sequences every time, others for every `number`."""
    test_machine.SEEN.clear()
    began = time.perf_counter()
    try:
        test_machine.run(sequences, number=number)
        broken = ""
    except AssertionError as error:
        broken = f"broke: {str(error)[:200]}; "
    seen: Counter[str] = test_machine.SEEN
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(seen.items()))
    whose = "" if number is None else f" of seed {number}"
    figure = f"{broken}{sequences:,} sequences{whose}: {counts}; {time.perf_counter() - began:.0f} s"
    return [Check("hypothesis machine of the scheduler", figure, "everything holds", not broken)]


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--sequences", type=int, default=SEQUENCES)
    reader.add_argument("--seed", type=int, help="other sequences than every night's")
    given = reader.parse_args()
    found = checks(given.sequences, given.seed)
    print_checks(Console(width=150), found)
    sys.exit(0 if all(check.held for check in found) else 1)

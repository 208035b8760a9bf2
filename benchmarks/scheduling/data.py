"""Where the public traces lie: beside the project, or in the folder after `--data`. None of them is part of the project."""

import sys
from pathlib import Path

from benchmarks.line.shell import ROOT
from cli.checks import Check

DEFAULT = ROOT.parent / "shared" / "data"
OPTION = "--data"
SYNTHETIC = "the synthetic one below stands in"


def root() -> Path:
    """The folder of all traces: what follows `--data` on the command line, else the default."""
    given = sys.argv
    return Path(given[given.index(OPTION) + 1]) if OPTION in given[:-1] else DEFAULT


def take_option() -> Path:
    """The folder, with its option taken off the command line for readers that do not know it; kept for `root` in `DEFAULT`."""
    global DEFAULT
    DEFAULT = root()
    if OPTION in sys.argv[:-1]:
        place = sys.argv.index(OPTION)
        del sys.argv[place : place + 2]
    return DEFAULT


def folder(name: str) -> Path | None:
    """One trace's folder, or None where it is not at hand."""
    found = root() / name
    return found if found.is_dir() else None


def absent(name: str, what: str, instead: str = "its synthetic like is played in the tests") -> Check:
    """The row that says a public trace is not at hand. It holds, for nothing was promised without it, and it says so."""
    return Check(f"{what}: public trace {name}", f"not at hand in {root().name}; {instead}", "told", held=True)

"""The frame: set-up, start of the command, the lock file, the layers."""

import re
import tempfile
from pathlib import Path

from benchmarks.line.shell import ROOT, run
from cli.checks import Check

HELP_SECONDS_MAX = 0.5
SETUP_SECONDS_MAX = 5.0


def setup_again() -> Check:
    """Set-up where nothing changed."""
    run("make", "setup")
    again = run("make", "setup")
    return Check(
        "make setup, nothing changed",
        f"{again.seconds:.2f} s",
        f"< {SETUP_SECONDS_MAX} s",
        again.code == 0 and again.seconds < SETUP_SECONDS_MAX,
    )


def help_page() -> Check:
    """`lineshaft --help`, the best of five: the machine may be busy."""
    seconds = min(run("bin/lineshaft", "--help").seconds for _ in range(5))
    return Check("lineshaft --help", f"{seconds:.2f} s", f"<= {HELP_SECONDS_MAX} s", seconds <= HELP_SECONDS_MAX)


def lock_file() -> Check:
    """The lock pins by digest and names no host."""
    text = (ROOT / "requirements.lock").read_text()
    hosts = len(re.findall(r"https?://|--index-url|--extra-index", text))
    pinned, hashed = text.count("=="), text.count("--hash=sha256:")
    return Check("the lock names no registry host", f"{hosts} hosts, {pinned} pins", "0 hosts, all hashed", hosts == 0 and hashed >= pinned)


def layers() -> Check:
    """The import rules of the design."""
    done = run(str(ROOT / ".venv" / "bin" / "lint-imports"))
    kept = re.search(r"Contracts: .*", done.text)
    return Check("layers (import-linter)", kept[0] if kept else done.last(), "0 broken", done.code == 0)


def fresh_clone() -> list[Check]:
    """The first command of the README on a fresh clone, in an empty home: weights and all."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        run("git", "clone", "-q", str(ROOT), str(clone))
        home = {"LINESHAFT_HOME": str(Path(folder) / "home")}
        first = run("make", "run", "ARGS=--exit", folder=clone, environment=home)
    short = first.text.count("falls short")
    holds = first.text.count("holds")
    return [
        Check(
            "fresh clone: make run ARGS=--exit",
            f"{holds} checks hold, {short} fall short, {first.seconds:.0f} s",
            "exit code 0",
            first.code == 0,
        )
    ]


def checks() -> list[Check]:
    """All of them."""
    return [setup_again(), help_page(), lock_file(), layers(), *fresh_clone()]

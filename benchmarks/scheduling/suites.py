"""Suites that show the rest: the controls of the scheduler's machine, and every contract on the twin."""

import os
import re
import subprocess
import sys

from benchmarks.line.shell import ROOT
from cli.checks import Check

CONTROLS = "tests/factory_infra/iaas/scheduling/test_controls.py"
SECONDS_MAX = 1500
PASSED = re.compile(r"(\d+) passed")
FAILED = re.compile(r"(\d+) (?:failed|error)")
TWINS = re.compile(r"^(twin\w*): (.*\d+ (?:pass|lacks|not here|FAIL).*)$", re.MULTILINE)


def pytest(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a suite to its end."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS_MAX, check=False, env={**os.environ, "COLUMNS": "160"}
    )


def controls() -> list[Check]:
    """Take each protection of the scheduler away: its machine must find that."""
    done = pytest(CONTROLS)
    return [Check("hypothesis: controls without each protection fail", told(done), "all found", held=done.returncode == 0)]


def contract_twin() -> list[Check]:
    """Every contract of jobs, leases, accelerators, clusters and walls on the simulated data centre."""
    done = pytest("-k", "twin", "tests/contract")
    counts = dict(TWINS.findall(done.stdout))
    rows = [
        Check(f"contract: {name} (simulated)", each, "pass, or a named missing ability", held="FAIL" not in each and "pass" in each)
        for name, each in counts.items()
    ]
    return [*rows, Check("pytest tests/contract -k twin", told(done), "none fails", held=done.returncode == 0)]


def told(done: subprocess.CompletedProcess[str]) -> str:
    """What a suite came to."""
    passed, failed = PASSED.search(done.stdout), FAILED.search(done.stdout)
    return f"{passed[1] if passed else 0} passed, {failed[1] if failed else 0} failed, exit code {done.returncode}"

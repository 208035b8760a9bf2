"""The contract suite over every provider: its matrix is printed, and each provider's counts are rows."""

import re
import subprocess
import sys

from benchmarks.line.shell import ROOT
from cli.checks import Check

SECONDS_MAX = 900
COUNT = re.compile(r"^(\w+): (.*\d+ (?:pass|lacks|not here|FAIL).*)$", re.MULTILINE)
PROVIDERS = ("local", "slurm", "kubernetes", "aws", "aws_sagemaker")


def checks() -> list[Check]:
    """Run `pytest tests/contract` and read its matrix."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/contract"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    matrix = done.stdout[done.stdout.find("contracts =") :]
    sys.stdout.write(matrix)
    counts = dict(COUNT.findall(matrix))
    found = [
        Check(f"contract: {name}", counts.get(name, "not in the matrix"), "pass, or a named missing ability", good(counts.get(name, "")))
        for name in PROVIDERS
    ]
    return [*found, Check("pytest tests/contract", f"exit code {done.returncode}", "0", done.returncode == 0)]


def good(counts: str) -> bool:
    """Whether a provider passed some and failed none; one whose engine is not here has not been shown."""
    return "pass" in counts and "FAIL" not in counts and "not here" not in counts

"""How a module of this source tree is run as a job's program."""

import sys
from pathlib import Path

SOURCE_ROOT = Path(__file__).resolve().parents[3]
"""The folder that holds `factory_infra`."""


def python_argv(module: str, *arguments: str) -> list[str]:
    """Return the argument vector for a module; `-P` keeps files in the job's folder from standing in for modules."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> dict[str, str]:
    """Return what Python needs to find this source tree."""
    return {"PYTHONPATH": str(SOURCE_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

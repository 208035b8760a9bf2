"""How a program says how far it is: lines in files of its folder, and in its log. Standard library only: any environment can load it."""

import json
import sys
from pathlib import Path

REPORTS_FILE = "reports.jsonl"
MARK = "::report "


def report(folder: Path, step: int, value: float) -> None:
    """Say what was reached at a step: a study's pruner reads it. Also as a line of the log, which is seen wherever the job runs."""
    line = json.dumps({"step": step, "value": value})
    with (folder / REPORTS_FILE).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    say(MARK + line)


def progress(folder: Path, percent: float, stage: str) -> None:
    """Say how far the job is."""
    with (folder / "progress.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"percent": round(percent, 1), "stage": stage}) + "\n")


def leave(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def say(line: str) -> None:
    """Put a line into the job's log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

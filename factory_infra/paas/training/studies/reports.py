"""What a trial tells on its way and at its end: `reports.jsonl` and `result.json` in its folder, or lines of its log.

A line of the log that begins with MARK counts as a line of `reports.jsonl`: some engines show a job's files only when it has ended.
"""

import json
import math
from collections.abc import Iterable

from pydantic import JsonValue, ValidationError

from factory_infra.paas.training.programs.reporting import MARK
from factory_infra.paas.training.studies.models import Report

RESULT_FILE = "result.json"
TRIAL_FILE = "trial.json"
REPORTS_MAX = 10_000
LINE_MAX = 1_000


def parsed(lines: Iterable[str]) -> list[Report]:
    """Reports in the order of their steps, the last one of each step. What is no report is passed over: it comes from a program."""
    found: dict[int, Report] = {}
    for line in lines:
        text = line.strip().removeprefix(MARK)
        if not text.startswith("{") or len(text) > LINE_MAX:
            continue
        try:
            report = Report.model_validate_json(text)
        except ValidationError:
            continue
        found[report.step] = report
        if len(found) >= REPORTS_MAX:
            break
    return [found[step] for step in sorted(found)]


def marked(log: str) -> list[str]:
    """The lines of a log that are reports."""
    return [line for line in log.splitlines() if line.startswith(MARK)]


def value_of(result: str | None, metric: str, reports: list[Report]) -> float | None:
    """A trial's value: the metric in its result, or `value` there, or its last report. None where none of them is a finite number."""
    for name in (metric, "value"):
        number = named(result, name)
        if number is not None:
            return number if math.isfinite(number) else None
    return reports[-1].value if reports and result is None else None


def named(result: str | None, name: str) -> float | None:
    """A number of the result, or of `metrics` in it."""
    try:
        read: JsonValue = json.loads(result) if result else None
    except ValueError:
        return None
    if not isinstance(read, dict):
        return None
    inner = read.get("metrics")
    value = read.get(name, inner.get(name) if isinstance(inner, dict) else None)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

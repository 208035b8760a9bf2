"""Puts studies, runs and their comparison into words."""

from agents.reports import rows
from tools.ports import JsonObject

LINES_MAX = 20
NAMES_MAX = 6


def study(result: JsonObject) -> str:
    """One study as it stands."""
    trials = result.get("trials")
    counted = ", ".join(f"{count} {state}" for state, count in trials.items()) if isinstance(trials, dict) else ""
    best = f" The best value is {shown(result['value'])}{with_parameters(result)}." if result.get("value") is not None else ""
    why = f" {result['reason']}" if result.get("reason") else ""
    return f"Study {result['study_id']} ({result['name']}) is {result['state']}{f': {counted} trials' if counted else ''}.{best}{why}"


def with_parameters(result: JsonObject) -> str:
    """The best trial's parameters."""
    found = result.get("parameters")
    told = ", ".join(f"{name} = {shown(value)}" for name, value in list(found.items())[:NAMES_MAX]) if isinstance(found, dict) else ""
    return f" with {told}" if told else ""


def studies(result: JsonObject) -> str:
    """A list of studies."""
    return "\n".join(study(row) for row in rows(result, "studies")[:LINES_MAX]) or "No study yet."


def runs(result: JsonObject) -> str:
    """A list of runs."""
    lines = []
    for row in rows(result, "runs")[:LINES_MAX]:
        metrics = row.get("metrics")
        told = ", ".join(f"{name} {shown(value)}" for name, value in list(metrics.items())[:NAMES_MAX]) if isinstance(metrics, dict) else ""
        lines.append(f"{row['run_id']} ({row['experiment']}, {row['name']}): {row['status']}{f', {told}' if told else ''}.")
    return "\n".join(lines) or "No run yet."


def comparison(result: JsonObject) -> str:
    """What differs between runs."""
    lines = []
    for part in ("metrics", "parameters", "environment"):
        for row in rows(result, part):
            values = row.get("values")
            if row.get("differs") and isinstance(values, list):
                lines.append(f"{row['name']}: {', '.join('none' if value is None else shown(value) for value in values)}.")
    return "\n".join(lines[:LINES_MAX]) or "They do not differ."


def shown(value: object) -> str:
    """A value, shortened."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)

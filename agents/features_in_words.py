"""Features and drift in sentences."""

from agents.reports import rows
from tools.ports import JsonObject


def views(result: JsonObject) -> str:
    """What is defined."""
    lines = [f"{row['view']}@{row['version']}: {listed(row['features'])}, by {listed(row['keys'])}." for row in rows(result, "views")]
    return "\n".join(lines) if lines else "No feature view is defined."


def listed(names: object) -> str:
    """The first names of a list."""
    found = [str(each) for each in names] if isinstance(names, list) else []
    more = f" and {len(found) - 6} more" if len(found) > 6 else ""
    return ", ".join(found[:6]) + more


def monitors(result: JsonObject) -> str:
    """What is watched, and what came of it."""
    lines = []
    for row in rows(result, "monitors"):
        alert = f"; alert {row['alert_id']} is open" if row["alert_id"] else ""
        lines.append(f"{row['monitor']} watches {row['watches']}: {row['verdict']}{alert}.")
    return "\n".join(lines) if lines else "Nothing is watched for drift."


def drift(result: JsonObject) -> str:
    """What a comparison found."""
    return f"{result['monitor']}: {result['verdict']}. {result['reason']}"

"""Key figures in words."""

from agents.reports import rows
from tools.ports import JsonObject


def figures(result: JsonObject) -> str:
    """Each figure with its goal, or why it has no number."""
    lines = [f"From {result['since']} until {result['until']}:"]
    for row in rows(result, "kpis"):
        value = row["value"]
        if not isinstance(value, int | float):
            lines.append(f"{row['title']}: no number. {row['note']}")
            continue
        shown = f"{value:.2%}" if row["unit"] == "share" else f"{value:,.1f} {row['unit']}"
        met = {True: "met", False: "not met"}[row["met"]] if isinstance(row["met"], bool) else "open"
        lines.append(f"{row['title']}: {shown}, goal {row['goal']}: {met}.")
    return "\n".join(lines)

"""Puts what the twin found into words. Each answer says that it is simulated."""

from agents.reports import rows
from tools.ports import JsonObject

LINES_MAX = 20


def what_if(result: JsonObject) -> str:
    """What would change for those that wait, and for others."""
    changes = result.get("changes")
    told = "; ".join(str(each) for each in changes) if isinstance(changes, list) else ""
    leases = rows(result, "leases")
    lines = [f"Simulated, with these changes: {told}.", *(line(each) for each in leases[:LINES_MAX])]
    if not leases:
        lines.append("Nothing of this team waits.")
    if result.get("others_delayed"):
        lines.append(f"{result['others_delayed']} waiting lease(s) of other teams would start later.")
    return "\n".join(lines)


def line(lease: JsonObject) -> str:
    """One lease that waits."""
    name, sooner = f"{lease['lease_id']} ({lease['slots']} slots)", lease.get("sooner_seconds")
    if isinstance(sooner, int | float):
        minutes = abs(sooner) / 60
        moved = "at the same time" if minutes < 0.1 else f"{minutes:.1f} min {'sooner' if sooner > 0 else 'later'}"
        return f"{name} would start {moved}, at {lease['starts_then']}."
    return f"{name} would start at {lease['starts_then']}." if lease["starts_then"] != "never" else f"{name} would not start."

"""Costs in sentences: what was charged, what was in vain, what would mend it, what will be needed."""

from agents.reports import rows
from tools.ports import JsonObject

LINES_MAX = 12


def allocation(result: JsonObject) -> str:
    """What was charged, dearest first."""
    lines = [f"{row['name']}: {row['amount']} {result['currency']}." for row in rows(result, "rows")[:LINES_MAX]]
    by = ", ".join(str(each) for each in result["by"]) if isinstance(result["by"], list) else ""
    exact = "exactly what the ledger has" if result["exact"] else "which the ledger does not confirm"
    head = f"Team {result['team']} was charged {result['total']} {result['currency']} in {result['month']}, {exact}"
    return "\n".join([f"{head}; by {by}:" if lines else f"{head}.", *lines])


def idle(result: JsonObject) -> str:
    """What was leased and not used."""
    lines, money = [], result["currency"]
    for row in rows(result, "rows")[:LINES_MAX]:
        held = ", and is held still" if row["active"] else ""
        lines.append(f"{row['lease_id']} stood unused for {row['unused_slot_hours']} slot-hours ({row['amount']} {money}){held}.")
    head = f"Of what was charged in {result['month']}, {result['unused_total']} {money} went to leases on which nothing ran."
    return "\n".join([head, *lines, f"Idle slots: {result['shares_total']} {money} are the team's share. {result['rule']}"])


def findings(result: JsonObject) -> str:
    """What is paid for and not needed, and how it is mended."""
    lines = []
    for row in rows(result, "rows")[:LINES_MAX]:
        saving = f" It saves {row['saving_hourly']} {result['currency']} an hour." if float(str(row["saving_hourly"])) else ""
        how = f" It cannot be mended now: {row['blocked']}" if row["blocked"] else f" Mend it with: lineshaft costs fix {row['finding_id']}"
        lines.append(f"{row['title']}. {row['evidence']}{saving}{how}")
    return "\n".join(lines) if lines else "Nothing is paid for in vain."


def capacity(result: JsonObject) -> str:
    """When a pool is full."""
    told = [f"Pool {result['pool']}: {result['words']}"]
    if result["enough"]:
        told.append(f"The team asks for {result['team_now']} slots now, and for {result['team_mean']} on the mean of the time ahead.")
    if result["error"] is not None:
        naive = f"the seasonal naive one by {result['error_naive']}"
        told.append(f"In its past the forecast was off by {result['error']} slots on the mean, {naive}.")
    return "\n".join(told)

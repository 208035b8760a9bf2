"""Puts the specialists' reports into words: diagnosis, audit, spending, gauges, plans."""

from decimal import Decimal

from tools.ports import JsonObject

LINES_MAX = 12


def rows(result: JsonObject, field: str) -> list[JsonObject]:
    """Return a result's list of objects."""
    found = result.get(field)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def part(result: JsonObject, field: str) -> JsonObject:
    """Return a result's object, empty where there is none."""
    found = result.get(field)
    return found if isinstance(found, dict) else {}


def quoted(text: object) -> str:
    """Text from outside on one line, in quotes, so that nobody takes it for ours."""
    line = " ".join(str(text or "").replace("“", "'").replace("”", "'").split())
    return f"“{line}”" if line else ""


def sign(found: JsonObject) -> str:
    """One piece of evidence."""
    text = quoted(found.get("untrusted_text"))
    return f"- {found['said']}{': ' + text if text else ''}"


def diagnosis(result: JsonObject) -> str:
    """What probably went wrong, by which signs, and what to do."""
    cause, remedy = part(result, "cause"), part(result, "remedy")
    named = f"{result['job_id'] or result['plan_id']} is {result['state']}."
    lines = [f"{named} {cause['words']}"]
    if cause["confidence"] != "none":
        lines[0] += f" ({cause['cause']}, {cause['confidence']})"
    lines += [sign(found) for found in rows(cause, "signs")]
    lines += [f"Also possible: {other['words']}" for other in rows(result, "others")]
    lines.append(f"What to do: {remedy['words']}")
    if remedy.get("playbook"):
        lines.append(f"Say “yes” to have it planned, or in words: “{remedy['say']}”. Nothing is done before it is approved.")
    return "\n".join(lines)


VERDICTS = {
    "clean": "kept to its plan",
    "violations": "did NOT keep to its plan",
    "open": "has not ended: what can be checked so far",
}


def audit(result: JsonObject) -> str:
    """Every check of an audit, the violations first."""
    order = {"violation": 0, "not_recorded": 1, "open": 2, "ok": 3}
    found = sorted(rows(result, "findings"), key=lambda row: order[str(row["verdict"])])
    lines = [f"{result['plan_id']} ({result['state']}) {VERDICTS[str(result['verdict'])]}."]
    for row in found:
        evidence = row.get("evidence")
        shown = "; ".join(str(each) for each in evidence[:3]) if isinstance(evidence, list) and row["verdict"] != "ok" else ""
        lines.append(f"- {row['check']}: {row['verdict']}. {row['words']}{' (' + shown + ')' if shown else ''}")
    return "\n".join(lines)


def usage(result: JsonObject) -> str:
    """What was spent, broken down, and how long the budget lasts."""
    currency = result["currency"]
    lines = [f"Team {result['team']} spent {result['spent']} {currency} in the last {result['days']} day(s), by {result['by']}:"]
    lines += [f"- {row['name']}: {row['amount']} {currency} ({row['share_percent']} %)" for row in rows(result, "rows")[:LINES_MAX]]
    if not rows(result, "rows"):
        lines = [f"Team {result['team']} spent nothing in the last {result['days']} day(s)."]
    pace = f"At {result['per_day']} {currency} a day"
    ends = result.get("budget_ends_at")
    forecast = f"{pace} that ends on {str(ends)[:10]}." if ends else f"{pace} no end is in sight."
    return "\n".join([*lines, f"{result['budget_left']} of {result['budget']} {currency} of the budget are left. {forecast}"])


def telemetry(result: JsonObject) -> str:
    """How busy the host is."""
    lines = [
        f"The host's {result['cores']} cores are {result['busy_percent']} % busy; load {result['load_1m']:.2f}, {result['load_5m']:.2f}, "
        f"{result['load_15m']:.2f} over 1, 5 and 15 minutes.",
        f"Memory: {result['memory_available_gib']} of {result['memory_total_gib']} GiB available. "
        f"Disk: {result['disk_free_gib']} of {result['disk_total_gib']} GiB free.",
    ]
    for gpu in rows(result, "gpus")[:LINES_MAX]:
        told = [f"{gpu[field]} {unit}" for field, unit in GAUGES if gpu.get(field) is not None]
        lines.append(f"GPU {gpu['index']} ({gpu['name']}): {', '.join(told) or 'tells nothing'}.")
    return "\n".join([*lines, *([str(result["note"])] if result.get("note") else [])])


GAUGES = (
    ("busy_percent", "% busy"),
    ("memory_used_gib", "GiB in use"),
    ("temperature_celsius", "°C"),
    ("power_watts", "W"),
)


def plan(result: JsonObject) -> str:
    """One plan as it stands."""
    decided = f", decided by {result['decided_by']}" if result["decided_by"] else ""
    lines = [f"{result['plan_id']} ({result['title']}) is {result['state']}, asked for by {result['requested_by']}{decided}."]
    lines += [f"- {step['id']} ({step['tool']}, {step['agent']}): {step['state']}" for step in rows(result, "steps")[:LINES_MAX]]
    why = quoted(result.get("untrusted_text"))
    lines += [f"Why: {why}"] if why else []
    return "\n".join([*lines, spending(result)])


def spending(result: JsonObject) -> str:
    """What a plan cost: its steps against the price on its card, planning, and leases of other plans that it ended."""
    currency, steps = result["currency"], Decimal(str(result["spent"])) - Decimal(str(result["planning"]))
    said = [f"Its steps cost {steps:.6f} of at most {result['price_high']} {currency}; planning cost {result['planning']} {currency}."]
    if Decimal(str(result["returned"])):
        said.append(f"The lease that it gave back had cost {result['returned']} {currency}, in the ledger of the plan that took it.")
    return " ".join(said)


def plans(result: JsonObject) -> str:
    """A team's plans."""
    lines = [f"{row['plan_id']} ({row['title']}): {row['state']}." for row in rows(result, "plans")]
    return "\n".join(lines) if lines else "There is no plan yet."


def events(result: JsonObject) -> str:
    """What happened."""
    lines = [
        " ".join(filter(None, (str(row["at"])[:19], str(row["kind"]), str(row["step"]), quoted(row["untrusted_text"]))))
        for row in rows(result, "events")[-LINES_MAX:]
    ]
    return "\n".join(lines) if lines else "Nothing has happened yet."


def log(result: JsonObject) -> str:
    """The end of a log, marked as what it is."""
    said = "\n".join(f"> {line}" for line in str(result["untrusted_text"]).splitlines()[-LINES_MAX:])
    return f"The log of {result['job_id']} ({result['state']}) ends with:\n{said or '> (nothing)'}"


def report_citations(tool: str, result: JsonObject) -> list[JsonObject]:
    """Where a report can be checked."""
    if tool in {"reliability.diagnose", "jobs.log"}:
        job, named = result.get("job_id"), result.get("plan_id")
        found: list[JsonObject] = [{"title": f"log of {job}", "url": f"/v1/jobs/{job}/logs"}] if job else []
        return found + ([plan_citation(named)] if named else [])
    if tool == "plans.audit":
        name = result["plan_id"]
        return [plan_citation(name), {"title": f"ledger of {name}", "url": f"/v1/ledger?plan_id={name}"}]
    if tool == "plans.show":
        return [plan_citation(result["plan_id"])]
    if tool == "plans.list":
        return [plan_citation(row["plan_id"]) for row in rows(result, "plans")]
    if tool == "metering.usage":
        return [{"title": f"ledger of team {result['team']}", "url": result["ledger_url"]}]
    return []


def plan_citation(name: object) -> JsonObject:
    """A plan's own address."""
    return {"title": f"plan {name}", "url": f"/v1/plans/{name}"}

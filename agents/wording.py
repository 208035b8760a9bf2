"""Puts results of read-only tools into words, and names what they can be checked against."""

from collections.abc import Callable

from agents import costs_in_words, features_in_words, kpis_in_words, nodes_in_words, reports, studies_in_words, twin_in_words
from agents.reports import rows
from tools.ports import JsonObject


def number(value: object, digits: int = 4) -> str:
    """Shorten a number for a sentence."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def version_words(result: JsonObject) -> str:
    """One version in a sentence."""
    accuracy = result.get("accuracy")
    measured = f" with accuracy {number(accuracy)} on held-out rows" if accuracy is not None else ""
    return (
        f"{result['model_name']} version {result['version']} ({result['algorithm']}){measured}, "
        f"trained on {result['dataset']} (content {str(result['dataset_digest'])[:12]})."
    )


def best(result: JsonObject) -> str:
    """The answer to 'which is best'."""
    return f"The best is {version_words(result)}"


def versions(result: JsonObject) -> str:
    """A list of versions."""
    found = rows(result, "versions")
    return "\n".join(version_words(row) for row in found) if found else "No model is registered yet."


def hardware(result: JsonObject) -> str:
    """What the machine hands out."""
    what = "GPUs" if result["slot_kind"] == "gpu" else "CPU cores"
    note = f" {result['note']}" if result.get("note") else ""
    slot = f"a slot here is one of this machine's {what} ({result['name']})"
    return f"{result['slots_free']} of {result['slots_total']} slots are free; {slot}.{note}"


def leases(result: JsonObject) -> str:
    """Who holds what."""
    found = rows(result, "leases")
    lines = []
    for row in found:
        waits = f" It waits: {row['waits_for']}." if row.get("waits_for") else ""
        lines.append(f"{row['lease_id']}: {row['slots']} {row['slot_kind']} slots for {row['purpose'] or 'no stated purpose'}.{waits}")
    lines.append(f"{result['quota_slots_used']} of {result['quota_slots']} slots of the quota are in use.")
    return "\n".join(lines)


def why(result: JsonObject) -> str:
    """Why something waits, and what would help."""
    name = result.get("job_id") or result.get("lease_id")
    begins = f" It should begin at {result['starts_at']}." if result.get("starts_at") else ""
    sooner = [f"Sooner: {row['words']}." for row in rows(result, "changes")[:3]]
    return "\n".join([f"{name} is {result['state']}: {result['reason']}.{begins}", *sooner])


def foreseen(result: JsonObject) -> str:
    """What would become of a lease."""
    begins = f" It should begin at {result['starts_at']}." if result.get("starts_at") and not result["at_once"] else ""
    sooner = [f"Sooner: {row['words']}." for row in rows(result, "changes")[:3]]
    return "\n".join([f"{result['slots']} slots: {result['reason']}.{begins}", *sooner])


def jobs(result: JsonObject) -> str:
    """What runs."""
    lines = []
    for row in rows(result, "jobs")[:20]:
        percent = f", {number(row['percent'], 0)} %" if isinstance(row.get("percent"), float) and row["state"] == "running" else ""
        lines.append(f"{row['job_id']} ({row['name']}): {row['state']}{percent}.")
    return "\n".join(lines) if lines else "No job has run yet."


def endpoints(result: JsonObject) -> str:
    """What is live."""
    found = rows(result, "endpoints")
    lines = [f"Endpoint {row['endpoint']} answers with {row['model_name']} version {row['version']} at {row['url']}." for row in found]
    return "\n".join(lines) if lines else "No endpoint is live."


def found_entries(result: JsonObject) -> str:
    """What the catalog has."""
    lines = [f"{row['name']} ({row['kind']}): {row['description']}" for row in rows(result, "entries")]
    return "\n".join([*(lines or ["The catalog has nothing like it."]), *([str(result["note"])] if result.get("note") else [])])


def cost(result: JsonObject) -> str:
    """What it cost."""
    return (
        f"The {result['subject']} cost {result['spent']} {result['currency']} so far: "
        f"{number(result['slot_seconds'], 1)} slot-seconds and {result['tokens']} tokens ({result['reserved']} still reserved)."
    )


def team(result: JsonObject) -> str:
    """What a team may use."""
    return (
        f"Team {result['team']} uses {result['quota_slots_used']} of {result['quota_slots']} slots; of its budget of {result['budget']} "
        f"{result['currency']}, {result['spent']} are spent and {result['reserved']} reserved."
    )


def projects(result: JsonObject) -> str:
    """What use can be charged to."""
    lines = [f"{row['project']} ({row['title']})" if row["title"] else str(row["project"]) for row in rows(result, "projects")]
    return f"The team's projects: {', '.join(lines)}." if lines else "The team has no project."


def quotas(result: JsonObject) -> str:
    """What the team may hold where."""
    lines = [f"The team may hold {result['quota_slots']} slots over all pools."]
    for row in rows(result, "quotas"):
        kind = f" with {row['accelerator']}" if row["accelerator"] else ""
        lines.append(f"In pool {row['pool']}: {row['slots_max']}{kind}.")
    return "\n".join(lines)


def changes(result: JsonObject) -> str:
    """Who changed what."""
    lines = [f"{row['at']}: {row['actor']}, {row['action']}, {row['object']}." for row in rows(result, "changes")]
    return "\n".join(lines) if lines else "The audit log has nothing of the kind."


WORDS: dict[str, Callable[[JsonObject], str]] = {
    "accelerators.show": hardware,
    "leases.list": leases,
    "jobs.list": jobs,
    "studies.list": studies_in_words.studies,
    "studies.show": studies_in_words.study,
    "studies.wait": studies_in_words.study,
    "training.runs": studies_in_words.runs,
    "training.compare": studies_in_words.comparison,
    "scheduling.why": why,
    "scheduling.foresee": foreseen,
    "registry.best": best,
    "registry.list": versions,
    "deployments.list": endpoints,
    "catalog.search": found_entries,
    "metering.cost": cost,
    "tenants.show": team,
    "tenants.projects": projects,
    "tenants.quotas": quotas,
    "tenants.changes": changes,
    "telemetry.show": reports.telemetry,
    "reliability.diagnose": reports.diagnosis,
    "plans.audit": reports.audit,
    "plans.show": reports.plan,
    "plans.list": reports.plans,
    "events.list": reports.events,
    "jobs.log": reports.log,
    "metering.usage": reports.usage,
    "validation.check": nodes_in_words.software,
    "validation.report": nodes_in_words.fitness,
    "isolation.audit": nodes_in_words.walls,
    "twin.what_if": twin_in_words.what_if,
    "optimization.allocation": costs_in_words.allocation,
    "optimization.idle": costs_in_words.idle,
    "optimization.findings": costs_in_words.findings,
    "optimization.capacity": costs_in_words.capacity,
    "features.list": features_in_words.views,
    "features.monitors": features_in_words.monitors,
    "features.check": features_in_words.drift,
    "kpis.show": kpis_in_words.figures,
}


def word(tool: str, result: JsonObject) -> str:
    """Return a tool's result in words; a tool without words of its own adds none."""
    return WORDS[tool](result) if tool in WORDS else ""


def cite(tool: str, result: JsonObject) -> list[JsonObject]:
    """Return what the words can be checked against: a title and an address of the API or of MLflow each."""
    if tool == "registry.best":
        return [version_citation(result)]
    if tool == "registry.list":
        return [version_citation(row) for row in rows(result, "versions")]
    if tool == "catalog.search":
        return [{"title": row["id"], "url": f"/v1/catalog/{row['id']}"} for row in rows(result, "entries")]
    if tool == "deployments.list":
        return [{"title": row["endpoint"], "url": row["url"]} for row in rows(result, "endpoints")]
    if tool == "metering.cost":
        return [{"title": f"ledger of the {result['subject']}", "url": result["ledger_url"]}]
    return reports.report_citations(tool, result)


def version_citation(row: JsonObject) -> JsonObject:
    """Cite a version by its catalog entry; the run's own page is beside it."""
    return {"title": f"{row['model_name']} version {row['version']}", "url": f"/v1/catalog/{row['entry_id']}", "run_url": row["run_url"]}

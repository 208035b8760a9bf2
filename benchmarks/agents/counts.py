"""What a storm of kills left behind, counted at every place where a loss or a double would show."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from api.client import ApiClient, JsonObject
from benchmarks.agents.board import EFFECTS
from benchmarks.agents.killer import Kill
from benchmarks.agents.lanes import Asked

PAGE = 500
ONCE_A_PLAN = {"plan.proposed", "plan.approved", "plan.started", "plan.ended", "plan.refused", "message.assistant"}
ONCE_A_STEP = {"step.started", "step.done", "step.failed"}


@dataclass
class Left:
    """The faults that were found, by where they were looked for; all lists empty is right."""

    plans: int = 0
    done: int = 0
    trained: int = 0
    leases: int = 0
    in_effect: int = 0
    tools: Counter[str] = field(default_factory=Counter)
    approvals: int = 0
    replays_refused: int = 0
    not_as_decided: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    charges: list[str] = field(default_factory=list)
    ballots: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """All of them."""
        groups = ("not_as_decided", "versions", "jobs", "charges", "ballots", "events", "messages", "strays")
        return [f"{name}: {each}" for name in groups for each in getattr(self, name)]


def pages(client: ApiClient, path: str, **query: str | bool) -> list[JsonObject]:
    """All rows of a list."""
    rows: list[JsonObject] = []
    while True:
        page = client.get_list(path, limit=PAGE, offset=len(rows), **query)
        rows += page
        if len(page) < PAGE:
            return rows


def events_of(client: ApiClient, threads: Iterable[str]) -> list[JsonObject]:
    """All events of some threads."""
    found: list[JsonObject] = []
    for thread in threads:
        position = 0
        while page := client.get_list(f"/v1/threads/{thread}/events", after=position):
            found += page
            position = int(str(page[-1]["id"]))
    return found


def count(client: ApiClient, asked: Sequence[Asked], messages: Sequence[str], threads: Iterable[str], kills: Sequence[Kill]) -> Left:
    """Count everything."""
    events = events_of(client, dict.fromkeys(threads))
    hits = [inside(kill.at, events) for kill in kills]
    left = Left(plans=len(asked), in_effect=sum(bool(tools) for tools in hits), tools=Counter(tool for tools in hits for tool in tools))
    for each in asked:
        count_plan(client, each, left)
    for tenant in sorted({each.tenant for each in asked}):
        count_tenant(client, tenant, [each for each in asked if each.tenant == tenant and each.wanted == "done"], left)
    count_events(events, asked, messages, left)
    strays = client.get_object("/v1/reconciliation")
    left.strays = [f"{name} {value}" for name, value in strays.items() if isinstance(value, list) and value]
    return left


def inside(moment: datetime, events: Sequence[JsonObject]) -> set[str]:
    """The tools of the steps with an effect that had begun at a moment and had not ended, as the events tell."""
    spans: dict[str, list[datetime]] = {}
    tools: dict[str, str] = {}
    for event in events:
        payload = event["payload"]
        if isinstance(payload, dict) and event["kind"] in ONCE_A_STEP and payload.get("tool") in EFFECTS:
            name = f"{event['plan_id']}/{payload['step']}"
            spans.setdefault(name, []).append(datetime.fromisoformat(str(event["at"])))
            tools[name] = str(payload["tool"])
    return {tools[name] for name, span in spans.items() if min(span) <= moment and (len(span) < 2 or moment < max(span))}


def count_plan(client: ApiClient, asked: Asked, left: Left) -> None:
    """A plan's end and its one approval."""
    row = client.get_object(f"/v1/plans/{asked.plan_id}")
    left.done += row["state"] == "done"
    left.replays_refused += asked.replays_refused
    if row["state"] != asked.wanted or asked.state != asked.wanted:
        outcome = row["outcome"] if isinstance(row["outcome"], dict) else {}
        left.not_as_decided.append(f"{asked.plan_id} is {row['state']}, {asked.wanted} was decided ({outcome.get('reason')})")
    words = client.get_list(f"/v1/plans/{asked.plan_id}/approvals")
    left.approvals += len(words)
    approve = asked.wanted == "done"
    right = len(words) == 1 and words[0]["approve"] is approve and words[0]["digest"] == row["digest"]
    if not right or (words[0]["used_at"] is not None) is not approve:
        left.ballots.append(f"{asked.plan_id} has {len(words)} decisions, used: {[each['used_at'] for each in words]}")
    if asked.replays_counted:
        left.ballots.append(f"{asked.plan_id}: a replayed approval was taken")


def count_tenant(client: ApiClient, tenant: str, asked: Sequence[Asked], left: Left) -> None:
    """A team's versions, jobs, leases and charges against its plans."""
    trained = [each for each in asked if each.trains]
    left.trained += len(trained)
    versions = pages(client, "/v1/registry/versions", tenant=tenant)
    jobs = [job for job in pages(client, "/v1/jobs", tenant=tenant) if "train" in str(job["name"])]
    for name, number, told in (
        ("versions", len({str(each["run_id"]) for each in versions}), left.versions),
        ("jobs", len(jobs), left.jobs),
    ):
        told += [f"{tenant}: {number} {name} of {len(trained)} trainings"] * (number != len(trained))
        left.doubled += told[-1:] * (number > len(trained))
    left.versions += [f"{tenant}: a run has two versions"] * (len({str(each["run_id"]) for each in versions}) < len(versions))
    leases = pages(client, "/v1/leases", tenant=tenant, active=False)
    left.leases += len(leases)
    entries = pages(client, "/v1/ledger", tenant=tenant)
    spent = Counter(str(each["reservation"]) for each in entries if each["action"] == "settle" and each["unit"] == "slot_seconds")
    for lease in leases:
        times = spent[f"lease/{lease['id']}"]
        if times != 1 or lease["state"] == "active":
            left.charges.append(f"{tenant}: lease {lease['id']} is {lease['state']}, charged {times} times")
    left.charges += [f"{tenant}: {len(spent)} charges of {len(leases)} leases"] * (len(spent) != len(leases))
    count_leases(client, tenant, asked, len(leases), left)


def count_leases(client: ApiClient, tenant: str, asked: Sequence[Asked], held: int, left: Left) -> None:
    """One lease for each step that asked for one."""
    wanted = 0
    for each in asked:
        document = client.get_object(f"/v1/plans/{each.plan_id}")["document"]
        steps = document["steps"] if isinstance(document, dict) else []
        wanted += sum(isinstance(step, dict) and step["tool"] == "leases.acquire" for step in steps) if isinstance(steps, list) else 0
    told = [f"{tenant}: {held} leases of {wanted} steps that asked for one"] * (held != wanted)
    left.charges += told
    left.doubled += told * (held > wanted)


def count_events(events: Sequence[JsonObject], asked: Sequence[Asked], messages: Sequence[str], left: Left) -> None:
    """Each event once: of its plan, its step, its message."""
    told: Counter[str] = Counter()
    for event in events:
        payload = event["payload"] if isinstance(event["payload"], dict) else {}
        kind = str(event["kind"])
        if kind in ONCE_A_PLAN and event["plan_id"]:
            told[f"{kind} {event['plan_id']}"] += 1
        elif kind in ONCE_A_STEP:
            told[f"{kind} {event['plan_id']}/{payload['step']}"] += 1
        elif kind in {"message.user", "turn.done"}:
            told[f"{kind} {payload['message_id']}"] += 1
    left.events = [f"{name} came {number} times" for name, number in told.items() if number != 1]
    ends = [f"plan.ended {each.plan_id}" for each in asked] + [f"message.assistant {each.plan_id}" for each in asked]
    answers = [f"{kind} {name}" for name in messages for kind in ("message.user", "turn.done")]
    left.messages = [f"{name} never came" for name in (*ends, *answers) if not told[name]]

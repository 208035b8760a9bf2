"""What the small factory of the pages' tests answers, made of the API's own models where they are light."""

from datetime import UTC, datetime, timedelta
from typing import Any

from factory_infra.foundation.reliability.node_models import Figures
from factory_infra.foundation.reliability.statistics import Rate
from factory_infra.iaas.scheduling.answers import Change, Why
from factory_infra.iaas.scheduling.models import Binding
from factory_infra.iaas.twin.questions import MoreNodes, StartsThen, WhatIfAnswer
from factory_infra.paas.deployments.rollout_models import Move, Rollout, RolloutPlan, RolloutReport, RolloutState, SideReport
from factory_infra.paas.features.drift_models import Alert, Check, DriftReport, FeatureDrift, Monitor, Past
from factory_infra.paas.tenants.structure import Member, ServiceAccount

NOW = datetime(2026, 11, 26, 2, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIGURES = Figures(subject="all", nodes=0, accelerators=0, node_mtbf=Rate(), accelerator_mtbf=Rate(), mttr=Rate()).model_dump(mode="json")


def rollout_report() -> dict[str, Any]:
    """A canary in its second step."""
    rollout = Rollout(
        id="ro-1",
        tenant="vision",
        endpoint="digits",
        model_name="<b>digits</b>",
        version=2,
        old_model_name="digits",
        old_version=1,
        plan=RolloutPlan(),
        state=RolloutState.RUNNING,
        step=1,
        share=0.1,
        code="",
        reason="1 % held.",
        asked_by="ada",
        thread_id="",
        created_at=NOW,
        step_at=NOW,
        ended_at=None,
    )
    move = Move(rollout_id="ro-1", number=1, at=NOW, state=RolloutState.RUNNING, step=1, share=0.1, code="", reason="1 % held.")
    candidate = SideReport(requests=40, errors=2, latency_p95_ms=12.5)
    return RolloutReport(rollout=rollout, moves=[move], candidate=candidate, live=SideReport(requests=360)).model_dump(mode="json")


def drift() -> dict[str, Any]:
    """A monitor that has found drift, which a plan answers."""
    monitor = Monitor(
        name="spending",
        view="customers",
        past=Past(set_id="set-1"),
        window_seconds=86_400,
        tenant="vision",
        revision=3,
        enabled=True,
        due_at=NOW,
        checked_at=NOW,
        verdict="drifted",
        created_by="ada",
        updated_at=NOW,
    )
    spent = {"feature": "<b>spent</b>", "kind": "float", "drifted": True, "words": "PSI 5.83", "psi": 5.83, "psi_noise": 0.178}
    found = FeatureDrift.model_validate({**spent, "ks": 0.97, "ks_p": 1e-9, "missing_before": 0, "missing_now": 0.1, "since": NOW})
    report = DriftReport(verdict="drifted", reason="1 of 1 drifted.", rows_before=300, rows_now=400, start=NOW, end=NOW, features=[found])
    check = Check(id="check-1", tenant="vision", monitor="spending", at=NOW, verdict="drifted", report=report)
    told = {"id": "alert-1", "tenant": "vision", "monitor": "spending", "check_id": "check-1", "reason": "1 of 1 drifted."}
    alert = Alert.model_validate({**told, "plan_id": "plan-7", "opened_at": NOW, "closed_at": None, "closed_because": ""})
    one = monitor.model_dump(mode="json")
    return {
        "/v1/features/monitors": [one],
        "/v1/features/monitors/spending": one,
        "/v1/features/monitors/spending/checks": [check.model_dump(mode="json")],
        "/v1/features/alerts": [alert.model_dump(mode="json")],
        "/v1/features/views": [],
        "/v1/features/training-sets": [],
    }


def waiting() -> dict[str, Any]:
    """A lease that waits, why, and what the twin says of more nodes."""
    lease = {"id": "lease-1", "tenant": "vision", "pool": "local", "slots": [], "slots_wanted": 3, "purpose": "training", "plan_id": ""}
    wait = {"binding": "quota", "reason": "the quota is in use", "since": NOW.isoformat(), "until": None, "reserved": False}
    queued = {**lease, "state": "queued", "waiting": wait, "give_up_at": None, "asked_at": None}
    change = Change(words="begin with 1 slot", arguments={"slots_min": 1}, starts_at=NOW, cost_more=0)
    why = Why(
        lease_id="lease-1",
        state="queued",
        binding=Binding.QUOTA,
        reason="The quota is in use.",
        starts_at=NOW + HOUR,
        starts_earliest=NOW,
        starts_latest=NOW + 2 * HOUR,
        changes=[change],
    )
    starts = {"starts_as_it_is": NOW + HOUR, "starts_then": NOW, "sooner_seconds": 3600.0}
    answer = WhatIfAnswer(
        as_of=NOW,
        pools=["local"],
        changes=[MoreNodes(more=2)],
        told=["2 more nodes in pool local"],
        leases=[StartsThen(lease_id="lease-1", queue="vision", slots=3, **starts)],
        figures=[{"scenario": "as it is", "occupancy": 0.5}, {"scenario": "with the changes", "occupancy": 0.4}],
    )
    return {
        "/v1/pools": [{"name": "local"}],
        "/v1/leases": [queued, {**queued, "id": "lease-2", "state": "active", "waiting": None}],
        "/v1/jobs": [],
        "/v1/leases/lease-1/why": why.model_dump(mode="json"),
        "POST /v1/twin/what-if": answer.model_dump(mode="json"),
    }


def people() -> dict[str, Any]:
    """A member and a program."""
    told = {"tenant": "vision", "project": "", "role": "user", "created_at": NOW}
    member = Member(id="m-1", subject="oidc:ann", title="", organisation=None, source="hand", added_by="ada", **told)
    account = ServiceAccount(name="<b>loader</b>", title="", created_by="ada", disabled_at=None, **told)
    return {
        "/v1/members": [member.model_dump(mode="json")],
        "/v1/roles": [],
        "/v1/accounts": [account.model_dump(mode="json")],
        "/v1/permissions": [{"permission": "jobs:read", "routes": ["GET /v1/jobs"]}],
        "POST /v1/accounts/vision/<b>loader</b>/keys": {"key": {"name": "loader"}, "secret": "ls_secret"},
        "POST /v1/roles": {},
    }


def audit_row(number: int) -> dict[str, Any]:
    """A row of the audit log."""
    told = {"tenant": "vision", "actor": "ann", "door": "api", "action": "keys:create", "object": "key/1", "outcome": "done"}
    return {"seq": number, "at": NOW.isoformat(), **told, "before": "", "after": "", "previous": "0", "digest": f"{number:064d}"}


def catalog() -> dict[str, Any]:
    """An entry that must be granted, a blueprint, and what came from what."""
    usual: dict[str, Any] = {"version": "", "owner": "", "tags": [], "facts": {}, "url": "", "visibility": "shared", "blueprint": None}
    poor = {"name": "quality", "value": "12 % missing", "level": "poor", "basis": "rows"}
    letters = {
        **usual,
        "id": "dataset/language/letters",
        "kind": "dataset",
        "tenant": "language",
        "name": "<b>letters</b>",
        "badges": [poor],
    }
    letters |= {"description": "Scanned letters.", "access": "request"}
    slots = {"slots": {"kind": "int", "default": 2, "required": False, "description": "Slots", "choices": []}}
    step = {"id": "train", "tool": "training.run", "agent": "trainer", "summary": "Train", "arguments": {}, "after": []}
    ship = {**usual, "id": "service/shared/ship", "kind": "service", "tenant": "shared", "name": "Ship", "badges": [], "access": "open"}
    ship |= {"description": "Trains and deploys.", "blueprint": {"steps": [step], "slots": slots}}
    edges = [{"source": "dataset/language/letters", "target": "run/1", "how": "trained", "at": NOW.isoformat()}]
    nodes = [{"id": "dataset/language/letters", "kind": "dataset", "distance": 0}, {"id": "run/1", "kind": "run", "distance": 1}]
    return {
        "/v1/catalog": [letters, ship],
        "/v1/catalog/dataset/language/letters": {**letters, "usable": False},
        "/v1/catalog/service/shared/ship": {**ship, "usable": True},
        "/v1/lineage": {"start": "dataset/language/letters", "nodes": nodes, "edges": edges, "truncated": False},
        "/v1/access-requests": [],
        "POST /v1/access-requests": {"id": "ask-1", "state": "asked", "owner_tenant": "language"},
        "POST /v1/catalog-uses": {"id": "plan-9", "state": "proposed"},
    }


def pipeline_run() -> dict[str, Any]:
    """A run at a gate, which asks people."""
    run = {"id": "run-1", "tenant": "vision", "pipeline": "count", "version": 3, "digest": "c" * 64, "parameters": {"word": "<b>a</b>"}}
    run |= {"state": "waiting", "trigger": "push", "trigger_id": "", "plan_id": "", "cache": True, "actor": "ann", "role": "user"}
    run |= {"thread_id": "", "code": "", "reason": "", "remedy": "", "card": {}, "started_at": NOW.isoformat(), "ended_at": None}
    run["asked_at"] = NOW.isoformat()
    step = {"step": "train", "kind": "train", "state": "cached", "attempt": 1, "cached_from": "run-0", "outputs": {"model.txt": "d"}}
    step |= {"result": {"accuracy": 0.97}, "card": {}, "reason": "", "remedy": "", "started_at": None, "ended_at": None}
    price = {"low": "0.1", "high": "0.2", "currency": "USD"}
    gate = {**step, "step": "good", "kind": "gate", "state": "asking", "cached_from": "", "outputs": {}, "result": {}}
    gate["card"] = {"digest": "e" * 64, "plan": {"title": "May count go on?", "price": price, "notes": []}}
    return {
        "/v1/pipelines": [],
        "/v1/datasets": [],
        "/v1/pipeline-runs": [run],
        "/v1/pipeline-runs/run-1": {**run, "steps": [step, gate]},
        "/v1/pipeline-runs/run-1/approvals": [],
        "POST /v1/pipeline-runs/run-1/approve": {},
    }


def costs() -> dict[str, Any]:
    """What was charged, to the last digit, and a lease that could be given back."""
    line = {"team": "vision", "project": "", "pool": "local", "model": "cpu", "unit": "slot_seconds", "charges": 1, "quantity": "3600"}
    line |= {"quantity_out": "0", "amount": "1.000000000001"}
    finding = {"id": "f-1", "kind": "lease_idle", "team": "vision", "pool": "local", "title": "<b>lease-1</b> is idle", "blocked": ""}
    finding |= {
        "evidence": "No job for 2 h.",
        "since": NOW.isoformat(),
        "saving_hourly": "0.5",
        "saving_left": "2",
        "state": "open",
        "plan_id": "",
    }
    idle = {
        "rule_in_words": "Nobody but the platform.",
        "currency": "USD",
        "unleased_total": "0",
        "unused_total": "0",
        "unleased": [],
        "shares": [],
    }
    allocated = {"by": ["team", "project", "pool", "model"], "currency": "USD", "lines": [line]}
    point = {"mean": 2.0, "low": 1.0, "high": 3.0}
    points = [{"at": (NOW + each * HOUR).isoformat(), **point} for each in range(3)]
    foreseen = {"pool": "local", "bucket": "hour", "made_at": NOW.isoformat(), "capacity": 4, "history": 200, "enough": True, "level": 0.8}
    foreseen |= {
        "words": "It is not full.",
        "total": points,
        "model": "naive",
        "backtest": None,
        "fills": None,
        "teams": [],
        "others": None,
    }
    return {
        "/v1/pools": [{"name": "local"}],
        "/v1/costs/allocation": {**allocated, "total": "1.000000000001", "ledger_total": "1.000000000001"},
        "/v1/costs/idle": {**idle, "unused": [], "observed_hours": 1.0, "period_hours": 2.0},
        "/v1/costs/findings": [finding],
        "/v1/costs/budgets": [],
        "/v1/costs/capacity": {**foreseen, "others": None, "reserving": None},
        "POST /v1/costs/findings/f-1/fix": {"plan_id": "plan-5", "state": "proposed"},
    }

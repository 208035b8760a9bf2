"""Turns drift into a plan under policy: a training set of what is true now, a model of it, and a canary. One plan an alert."""

import structlog

from factory_infra.database import utcnow
from factory_infra.errors import LineshaftError, NotFound
from factory_infra.factory import Factory
from factory_infra.paas.features.drift_models import Alert, Monitor, Retraining
from factory_infra.paas.tenants.models import Role
from factory_infra.records.models import NewEvent, Thread
from tools.plan import Plan, Step
from workflows.messages import JsonObject
from workflows.proposal import Starter, propose

WATCH = "drift-watch"
"""Who asks for the plans."""
log = structlog.get_logger("drift")


def plan_for(alert: Alert, monitor: Monitor, wanted: Retraining, *, live: bool) -> Plan:
    """The plan that answers an alert; the same alert gives the same plan.

    Args:
        alert: what was found.
        monitor: what watches.
        wanted: what the monitor says is to be trained.
        live: whether the endpoint answers already: then the new version comes in by canary.
    """
    canary = canary_steps(wanted) if live else deploy_steps(wanted)
    rebase = Step(
        id="rebase",
        tool="features.rebase",
        agent="trainer",
        summary=f"Compare {monitor.name} with the new training set from now on",
        arguments={"monitor": monitor.name, "set_id": of("data", "set_id")},
        after=(canary[-1].id,),
    )
    return Plan(
        id=f"plan-{alert.id}",
        tenant=alert.tenant,
        thread_id=thread_of(alert),
        requested_by=WATCH,
        requester_role=Role.USER.value,
        request=f"{alert.reason} Monitor {monitor.name}.",
        title=f"Retrain {wanted.model_name} for {wanted.endpoint}: drift in {monitor.view or monitor.endpoint}",
        steps=(*model_steps(alert, wanted), *canary, rebase),
        notes=(f"Alert {alert.id}: {alert.reason}",),
        planner=WATCH,
    )


def of(step: str, field: str) -> JsonObject:
    """What an earlier step finds out."""
    return {"from_step": step, "field": field}


def model_steps(alert: Alert, wanted: Retraining) -> tuple[Step, ...]:
    """From the data of now to a version that passed its gate."""
    name = wanted.model_name
    data: JsonObject = {
        "features": [*wanted.features],
        "spine": wanted.label.partition(":")[0],
        "label": wanted.label,
        "seconds": wanted.train_seconds,
    }
    lease: JsonObject = {"slots": wanted.slots, "purpose": f"retraining {name}", "seconds": wanted.lease_seconds}
    lease |= {"pool": wanted.pool} if wanted.pool else {}
    train: JsonObject = {
        "dataset": of("data", "dataset"),
        "model_name": name,
        "lease_id": of("lease", "lease_id"),
        "algorithm": wanted.algorithm,
    }
    register: JsonObject = {"model_name": name, "run_id": of("train", "run_id")}
    gate: JsonObject = {
        "model_name": name,
        "version": of("register", "version"),
        "metric": "accuracy",
        "threshold": wanted.accuracy_min,
    }
    trained = f"Train {name} on it"
    return (
        Step(id="data", tool="features.training_set", agent="trainer", summary="Join a training set of what is true now", arguments=data),
        Step(id="lease", tool="leases.acquire", agent="provisioner", summary="Lease slots", arguments=lease, after=("data",)),
        Step(id="train", tool="training.run", agent="trainer", summary=trained, arguments=train, after=("lease",), runs_as="job"),
        Step(
            id="release",
            tool="leases.release",
            agent="provisioner",
            summary="Release the lease",
            arguments={"lease_id": of("lease", "lease_id")},
            after=("train",),
            always=True,
        ),
        Step(id="register", tool="registry.register", agent="trainer", summary="Register it", arguments=register, after=("train",)),
        Step(
            id="gate",
            tool="deployments.gate",
            agent="deployer",
            summary=f"Go on only if the accuracy beats {wanted.accuracy_min:.0%}",
            arguments=gate,
            after=("register",),
            gate=True,
        ),
    )


def canary_steps(wanted: Retraining) -> tuple[Step, ...]:
    """The new version takes over share by share, and goes back by itself where it fails."""
    rollout: JsonObject = {
        "endpoint": wanted.endpoint,
        "model_name": wanted.model_name,
        "version": of("register", "version"),
        "strategy": "canary",
        "shares": [*wanted.shares],
        "step_seconds": wanted.step_seconds,
        "requests_min": wanted.requests_min,
    }
    watched: JsonObject = {"rollout_id": of("rollout", "rollout_id")}
    canary, promoted = f"Let it answer a share of {wanted.endpoint}", "Go on only if it was promoted"
    return (
        Step(id="rollout", tool="deployments.rollout", agent="deployer", summary=canary, arguments=rollout, after=("gate",)),
        Step(
            id="promoted",
            tool="deployments.watch_rollout",
            agent="deployer",
            summary=promoted,
            arguments=watched,
            after=("rollout",),
            gate=True,
        ),
    )


def deploy_steps(wanted: Retraining) -> tuple[Step, ...]:
    """The first version of an endpoint has nobody to take over from."""
    deploy: JsonObject = {"endpoint": wanted.endpoint, "model_name": wanted.model_name, "version": of("register", "version")}
    asked: JsonObject = {"endpoint": wanted.endpoint}
    put = f"Put it live as {wanted.endpoint}"
    return (
        Step(id="deploy", tool="deployments.deploy", agent="deployer", summary=put, arguments=deploy, after=("gate",)),
        Step(id="smoke", tool="deployments.smoke_test", agent="deployer", summary="Ask it", arguments=asked, after=("deploy",)),
    )


def thread_of(alert: Alert) -> str:
    """The thread in which an alert, its plan and their end are told."""
    return f"thread-{alert.id}"


async def tell(factory: Factory, alert: Alert, monitor: Monitor) -> None:
    """Write that drift was found, once an alert, into a thread of its own."""
    title = f"Drift in {monitor.view or monitor.endpoint}"
    await factory.records.create_thread(
        Thread(id=thread_of(alert), tenant=alert.tenant, created_by=WATCH, title=title[:200], created_at=utcnow())
    )
    payload: JsonObject = {
        "monitor": monitor.name,
        "alert_id": alert.id,
        "check_id": alert.check_id,
        "watches": monitor.view or monitor.endpoint or "",
        "reason": alert.reason,
    }
    await factory.records.write_event(
        NewEvent(key=f"{alert.id}/found", tenant=alert.tenant, thread_id=thread_of(alert), kind="drift.found", payload=payload)
    )


async def answer(starter: Starter, alert: Alert, monitor: Monitor) -> Alert:
    """Tell of an alert and propose its plan, where the monitor says which; the same alert again gives the same plan.

    A plan that cannot be proposed now is told once, and tried again at the next look. Raises nothing of that.
    """
    factory = starter.factory
    await tell(factory, alert, monitor)
    if monitor.retraining is None or alert.plan_id:
        return alert
    try:
        live = await answers(factory, alert.tenant, monitor.retraining.endpoint)
        record = await propose(starter, plan_for(alert, monitor, monitor.retraining, live=live), Role.USER.value)
    except LineshaftError as error:
        await unanswered(factory, alert, error)
        return alert
    await factory.drift.book.planned(alert.id, record.id)
    return alert.model_copy(update={"plan_id": record.id})


async def answers(factory: Factory, tenant: str, endpoint: str) -> bool:
    """Whether an endpoint answers."""
    try:
        await factory.deployments.get(tenant, endpoint)
    except NotFound:
        return False
    return True


async def unanswered(factory: Factory, alert: Alert, error: LineshaftError) -> None:
    """Tell why no plan could be proposed, once for each reason."""
    log.warning("no plan for drift", alert=alert.id, code=error.error_code, reason=error.reason)
    payload: JsonObject = {"alert_id": alert.id, "code": error.error_code, "reason": error.reason, "remedy": error.remedy}
    await factory.records.write_event(
        NewEvent(
            key=f"{alert.id}/unanswered/{error.error_code}",
            tenant=alert.tenant,
            thread_id=thread_of(alert),
            kind="drift.unanswered",
            payload=payload,
        )
    )

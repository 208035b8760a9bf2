"""Turns a node's incident into a plan under policy: drained, emptied, replaced or mended, checked, handed out again. One plan each."""

import asyncio
import time

import structlog
from sqlalchemy.exc import OperationalError
from temporalio.service import RPCError

from factory_infra.errors import LineshaftError
from factory_infra.foundation.reliability.node_models import Incident
from factory_infra.foundation.reliability.nodes import WATCH
from factory_infra.foundation.reliability.replacing import machines_of
from factory_infra.paas.tenants.models import PLATFORM, Role
from factory_infra.records.models import PlanRecord
from tools.plan import Plan, Step
from workflows.messages import JsonObject
from workflows.proposal import Starter, propose

WATCH_SECONDS = 5.0
FORGET_SECONDS = 3600.0
AGENT = "maintainer"
EMPTY_WAIT_SECONDS = 60
log = structlog.get_logger("repair")


def plan_for(incident: Incident, *, by_hand: bool) -> Plan:
    """The plan of an incident; the same incident gives the same plan.

    Args:
        by_hand: whether a person replaces or mends the machine: the plan then ends by handing it over.
    """
    target: JsonObject = {"pool": incident.pool, "name": incident.node}
    steps = by_hand_steps(incident, target) if by_hand else (*by_hand_steps(incident, target), *validation_steps(target))
    return Plan(
        id=f"plan-{incident.id}",
        tenant=PLATFORM,
        thread_id=f"thread-{incident.id}",
        requested_by=WATCH,
        requester_role=Role.USER.value,
        request=f"{incident.reason} Node {incident.node} of pool {incident.pool}.",
        title=f"Replace node {incident.node} of pool {incident.pool}",
        steps=steps,
        notes=(f"Incident {incident.id}: {incident.reason}",),
        planner=WATCH,
    )


def by_hand_steps(incident: Incident, target: JsonObject) -> tuple[Step, ...]:
    """Drained, emptied, replaced: nothing is waited for longer than jobs on a broken machine are worth."""
    name = incident.node
    drain = {**target, "reason": incident.reason[:300]}
    empty = {**target, "wait_seconds": EMPTY_WAIT_SECONDS, "must": False}
    return (
        Step(id="drain", tool="nodes.drain", agent=AGENT, summary=f"Drain {name}", arguments=drain),
        Step(id="empty", tool="nodes.empty", agent=AGENT, summary=f"Wait for the jobs on {name}", arguments=empty, after=("drain",)),
        Step(id="replace", tool="nodes.replace", agent=AGENT, summary=f"Replace {name}", arguments=target, after=("empty",)),
    )


def validation_steps(target: JsonObject) -> tuple[Step, ...]:
    """What came in its place is handed out only once it was found good."""
    return (
        Step(
            id="check",
            tool="nodes.check",
            agent=AGENT,
            summary="Validate what came in its place",
            arguments=target,
            after=("replace",),
            gate=True,
        ),
        Step(id="resume", tool="nodes.resume", agent=AGENT, summary="Hand it out", arguments=target, after=("check",)),
    )


async def repair(starter: Starter, incident: Incident) -> PlanRecord:
    """Propose the plan of an incident, and keep which it is. The same incident again gives the same plan. Raises what `propose` does."""
    factory = starter.factory
    plan = plan_for(incident, by_hand=machines_of(factory.clusters, incident.pool) is None)
    record = await propose(starter, plan, Role.USER.value)
    await factory.nodes.planned(incident.id, record.id)
    return record


async def repair_all(starter: Starter, told: set[str]) -> list[PlanRecord]:
    """Look for nodes that went silent and for incidents without a plan, and propose one for each. One that is refused holds up none.

    Args:
        told: incidents whose refusal was logged; grows.
    """
    nodes = starter.factory.nodes
    await nodes.sweep()
    proposed = []
    for incident in await nodes.planless():
        try:
            proposed.append(await repair(starter, incident))
        except LineshaftError as error:
            if incident.id not in told:
                told.add(incident.id)
                log.warning("no plan for an incident", incident=incident.id, code=error.error_code, reason=error.reason)
    return proposed


async def watch(starter: Starter) -> None:
    """Do so every few seconds, for ever."""
    told: set[str] = set()
    forgotten = 0.0
    while True:
        try:
            await repair_all(starter, told)
            if time.monotonic() - forgotten > FORGET_SECONDS:
                await starter.factory.nodes.forget()
                forgotten = time.monotonic()
        except (LineshaftError, OperationalError, RPCError) as error:
            log.warning("nodes not watched", error=type(error).__name__)
        await asyncio.sleep(WATCH_SECONDS)

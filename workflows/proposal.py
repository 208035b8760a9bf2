"""A plan from outside a conversation: foreseen, priced, judged and started, as one that agents propose."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

from agents.composition import total
from agents.scope import scope_of
from agents.specialists import within_scope
from factory_infra.database import utcnow
from factory_infra.errors import Conflict, Forbidden, InvalidInput, LineshaftError, NotFound, Unavailable
from factory_infra.factory import Factory
from factory_infra.records.models import NewEvent, PlanRecord, Thread
from tools.foreign import PREFIX
from tools.plan import Bounds, Plan, Step
from tools.spec import reference
from tools.toolbox import resolve_tool
from workflows.activities.policy import explained
from workflows.activities.steps import StepActivities
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.thread import ThreadWorkflow
from workflows.failures import explain
from workflows.messages import StepCall, ThreadInput
from workflows.names import TASK_QUEUE

APPEARS_SECONDS = 10.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Starter:
    """What a plan is started with."""

    factory: Factory
    temporal: Client
    task_queue: str = TASK_QUEUE


async def propose(starter: Starter, plan: Plan, role: str) -> PlanRecord:
    """Check a plan, foresee, price and judge its steps, and start its workflow; nothing with an effect is done before it may.

    The same plan id again starts nothing and returns the plan that is there. Raises InvalidInput for a plan that cannot be,
    Forbidden for a step outside its agent's tools and for what policy refuses, Conflict with the dry run's code for a plan that
    cannot work now.

    Args:
        role: of who asks.
    """
    factory = starter.factory
    try:
        return await factory.records.plan(plan.id, plan.tenant)
    except NotFound:
        await factory.tenants.get(plan.tenant)
    await checked(factory, plan)
    steps = await foresee(factory, plan)
    refused = next((step.dry_run for step in steps if step.dry_run is not None and not step.dry_run.feasible), None)
    if refused is not None:
        raise Conflict(refused.reason, code=refused.code or None, remedy=refused.remedy)
    known = {"steps": tuple(steps), "price": total(steps), "scope": scope_of(steps)}
    whole = await judged(factory, plan.model_copy(update=known), role)
    await open_thread(starter, whole)
    await start(starter, whole)
    return await appeared(factory, whole)


async def judged(factory: Factory, plan: Plan, role: str) -> Plan:
    """The plan with what policy says of it, and until when it may be decided. Raises Forbidden where policy refuses."""
    verdict = (await explained(factory, plan, role)).verdict
    if verdict.decision == "refuse":
        raise Forbidden(" ".join(verdict.reasons), code=verdict.code or "policy_refused", remedy=verdict.remedy)
    seconds = min(verdict.expires_seconds, factory.settings.approval_seconds_max)
    return plan.model_copy(update={"verdict": verdict, "expires_at": utcnow() + timedelta(seconds=seconds)})


async def checked(factory: Factory, plan: Plan) -> None:
    """Raise unless every step is a call that its agent may make, with arguments that can be read."""
    if problem := plan.problem():
        raise InvalidInput(problem, code="invalid_plan", remedy="Correct the steps.")
    most = (plan.verdict.bounds if plan.verdict else Bounds()).steps_max
    if not 1 <= len(plan.steps) <= most:
        raise InvalidInput(f"A plan has 1 to {most} steps, not {len(plan.steps)}.", code="invalid_plan", remedy="Make two plans of it.")
    for step in plan.steps:
        tool = await resolve_tool(factory, step.tool, plan.tenant)
        if not step.tool.startswith(PREFIX):
            within_scope(step)
        if not any(reference(value) for value in step.arguments.values()):
            tool.parse(step.arguments)


async def foresee(factory: Factory, plan: Plan) -> list[Step]:
    """Each step with what live state says of it and what it may cost. Raises what the activity would."""
    acts = StepActivities(factory)

    async def one(step: Step) -> Step:
        call = StepCall(
            plan_id=plan.id,
            thread_id=plan.thread_id,
            tenant=plan.tenant,
            project=plan.project,
            actor=plan.requested_by,
            key=f"{plan.id}/{step.id}",
            step=step,
            arguments={},
        )
        return Step.model_validate(await acts.foresee(call))

    try:
        return list(await asyncio.gather(*(one(step) for step in plan.steps)))
    except ApplicationError as error:
        code, reason, remedy = explain(error)
        kind: type[LineshaftError] = Conflict if error.non_retryable else Unavailable
        raise kind(reason, code=code, remedy=remedy) from error


async def open_thread(starter: Starter, plan: Plan) -> None:
    """Give the plan a thread in which its events and its end are told, and say there what was asked."""
    records = starter.factory.records
    thread = Thread(id=plan.thread_id, tenant=plan.tenant, created_by=plan.requested_by[:128], title=plan.title[:200], created_at=utcnow())
    await records.create_thread(thread)
    asked = NewEvent(
        key=f"{plan.id}/asked",
        tenant=plan.tenant,
        thread_id=plan.thread_id,
        plan_id=plan.id,
        run_id=plan.id,
        kind="message.user",
        payload={"text": plan.request, "actor": plan.requested_by, "message_id": plan.id},
    )
    await records.write_event(asked)


async def start(starter: Starter, plan: Plan) -> None:
    """Start the thread's workflow, which hears of the plan's end, and the plan's; each once under its id."""
    await starter.temporal.start_workflow(
        ThreadWorkflow.run,
        ThreadInput(thread_id=plan.thread_id, tenant=plan.tenant),
        id=plan.thread_id,
        task_queue=starter.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary="chat thread",
    )
    try:
        await starter.temporal.start_workflow(
            PlanWorkflow.run,
            plan,
            id=plan.id,
            task_queue=starter.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=plan.title[:200],
            task_timeout=timedelta(seconds=10),
        )
    except WorkflowAlreadyStartedError:  # it ran and ended already, under the same id
        return


async def appeared(factory: Factory, plan: Plan) -> PlanRecord:
    """The plan as its workflow keeps it: its digest is what an approval names. Raises Unavailable when no worker takes it up."""
    deadline = time.monotonic() + APPEARS_SECONDS
    while True:
        try:
            return await factory.records.plan(plan.id, plan.tenant)
        except NotFound as error:
            if time.monotonic() > deadline:
                remedy = f"It is kept: read plan {plan.id} once the worker is up."
                raise Unavailable("No worker has taken the plan up.", remedy=remedy) from error
        await asyncio.sleep(POLL_SECONDS)

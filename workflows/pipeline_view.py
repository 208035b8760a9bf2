"""A run of a pipeline as its workflow, policy and people see it."""

from collections.abc import Mapping
from datetime import timedelta

from pydantic import JsonValue

from agents.composition import total
from factory_infra.database import utcnow
from factory_infra.factory import Factory
from factory_infra.paas.training.pipelines.models import PipelineRun, PipelineVersion
from factory_infra.paas.training.pipelines.spec import (
    Approval,
    DataStep,
    DeployStep,
    GateStep,
    JobStep,
    PipelineSpec,
    needs_of,
)
from factory_infra.paas.training.pipelines.spec import Step as PipelineStep
from tools.pipeline_steps import tools_of
from tools.plan import Effect, Plan, Step, Verdict
from tools.spec import ToolContext
from tools.toolbox import TOOLS
from workflows.definitions.lanes import AGENT, TERM_SECONDS_MAX
from workflows.messages import JsonObject
from workflows.pipelining import PipelineInput, StepOrder


def input_of(run: PipelineRun, spec: PipelineSpec) -> PipelineInput:
    """What the workflow of a run is told."""
    return PipelineInput(
        run_id=run.id,
        tenant=run.tenant,
        actor=run.actor,
        thread_id=run.thread_id,
        project=spec.project,
        title=f"pipeline {run.pipeline}",
        steps=[order_of(step) for step in spec.steps],
        at_once_max=spec.at_once_max,
        seconds_max=float(spec.seconds_max),
    )


def order_of(step: PipelineStep) -> StepOrder:
    """What the workflow must know of a step."""
    needs = sorted(needs_of(step))
    if isinstance(step, JobStep):
        return StepOrder(
            id=step.id,
            work="job",
            needs=needs,
            pool=step.pool,
            slots=step.slots,
            seconds=step.seconds,
            attempts=step.attempts,
            wait_seconds=step.wait_seconds,
            queue_seconds=step.queue_seconds,
        )
    if isinstance(step, DataStep):
        return StepOrder(id=step.id, work="data", needs=needs)
    if isinstance(step, GateStep):
        return StepOrder(id=step.id, work="gate", needs=needs, asks=step.approval is not None, long=step.approval is not None)
    slow = isinstance(step, DeployStep) and step.strategy != "at_once"
    return StepOrder(id=step.id, work="tool", needs=needs, calls=len(tools_of(step)), long=slow)


async def card_of(factory: Factory, run: PipelineRun, version: PipelineVersion, spec: PipelineSpec) -> Plan:
    """The run as a plan that policy judges and people decide on: its leases, its jobs and its tools. Any change of the pipeline or of its
    parameters changes its digest.
    """
    steps = [*await lease_steps(factory, run, spec), *tool_steps(spec)]
    said = ", ".join(f"{name}={value}" for name, value in sorted(run.parameters.items()))
    request = f"Run pipeline {run.pipeline} version {version.version} ({version.digest})" + (f" with {said}" if said else "")
    return Plan(
        id=run.id,
        tenant=run.tenant,
        thread_id=run.thread_id,
        requested_by=run.actor,
        requester_role=run.role,
        request=request,
        title=f"Run pipeline {run.pipeline} version {version.version}",
        steps=tuple(steps),
        price=total(steps),
        notes=(f"Started by: {run.trigger}.", *(f"{step.id}: {step.summary or step.kind}" for step in spec.steps)),
        planner="pipeline",
        project=spec.project,
    )


async def lease_steps(factory: Factory, run: PipelineRun, spec: PipelineSpec) -> list[Step]:
    """What its jobs lease in each pool, at most: as much as its steps may take one after another."""
    pools: dict[tuple[str, int], list[JobStep]] = {}
    for each in spec.steps:
        if isinstance(each, JobStep):
            pools.setdefault((each.pool, each.slots), []).append(each)
    steps = []
    for number, ((pool, slots), jobs) in enumerate(pools.items(), 1):
        seconds = min(sum(job.seconds * job.attempts for job in jobs), TERM_SECONDS_MAX)
        arguments: JsonObject = {"slots": slots, "seconds": max(seconds, 60), "purpose": f"pipeline {run.pipeline}"}
        arguments |= {"pool": pool} if pool else {}
        arguments |= {"wait_seconds": wait} if (wait := max(job.queue_seconds for job in jobs)) else {}
        tool = TOOLS["leases.acquire"]
        context = ToolContext(factory=factory, tenant=run.tenant, actor=run.actor, key=f"{run.id}/foreseen", plan_id=run.id)
        steps.append(
            Step(
                id=f"lease-{number}",
                tool=tool.name,
                agent=AGENT,
                summary=f"Lease {slots} slots for {len(jobs)} jobs: {', '.join(job.id for job in jobs)}"[:300],
                arguments=arguments,
                effect=tool.effect,
                dry_run=await tool.dry_run(context, arguments) if tool.dry_run else None,
                price=await tool.price(context, arguments) if tool.price else None,
            )
        )
        submit = f"Run {len(jobs)} programs on it"
        steps.append(Step(id=f"jobs-{number}", tool="jobs.submit", agent=AGENT, summary=submit, effect=Effect.COSTLY, runs_as="job"))
    return steps


def tool_steps(spec: PipelineSpec) -> list[Step]:
    """Its tools. References stand as they are: what they come to is not known yet."""
    return [
        Step(
            id=step.id if not number else f"{step.id}-{number + 1}",
            tool=use.tool,
            agent=AGENT,
            summary=step.summary or f"{step.id}: {use.tool}",
            arguments=use.arguments,
            effect=TOOLS[use.tool].effect,
            gate=use.gate,
            undo=TOOLS[use.tool].undo_words,
        )
        for step in spec.steps
        for number, use in enumerate(tools_of(step))
    ]


def gate_card(run: PipelineRun, spec: PipelineSpec, gate: tuple[str, Approval], facts: Mapping[str, JsonValue]) -> Plan:
    """What people decide on at a gate: what is known by now, and what would follow. Its digest names exactly that."""
    name, wanted = gate
    later = following(spec, name)
    verdict = Verdict(
        decision="approve",
        approvals=wanted.approvals,
        role=wanted.role,
        requester_may_approve=wanted.requester_may_approve,
        expires_seconds=float(wanted.expires_seconds),
        reasons=(f"Gate '{name}' asks for it.",),
    )
    known = [f"{step}: {value}" for step, value in sorted(facts.items())]
    return Plan(
        id=run.id,
        tenant=run.tenant,
        thread_id=run.thread_id,
        requested_by=run.actor,
        requester_role=run.role,
        request=f"Go on with pipeline {run.pipeline} version {run.version} ({run.digest}) after gate '{name}'",
        title=f"Gate {name} of pipeline {run.pipeline}",
        steps=tuple(each for each in tool_steps(spec) if each.id.rsplit("-", 1)[0] in later or each.id in later),
        notes=tuple(known),
        planner="pipeline",
        verdict=verdict,
        expires_at=utcnow() + timedelta(seconds=wanted.expires_seconds),
    )


def following(spec: PipelineSpec, name: str) -> set[str]:
    """The steps that come after one, directly or not."""
    found: set[str] = set()
    while more := {step.id for step in spec.steps if needs_of(step) & {name, *found}} - found:
        found |= more
    return found

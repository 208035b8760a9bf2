"""Tools over failures: what went wrong, by which signs, and what to do about it."""

import re
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, Field, JsonValue

from factory_infra.errors import InvalidInput, NotFound
from factory_infra.foundation.reliability.diagnosis import diagnose as judge
from factory_infra.foundation.reliability.models import Finding, Remedy, Sign, Symptoms
from factory_infra.foundation.reliability.node_models import Figures
from factory_infra.foundation.telemetry.models import Reading
from factory_infra.iaas.jobs.models import Job, JobState
from factory_infra.records.models import PlanRecord
from tools.events import TEXT_CHARACTERS_MAX, EventLine, line
from tools.plan import Effect, Plan, Step
from tools.plans import found, jobs_of
from tools.spec import Arguments, Result, Tool, ToolContext
from tools.untrusted import cut

LOG_BYTES = 8192
EVENTS_MAX = 8
OTHERS_MAX = 3
PLANS_MAX = 100
FAILED = ("failed", "gated", "escalated", "cancelled", "undone")
ENDED_BY = re.compile(r"The job was ended by (SIG[A-Z0-9]{1,12})\b")
REPEATABLE = {"train-only": ("dataset", "model_name", "algorithm"), "train-and-deploy": ("dataset", "model_name", "algorithm")}
"""What can be asked for again by a playbook that trains, from the arguments of the plan's own steps."""


class DiagnoseArguments(Arguments):
    """Which job or plan; the team's last failure where neither is named."""

    job_id: str | None = None
    plan_id: str | None = None


class Cause(Result):
    """One probable cause with what speaks for it."""

    cause: str
    confidence: str
    words: str
    signs: list[Sign]


class Diagnosis(Result):
    """What probably went wrong, with its evidence and a remedy as data."""

    subject: Literal["job", "plan", "none"]
    job_id: str = ""
    plan_id: str = ""
    state: str = ""
    exit_code: int | None = None
    cause: Cause
    others: list[Cause] = []
    remedy: Remedy
    events: list[EventLine] = []
    telemetry: Reading


class Case(BaseModel):
    """One failure: a plan, a job, or both."""

    plan: PlanRecord | None = None
    job: Job | None = None


async def diagnose(context: ToolContext, arguments: DiagnoseArguments) -> Diagnosis:
    """Name the probable cause of a failed job or plan, with evidence from its state, log, events and the host, and a remedy."""
    case = await find_case(context, arguments)
    reading = await context.factory.telemetry.read()
    log = await context.factory.jobs.tail(case.job.id, context.tenant, LOG_BYTES) if case.job else ""
    findings = judge(symptoms_of(case, log, reading)) if failed(case) else [healthy(case)]
    told = (
        await context.factory.journal.events(
            context.tenant, plan_id=case.plan.id, kinds=("step.failed", "step.undo_failed", "plan.ended"), limit=EVENTS_MAX
        )
        if case.plan
        else []
    )
    return Diagnosis(
        subject="job" if case.job else "plan",
        job_id=case.job.id if case.job else "",
        plan_id=case.plan.id if case.plan else "",
        state=(case.job.state.value if case.job else "") or (case.plan.state if case.plan else ""),
        exit_code=case.job.exit_code if case.job else None,
        cause=shaped(findings[0]),
        others=[shaped(each) for each in findings[1 : 1 + OTHERS_MAX]],
        remedy=await remedy_of(context, findings[0], case),
        events=[line(event) for event in told],
        telemetry=reading,
    )


def shaped(finding: Finding) -> Cause:
    """A finding as the tool shows it."""
    return Cause(cause=finding.cause, confidence=finding.confidence, words=finding.words, signs=finding.signs)


async def find_case(context: ToolContext, arguments: DiagnoseArguments) -> Case:
    """Find the job with its plan, or the plan with the job of it that failed. Raises NotFound."""
    if arguments.job_id is not None:
        job = await context.factory.jobs.get(arguments.job_id, context.tenant)
        return Case(job=job, plan=await plan_of(context, job))
    if arguments.plan_id is not None:
        return await with_job(context, await found(context, arguments.plan_id))
    return await last_failure(context)


async def last_failure(context: ToolContext) -> Case:
    """The team's newest failure: of a job, or of a plan that failed without one. Raises NotFound."""
    job = next((each for each in await context.factory.jobs.list(context.tenant) if job_failed(each)), None)
    try:
        plan = await found(context, None, FAILED)
    except NotFound:
        plan = None
    if job is None and plan is None:
        raise NotFound(f"No job or plan of team {context.tenant} has failed.", code="failure_unknown", remedy="Name the job or the plan.")
    if job is not None and (plan is None or ended_at(job) > plan.updated_at):
        return Case(job=job, plan=await plan_of(context, job))
    return await with_job(context, plan) if plan is not None else Case(job=job)


def ended_at(job: Job) -> datetime:
    """When a job ended; one without a record counts as long ago."""
    return job.finished_at or job.started_at or datetime.min.replace(tzinfo=UTC)


async def with_job(context: ToolContext, plan: PlanRecord) -> Case:
    """A plan with the job of it that failed, if one did."""
    jobs = await jobs_of(context, Plan.model_validate(plan.document))
    return Case(plan=plan, job=next((job for job in jobs if job_failed(job)), None))


async def plan_of(context: ToolContext, job: Job) -> PlanRecord | None:
    """The plan whose step started a job, among the team's newest."""
    for record in await context.factory.records.plans(context.tenant, limit=PLANS_MAX):
        if job.id in {each.id for each in await jobs_of(context, Plan.model_validate(record.document))}:
            return record
    return None


def job_failed(job: Job) -> bool:
    """Whether a job ended without success."""
    return job.state in {JobState.FAILED, JobState.CANCELLED, JobState.LOST}


def failed(case: Case) -> bool:
    """Whether there is a failure to explain."""
    return (case.job is not None and job_failed(case.job)) or (case.plan is not None and case.plan.state in FAILED)


def healthy(case: Case) -> Finding:
    """Nothing failed."""
    state = case.job.state.value if case.job else case.plan.state if case.plan else "unknown"
    words, remedy = f"Nothing failed: it is {state}.", "Nothing needs to be done."
    return Finding(cause="unknown", confidence="none", words=words, remedy=remedy, signs=[])


def symptoms_of(case: Case, log: str, reading: Reading) -> Symptoms:
    """Put together what is known. Of the failure's own words only the signal is taken, and only where our runner writes it."""
    failure = case.job.failure if case.job else None
    signal = ENDED_BY.match(failure.reason) if failure else None
    codes = [failure.code if failure else "", str(case.plan.outcome.get("code") or "") if case.plan else ""]
    if case.plan is not None and case.plan.state == "gated":
        codes.append("gated")
    return Symptoms(
        codes=list(dict.fromkeys(filter(None, codes))),
        signal=signal[1] if signal else "",
        exit_code=case.job.exit_code if case.job else None,
        log=log,
        disk_free_share=reading.disk_free_gib / reading.disk_total_gib if reading.disk_total_gib else None,
        memory_available_share=reading.memory_available_gib / reading.memory_total_gib if reading.memory_total_gib else None,
    )


async def remedy_of(context: ToolContext, finding: Finding, case: Case) -> Remedy:
    """What to do: a playbook with its slots where one does it, from the factory's own state and the plan's own steps; else words."""
    if finding.cause in {"quota", "capacity"}:
        held = [lease for lease in await context.factory.leases.list(context.tenant) if lease.state.held]
        if held:
            lease = held[-1].id
            return Remedy(words=finding.remedy, playbook="release-lease", slots={"lease_id": lease}, say=f"Release the lease {lease}")
    if finding.repeat and case.plan is not None:
        again = repeated(Plan.model_validate(case.plan.document))
        return again.model_copy(update={"words": finding.remedy}) if again else Remedy(words=finding.remedy)
    return Remedy(words=finding.remedy)


def repeated(plan: Plan) -> Remedy | None:
    """Ask for a plan's playbook again with the arguments of its own steps; None for a playbook that trains nothing."""
    fields = REPEATABLE.get(plan.playbook)
    train = next((step for step in plan.steps if step.tool == "training.run"), None)
    if fields is None or train is None:
        return None
    named = {name: value for name in fields if isinstance(value := train.arguments.get(name), str)}
    slots: dict[str, JsonValue] = {**named, **counted(plan.steps)}
    words = f"Train {slots.get('model_name', 'the model')} on {slots.get('dataset', 'its dataset')} again"
    return Remedy(words="", playbook=plan.playbook, slots=slots, say=cut(words, TEXT_CHARACTERS_MAX))


def counted(steps: tuple[Step, ...]) -> dict[str, int | float | str]:
    """The other slots of a training: how many slots of the pool, the bar of its gate, and the endpoint."""
    wanted = {
        "leases.acquire": ("slots", "slots"),
        "deployments.gate": ("threshold", "threshold"),
        "deployments.deploy": ("endpoint", "endpoint"),
    }
    found_values: dict[str, int | float | str] = {}
    for step in steps:
        argument, slot = wanted.get(step.tool, ("", ""))
        value = step.arguments.get(argument)
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            found_values[slot] = value
    return found_values


class MtbfArguments(Arguments):
    """Of which pool, cluster or node; of everything where none is named."""

    pool: str | None = None
    node: str | None = None
    cluster: str | None = None
    confidence: float = Field(default=0.9, ge=0.5, le=0.999)


async def mtbf(context: ToolContext, arguments: MtbfArguments) -> Figures:
    """Tell the mean time between failures and to repair, by node and by accelerator-hour, with bounds; too few events are said to be so."""
    if arguments.node is not None and arguments.pool is None:
        raise InvalidInput("A node is named with its pool.", remedy="Name 'pool' too.")
    return await context.factory.nodes.figures(arguments.pool, arguments.node, arguments.cluster, confidence=arguments.confidence)


TOOLS = (
    Tool("reliability.diagnose", Effect.READ, DiagnoseArguments, Diagnosis, diagnose),
    Tool("reliability.mtbf", Effect.READ, MtbfArguments, Figures, mtbf),
)

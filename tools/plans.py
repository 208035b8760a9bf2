"""Tools over plans: show, list, audit."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field

from factory_infra.errors import NotFound
from factory_infra.iaas.jobs.models import Job
from factory_infra.records.models import PlanRecord
from factory_infra.saas.metering.models import Entry
from tools import training
from tools.auditing import ENDED, ORDERED, Books, Finding, audit_books
from tools.plan import Effect, Plan
from tools.ports import JsonObject
from tools.spec import Arguments, JobTool, Result, Tool, ToolContext
from tools.untrusted import cut

PAGE = 500
STEPS_SHOWN_MAX = 40
ATTEMPTS_MAX = 4
WORDS_MAX = 300
IDENTIFY = {tool.name: tool.identify for tool in training.TOOLS if isinstance(tool, JobTool) and tool.identify is not None}
"""How the id of a step's job follows from the step's key."""


class ShowArguments(Arguments):
    """Which plan; the team's newest where none is named."""

    plan_id: str | None = None


class StepLine(Result):
    """One step."""

    id: str
    tool: str
    agent: str
    effect: str
    state: str


class PlanView(Result):
    """One plan as it stands."""

    plan_id: str
    thread_id: str
    state: str
    title: str
    digest: str
    requested_by: str
    decided_by: str
    playbook: str
    price_high: str
    currency: str
    spent: str = Field(description="In the plan's own ledger, planning included.")
    planning: str = Field(description="What of `spent` is the planner's model calls.")
    returned: str = Field(description="What leases cost that it gave back and that another plan had taken: not in `spent`.")
    steps: list[StepLine]
    code: str = ""
    created_at: datetime
    untrusted_text: str = Field(default="", description="Why it ended as it did, as the factory and its programs said: data only.")


async def show(context: ToolContext, arguments: ShowArguments) -> PlanView:
    """Show a plan of the team: its steps, its state, who decided, what it cost. Without a name, the newest."""
    record = await found(context, arguments.plan_id)
    plan, outcome = Plan.model_validate(record.document), record.outcome
    cost = await context.factory.metering.cost(tenant=context.tenant, plan_id=record.id)
    planning = sum((line.amount for line in cost.lines if line.unit == "tokens"), Decimal(0))
    states = {name: state for state in ("done", "skipped", "undone", "undo_failed") for name in names(outcome.get(state))}
    steps = [
        StepLine(id=step.id, tool=step.tool, agent=step.agent, effect=step.effect.value, state=states.get(step.id, "not done"))
        for step in plan.steps[:STEPS_SHOWN_MAX]
    ]
    return PlanView(
        plan_id=record.id,
        thread_id=record.thread_id,
        state=record.state,
        title=cut(plan.title, WORDS_MAX),
        digest=record.digest,
        requested_by=plan.requested_by,
        decided_by=record.decided_by or "",
        playbook=plan.playbook,
        price_high=f"{plan.price.high:.6f}",
        currency=plan.price.currency,
        spent=f"{cost.spent:.6f}",
        planning=f"{planning:.6f}",
        returned=f"{returned(plan, outcome):.6f}",
        steps=steps,
        code=str(outcome.get("code") or ""),
        created_at=record.created_at,
        untrusted_text=cut(str(outcome.get("reason") or ""), WORDS_MAX),
    )


def returned(plan: Plan, outcome: JsonObject) -> Decimal:
    """What the leases cost that a plan gave back without having taken them, as their settlements said."""
    results = outcome.get("results")
    told = results if isinstance(results, dict) else {}
    found = [told.get(step.id) for step in plan.steps if step.tool == "leases.release" and isinstance(step.arguments.get("lease_id"), str)]
    return sum((Decimal(str(each["amount"])) for each in found if isinstance(each, dict) and each.get("amount")), Decimal(0))


def names(value: object) -> list[str]:
    """A list of step names from an outcome."""
    return [str(each) for each in value] if isinstance(value, list) else []


async def found(context: ToolContext, plan_id: str | None, states: Sequence[str] = ()) -> PlanRecord:
    """Return the plan that is named, or the team's newest in one of these states (any where none is given). Raises NotFound."""
    records = context.factory.records
    if plan_id is not None:
        return await records.plan(plan_id, context.tenant)
    for record in await records.plans(context.tenant, limit=PAGE):
        if not states or record.state in states:
            return record
    raise NotFound(f"Team {context.tenant} has no such plan yet.", remedy="Ask for something first.", code="plan_unknown")


class ListArguments(Arguments):
    """Which plans: in one state, or all."""

    state: str | None = None
    limit: int = Field(default=10, ge=1, le=50)


class PlanLine(Result):
    """One plan in a list."""

    plan_id: str
    title: str
    state: str
    requested_by: str
    created_at: datetime


class PlanList(Result):
    """A team's plans, newest first."""

    plans: list[PlanLine]


async def list_plans(context: ToolContext, arguments: ListArguments) -> PlanList:
    """List the team's plans, newest first."""
    records = await context.factory.records.plans(context.tenant, state=arguments.state, limit=arguments.limit)
    return PlanList(plans=[plan_line(record) for record in records])


def plan_line(record: PlanRecord) -> PlanLine:
    """Shape a plan for a list."""
    document = record.document
    return PlanLine(
        plan_id=record.id,
        title=cut(str(document.get("title") or ""), WORDS_MAX),
        state=record.state,
        requested_by=str(document.get("requested_by") or ""),
        created_at=record.created_at,
    )


class AuditArguments(Arguments):
    """Which plan; the team's newest that has ended where none is named."""

    plan_id: str | None = None


class AuditReport(Result):
    """What an audit found: every check, with what it looked at."""

    plan_id: str
    state: str
    digest: str
    verdict: Literal["clean", "violations", "open"]
    violations: int
    findings: list[Finding]


async def audit(context: ToolContext, arguments: AuditArguments) -> AuditReport:
    """Check a finished plan against the journal of effects, approvals, ledger, leases, jobs, price and events. Changes nothing."""
    record = await found(context, arguments.plan_id, tuple(ENDED))
    findings = audit_books(await read_books(context, record))
    violations = sum(each.verdict == "violation" for each in findings)
    unfinished = any(each.verdict == "open" for each in findings)
    return AuditReport(
        plan_id=record.id,
        state=record.state,
        digest=record.digest,
        verdict="violations" if violations else "open" if unfinished else "clean",
        violations=violations,
        findings=findings,
    )


async def read_books(context: ToolContext, record: PlanRecord) -> Books:
    """Read what an audit looks at."""
    factory, plan = context.factory, Plan.model_validate(record.document)
    entries = await postings(context, record.id)
    settled = {entry.reservation for entry in entries if entry.action == "settle"}
    return Books(
        record=record,
        plan=plan,
        effects=await factory.journal.effects(record.id),
        approvals=await factory.approvals.of_plan(record.id),
        events=await factory.journal.events(None, plan_id=record.id, kinds=ORDERED, limit=PAGE),
        leases=[lease for lease in await factory.leases.list(record.tenant, active=False, limit=PAGE) if lease.plan_id == record.id],
        jobs=await jobs_of(context, plan),
        open_reservations=sorted({entry.reservation for entry in entries if entry.action == "reserve"} - settled),
        spent=sum((spent_by(entry) for entry in entries if entry.unit != "tokens"), Decimal(0)),
        currency=factory.metering.prices.currency,
    )


def spent_by(entry: Entry) -> Decimal:
    """What an entry adds to what was spent; a correction may take something back."""
    return entry.amount * ((entry.credit == "spent") - (entry.debit == "spent"))


async def postings(context: ToolContext, plan_id: str) -> list[Entry]:
    """Return all postings of a plan."""
    entries: list[Entry] = []
    while page := await context.factory.metering.entries(context.tenant, plan_id, limit=PAGE, offset=len(entries)):
        entries += page
    return entries


async def jobs_of(context: ToolContext, plan: Plan) -> list[Job]:
    """Return the jobs that the plan's steps started, by the ids that their keys give; a step that was stopped may have several."""
    jobs = []
    for step in plan.steps:
        identify = IDENTIFY.get(step.tool)
        for key in keys_of(plan.id, step.id) if identify else ():
            try:
                jobs.append(await context.factory.jobs.get(identify(key), plan.tenant))  # type: ignore[misc]
            except NotFound:
                continue
    return jobs


def keys_of(plan_id: str, step: str) -> list[str]:
    """The keys of a step's first attempts."""
    first = f"{plan_id}/{step}"
    return [first, *(f"{first}/{attempt}" for attempt in range(2, ATTEMPTS_MAX + 1))]


TOOLS = (
    Tool("plans.show", Effect.READ, ShowArguments, PlanView, show),
    Tool("plans.list", Effect.READ, ListArguments, PlanList, list_plans),
    Tool("plans.audit", Effect.READ, AuditArguments, AuditReport, audit),
)

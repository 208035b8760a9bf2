"""Activities over records: events, the plan's state, and the words in which it ended."""

from decimal import Decimal

from pydantic import BaseModel
from temporalio import activity

from factory_infra.database import utcnow
from factory_infra.factory import Factory
from factory_infra.records.approvals import Approval
from factory_infra.records.models import NewEvent, PlanRecord
from factory_infra.saas.metering.models import Cost
from tools.plan import Plan, PlanState, Step
from workflows.activities.context import translated
from workflows.messages import JsonObject, PlanMove, PlanOutcome, PlanReport, ReportCall

OPENINGS = {
    PlanState.DONE: "Done: {title}.",
    PlanState.GATED: "Gated: {title}. {reason} {remedy}",
    PlanState.FAILED: "Failed: {title}. {reason} {remedy}",
    PlanState.CANCELLED: "Cancelled: {title}. {reason}",
    PlanState.REFUSED: "Refused: {title}. Nothing was done. {reason}",
    PlanState.EXPIRED: "Expired: {title}. Nothing was done. {reason} {remedy}",
    PlanState.ESCALATED: "A person must look: {title}. {reason} {remedy}",
    PlanState.UNDONE: "Undone: {title}. {reason}",
}


class EventBatch(BaseModel):
    """Events to append, in order."""

    events: list[NewEvent]


class RecordActivities:
    """Writes down what happened."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    @activity.defn(name="write_events")
    @translated
    async def write_events(self, batch: EventBatch) -> JsonObject:
        """Append events in order, each once under its key; the first message names its thread."""
        for event in batch.events:
            await self._factory.records.write_event(event)
            if event.kind == "message.user":
                await self._factory.records.title_thread(event.thread_id, str(event.payload["text"])[:80])
        return {}

    @activity.defn(name="save_plan")
    @translated
    async def save_plan(self, plan: Plan) -> JsonObject:
        """Keep a plan that is proposed, or a later revision of it."""
        now = utcnow()
        await self._factory.records.save_plan(
            PlanRecord(
                id=plan.id,
                tenant=plan.tenant,
                project=plan.project,
                thread_id=plan.thread_id,
                digest=plan.digest(),
                state=PlanState.PROPOSED.value,
                document=plan.model_dump(mode="json"),
                outcome={},
                decided_by=None,
                created_at=now,
                updated_at=now,
            )
        )
        return {}

    @activity.defn(name="move_plan")
    @translated
    async def move_plan(self, move: PlanMove) -> JsonObject:
        """Write where a plan is now."""
        if move.digest:
            await self._factory.approvals.use(move.plan_id, move.digest)
        await self._factory.records.move_plan(move.plan_id, move.state.value, decided_by=move.decided_by, outcome=move.outcome)
        return {}

    @activity.defn(name="save_approval")
    @translated
    async def save_approval(self, approval: Approval) -> JsonObject:
        """Keep one person's word on one revision."""
        await self._factory.approvals.save(approval)
        return {}

    @activity.defn(name="report_plan")
    @translated
    async def report_plan(self, request: ReportCall) -> JsonObject:
        """Say how a plan ended, with what it cost and where to look."""
        plan, outcome = request.plan, request.outcome
        cost = await self._factory.metering.cost(tenant=plan.tenant, plan_id=plan.id)
        sentences = [OPENINGS[outcome.state].format(title=plan.title, reason=outcome.reason, remedy=outcome.remedy).strip()]
        if outcome.undone:
            sentences.append(f"Undone: {', '.join(outcome.undone)}.")
        if outcome.undo_failed:
            sentences.append(f"NOT undone, a person must look: {', '.join(outcome.undo_failed)}.")
        sentences += [said for step, result in standing(plan, outcome) if (said := said_of(step.tool, result))]
        sentences += money(cost, reserving=any(step.tool == "leases.acquire" for step, _ in standing(plan, outcome)))
        report = PlanReport(text=" ".join(sentences), citations=cited(plan, outcome), cost=cost.model_dump(mode="json"))
        return report.model_dump(mode="json")


def standing(plan: Plan, outcome: PlanOutcome) -> list[tuple[Step, JsonObject]]:
    """The steps whose result still holds: what was undone or not confirmed is not spoken of as if it were there."""
    held = set(outcome.done) - set(outcome.undone)
    return [(step, outcome.results[step.id]) for step in plan.steps if step.id in held and step.id in outcome.results]


def money(cost: Cost, *, reserving: bool) -> list[str]:
    """What a plan came to in its own ledger: what stays reserved by it, and what was spent, planning apart from the rest.

    A lease that another plan took is in that plan's ledger: what it cost is said where it is given back.
    """
    planning = sum((line.amount for line in cost.lines if line.unit == "tokens"), Decimal(0))
    work = cost.spent - planning
    said = [f"{cost.reserved:.6f} {cost.currency} are reserved for it."] if reserving and cost.reserved else []
    if work:
        return [*said, f"It cost {cost.spent:.6f} {cost.currency}: {work:.6f} for slots, {planning:.6f} for planning."]
    return [*said, f"Planning cost {planning:.6f} {cost.currency}."]


def said_of(tool: str, result: JsonObject) -> str:
    """One sentence on what a step came to, for those that a person wants to hear of."""
    if not result:
        return ""
    if tool == "registry.register":
        return f"{result['model_name']} version {result['version']} is registered (accuracy {result['accuracy']:.4f})."
    if tool == "deployments.deploy":
        return f"Endpoint {result['endpoint']} answers with it at {result['url']}."
    if tool == "leases.release":
        cost = f" and cost {result['amount']} {result['currency']}" if "amount" in result else ""
        return f"The lease used {result['slot_seconds']:.1f} slot-seconds{cost}."
    if tool == "leases.acquire" and "lease_id" in result:
        return f"Lease {result['lease_id']} of {result['slots']} {result['slot_kind']} slots."
    return ""


def cited(plan: Plan, outcome: PlanOutcome) -> list[JsonObject]:
    """Where the end can be checked: the plan, the version, the endpoint, the ledger."""
    citations: list[JsonObject] = [
        {"title": f"plan {plan.id}", "url": f"/v1/plans/{plan.id}"},
        {"title": "ledger of the plan", "url": f"/v1/ledger?plan_id={plan.id}"},
    ]
    for step, result in standing(plan, outcome):
        if step.tool == "registry.register" and result:
            citations.append({"title": f"{result['model_name']} version {result['version']}", "url": result["run_url"]})
        if step.tool == "deployments.deploy" and result:
            citations.append({"title": f"endpoint {result['endpoint']}", "url": result["url"]})
    return citations

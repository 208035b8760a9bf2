"""How the end of a plan is told: to the records, to its thread, and to those who check it."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from tools.plan import Plan, PlanState
    from workflows.definitions.calls import call
    from workflows.definitions.events import EventWriter
    from workflows.messages import JsonObject, PlanEnded, PlanMove, PlanOutcome, PlanReport

ACTED = {PlanState.DONE, PlanState.GATED, PlanState.FAILED, PlanState.CANCELLED, PlanState.ESCALATED}


async def tell_end(plan: Plan, outcome: PlanOutcome, decided_by: str | None, events: EventWriter) -> None:
    """Report, keep the outcome, hand what was not undone to a person, and let the thread know."""
    document = outcome.model_dump(mode="json")
    report = PlanReport.model_validate(await call("report_plan", {"plan": plan.model_dump(mode="json"), "outcome": document}, "report"))
    document["cost"] = report.cost
    move = PlanMove(plan_id=plan.id, state=outcome.state, decided_by=decided_by, outcome=document)
    await call("move_plan", move.model_dump(mode="json"), outcome.state.value)
    if outcome.undo_failed:
        left: JsonObject = {name: outcome.results.get(name, {}) for name in outcome.undo_failed}
        await events.write("plan.escalated", {"steps": list(outcome.undo_failed), "left": left, "reason": outcome.reason})
    await events.write("plan.ended", {**document, "text": report.text})
    end = PlanEnded(plan_id=plan.id, state=outcome.state, title=plan.title, text=report.text, citations=report.citations)
    try:
        await workflow.get_external_workflow_handle(plan.thread_id).signal("plan_ended", end)
    except (ActivityError, ApplicationError) as error:
        workflow.logger.warning("thread did not hear of the plan's end: %s", error)

"""How the end of a plan is told: to the records, to its thread, and to those who check it."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from tools.plan import Plan, PlanState
    from workflows.definitions.calls import call
    from workflows.definitions.events import EventWriter
    from workflows.definitions.lesson import LessonWorkflow
    from workflows.failures import explain
    from workflows.learning import LessonInput, LessonProposal
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
    if outcome.state in ACTED:
        await look_back(plan, outcome, events)


async def look_back(plan: Plan, outcome: PlanOutcome, events: EventWriter) -> None:
    """Have what was done checked against what was approved, and learn from what was done well. Neither can spoil the plan's end."""
    whose: JsonObject = {"plan_id": plan.id, "tenant": plan.tenant}
    try:
        found = await call("audit_plan", whose, "audit")
    except ActivityError as error:
        code, reason, _ = explain(error)
        found = {"verdict": "open", "violations": 0, "findings": [{"check": "audit", "verdict": "open", "evidence": f"{code}: {reason}"}]}
    findings = found["findings"]
    told = [each for each in findings if isinstance(each, dict) and each.get("verdict") != "ok"] if isinstance(findings, list) else []
    await events.write("plan.audited", {"verdict": found["verdict"], "violations": found["violations"], "findings": list(told)})
    if outcome.state is PlanState.DONE:
        await learn(plan, whose)


async def learn(plan: Plan, whose: JsonObject) -> None:
    """Have what the plan may teach evaluated by a workflow of its own; most plans teach nothing."""
    try:
        proposed = LessonProposal.model_validate(await call("propose_lesson", whose, "lesson"))
        if proposed.lesson_id:
            await workflow.start_child_workflow(
                LessonWorkflow.run,
                LessonInput(tenant=plan.tenant, lesson_id=proposed.lesson_id),
                id=f"lesson-{plan.id}",
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary="lesson",
            )
    except (ActivityError, WorkflowAlreadyStartedError) as error:
        workflow.logger.warning("nothing is learnt from this plan: %s", error)

"""A lesson as a workflow: evaluated on the team's own past requests, then promoted or dropped."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.definitions.calls import call
    from workflows.learning import LessonDecision, LessonEnd, LessonInput, LessonOutcome, LessonProposal, LessonVerdict

PATIENCE = timedelta(days=7)


@workflow.defn(name="lesson")
class LessonWorkflow:
    """One candidate. What is not shown to be as good and as safe is never promoted; a person may only hold back what is."""

    @workflow.init
    def __init__(self, request: LessonInput) -> None:
        self._decision: LessonDecision | None = None
        self._asking = False

    @workflow.run
    async def run(self, request: LessonInput) -> LessonOutcome:
        """Take the candidate, or what a finished plan gives; evaluate it; settle it."""
        lesson = LessonProposal(lesson_id=request.lesson_id)
        if not lesson.lesson_id:
            lesson = LessonProposal.model_validate(await call("propose_lesson", {"plan_id": request.plan_id, "tenant": request.tenant}))
        if not lesson.lesson_id:
            return LessonOutcome(reason=lesson.reason)
        whose = LessonInput(tenant=request.tenant, lesson_id=lesson.lesson_id)
        verdict = LessonVerdict.model_validate(await call("evaluate_lesson", whose.model_dump(mode="json"), "evaluate"))
        if not verdict.open:
            return LessonOutcome(lesson_id=lesson.lesson_id, state=verdict.state, reason=verdict.reason)
        end = LessonEnd(lesson_id=lesson.lesson_id, tenant=request.tenant, promote=verdict.promote, reason=verdict.reason)
        if verdict.promote and verdict.ask:
            end = await self._asked(end)
        return LessonOutcome.model_validate(await call("settle_lesson", end.model_dump(mode="json"), "settle"))

    async def _asked(self, end: LessonEnd) -> LessonEnd:
        """Wait for a person's word; without one in time the candidate is dropped."""
        self._asking = True
        try:
            await workflow.wait_condition(lambda: self._decision is not None, timeout=PATIENCE)
        except TimeoutError:
            self._asking = False
            return end.model_copy(update={"promote": False, "reason": f"Dropped: nobody decided in {PATIENCE.days} days. {end.reason}"})
        await workflow.wait_condition(workflow.all_handlers_finished)
        decision = self._decision or LessonDecision(promote=False, by="")
        told = decision.reason or (end.reason if decision.promote else "Dropped by a person.")
        return end.model_copy(update={"promote": decision.promote, "reason": told, "by": decision.by})

    @workflow.update
    async def decide(self, decision: LessonDecision) -> None:
        """Promote or drop what the evaluation would promote. The first word counts."""
        self._decision = decision

    @decide.validator
    def _may_decide(self, decision: LessonDecision) -> None:
        if not self._asking or self._decision is not None:
            raise ApplicationError("This lesson waits for nobody's word.", type="conflict", non_retryable=True)

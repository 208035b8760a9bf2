"""A plan as a workflow: proposed, decided by a person, executed, verified, undone where it failed."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from tools.plan import Plan, PlanState
    from workflows.definitions.calls import call
    from workflows.definitions.events import EventWriter
    from workflows.definitions.execution import Execution
    from workflows.messages import Cancellation, Decision, JsonObject, PlanEnded, PlanMove, PlanOutcome, PlanReport, PlanStatus


@workflow.defn(name="plan")
class PlanWorkflow:
    """One plan. Nothing with an effect runs before a decision that names the plan's exact digest; the first decision counts."""

    @workflow.init
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._digest = plan.digest()
        self._decision: Decision | None = None
        self._cancelled: Cancellation | None = None
        self._state = PlanState.PROPOSED
        self._events = EventWriter(tenant=plan.tenant, thread_id=plan.thread_id, plan_id=plan.id)
        self._execution: Execution | None = None

    @workflow.run
    async def run(self, plan: Plan) -> PlanOutcome:
        """Wait for the decision, execute, tell the thread how it ended."""
        await call("save_plan", plan.model_dump(mode="json"), "keep the plan")
        shown: JsonObject = {"plan": plan.model_dump(mode="json"), "digest": self._digest}
        await self._events.write("plan.proposed", shown)
        outcome = await self._decided() or await self._execute()
        await self._end(outcome)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return outcome

    async def _decided(self) -> PlanOutcome | None:
        """Return how the plan ends without a step done, or None once it is approved."""
        expires_at = self._plan.expires_at
        limit = expires_at - workflow.now() if expires_at else timedelta(days=1)
        try:
            await workflow.wait_condition(lambda: bool(self._decision or self._cancelled), timeout=max(limit, timedelta(0)))
        except TimeoutError:
            self._state = PlanState.EXPIRED  # from here on a decision comes too late
            await self._events.write("plan.expired", {})
            return PlanOutcome(state=PlanState.EXPIRED, code="expired", reason="Nobody decided in time.", remedy="Ask again.")
        if self._cancelled is not None:
            return PlanOutcome(state=PlanState.CANCELLED, code="cancelled", reason=self._cancelled.reason or "Cancelled before it began.")
        decision = self._decision
        if decision is None or not decision.approve:
            reason = decision.reason if decision else ""
            await self._events.write("plan.refused", {"actor": decision.who.actor if decision else "", "reason": reason})
            return PlanOutcome(state=PlanState.REFUSED, code="refused", reason=reason or "Refused.")
        await self._events.write("plan.approved", {"actor": decision.who.actor, "digest": decision.digest})
        return None

    async def _execute(self) -> PlanOutcome:
        self._state = PlanState.RUNNING
        await self._move(PlanMove(plan_id=self._plan.id, state=self._state, decided_by=self._decided_by()))
        await self._events.write("plan.started", {"steps": len(self._plan.steps)})
        self._execution = Execution(self._plan, self._decided_by() or "", self._events, self._cancel_reason)
        return await self._execution.run()

    def _cancel_reason(self) -> str | None:
        """Why the plan was cancelled, in the person's words; None while it was not."""
        if self._cancelled is None:
            return None
        return self._cancelled.reason or f"Cancelled by {self._cancelled.who.actor}."

    def _decided_by(self) -> str | None:
        return self._decision.who.actor if self._decision else None

    async def _move(self, move: PlanMove) -> None:
        await call("move_plan", move.model_dump(mode="json"), move.state.value)

    async def _end(self, outcome: PlanOutcome) -> None:
        self._state = outcome.state
        plan, document = self._plan, outcome.model_dump(mode="json")
        report = PlanReport.model_validate(await call("report_plan", {"plan": plan.model_dump(mode="json"), "outcome": document}, "report"))
        document["cost"] = report.cost
        await self._move(PlanMove(plan_id=plan.id, state=outcome.state, decided_by=self._decided_by(), outcome=document))
        await self._events.write("plan.ended", {**document, "text": report.text})
        end = PlanEnded(plan_id=plan.id, state=outcome.state, title=plan.title, text=report.text, citations=report.citations)
        try:
            await workflow.get_external_workflow_handle(plan.thread_id).signal("plan_ended", end)
        except (ActivityError, ApplicationError) as error:
            workflow.logger.warning("thread did not hear of the plan's end: %s", error)

    @workflow.update
    async def decide(self, decision: Decision) -> PlanStatus:
        """Approve or refuse exactly this plan."""
        self._decision = decision
        self._state = PlanState.APPROVED if decision.approve else PlanState.REFUSED
        return self.status()

    @decide.validator
    def _may_decide(self, decision: Decision) -> None:
        if self._decision is not None or self._cancelled is not None or self._state is not PlanState.PROPOSED:
            raise ApplicationError(f"Plan {self._plan.id} is {self._state} already.", type="conflict", non_retryable=True)
        if decision.digest != self._digest:
            message = "The decision names another version of the plan."
            raise ApplicationError(message, type="digest_mismatch", non_retryable=True)
        if decision.who.tenant not in (None, self._plan.tenant):
            raise ApplicationError(f"There is no plan {self._plan.id}.", type="not_found", non_retryable=True)

    @workflow.update
    async def cancel(self, cancellation: Cancellation) -> PlanStatus:
        """End the plan: what runs is stopped, what was done is undone."""
        self._cancelled = cancellation
        if self._execution is not None:
            await self._execution.stop()
        return self.status()

    @cancel.validator
    def _may_cancel(self, cancellation: Cancellation) -> None:
        if self._state not in {PlanState.PROPOSED, PlanState.APPROVED, PlanState.RUNNING}:
            raise ApplicationError(f"Plan {self._plan.id} is {self._state} already.", type="conflict", non_retryable=True)

    @workflow.query
    def status(self) -> PlanStatus:
        """Tell where the plan is."""
        return PlanStatus(state=self._state, steps=dict(self._execution.states) if self._execution else {})

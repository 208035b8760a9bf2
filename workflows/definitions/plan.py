"""A plan as a workflow: proposed, decided by people, executed, held, edited, verified, undone where it failed."""

import asyncio
from datetime import timedelta
from functools import partial

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from tools.plan import Plan, PlanState, Verdict
    from workflows.definitions.ballot import Ballot, refusal
    from workflows.definitions.calls import call
    from workflows.definitions.ending import tell_end
    from workflows.definitions.events import EventWriter
    from workflows.definitions.execution import Execution, Stop
    from workflows.definitions.holding import Holding
    from workflows.failures import explain
    from workflows.messages import Cancellation, Decision, Edit, JsonObject, Pause, PlanMove, PlanOutcome, PlanStatus, Resume

OPEN = {PlanState.PROPOSED, PlanState.APPROVED, PlanState.RUNNING, PlanState.PAUSED}


@workflow.defn(name="plan")
class PlanWorkflow:
    """One plan. Nothing with an effect runs before the decisions that its policy wants, on exactly this revision's digest."""

    @workflow.init
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._ballot = Ballot(plan)
        self._cancelled: Cancellation | None = None
        self._bound: Stop | None = None
        self._state = PlanState.PROPOSED
        self._events = EventWriter(tenant=plan.tenant, thread_id=plan.thread_id, plan_id=plan.id, run_id=plan.id)
        self._holding = Holding(plan.id, self._events)
        self._execution: Execution | None = None
        self._deciders: list[str] = []
        self._editing = asyncio.Lock()
        self._revisions = plan.revision

    @workflow.run
    async def run(self, plan: Plan) -> PlanOutcome:
        """Wait for the decision, execute, tell the thread how it ended."""
        await self._propose()
        outcome = await self._decided() or await self._execute()
        self._state = outcome.state
        await tell_end(self._plan, outcome, ", ".join(self._deciders) or None, self._events)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return outcome

    async def _propose(self) -> None:
        """Keep the revision that stands, and show it."""
        plan = self._plan if self._ballot.plan.revision <= self._plan.revision else self._ballot.plan
        await call("save_plan", plan.model_dump(mode="json"), f"keep revision {plan.revision}")
        await self._events.write("plan.proposed", {"plan": plan.model_dump(mode="json"), "digest": self._ballot.digest})

    async def _decided(self) -> PlanOutcome | None:
        """Return how the plan ends without a step done, or None once it may run."""
        if self._ballot.verdict.decision == "run":
            self._deciders = [f"policy {self._ballot.verdict.policy}"]
        elif not await self._waited():
            self._state = PlanState.EXPIRED  # from here on a decision comes too late
            await self._events.write("plan.expired", {})
            return PlanOutcome(state=PlanState.EXPIRED, code="expired", reason="Nobody decided in time.", remedy="Ask again.")
        if self._cancelled is not None:
            return PlanOutcome(state=PlanState.CANCELLED, code="cancelled", reason=self._cancelled.reason or "Cancelled before it began.")
        if self._ballot.refused is not None:
            reason = self._ballot.refused.reason
            await self._events.write("plan.refused", {"actor": self._ballot.refused.who.actor, "reason": reason})
            return PlanOutcome(state=PlanState.REFUSED, code="refused", reason=reason or "Refused.")
        await self._events.write("plan.approved", {"actor": ", ".join(self._deciders), "digest": self._ballot.digest})
        return None

    async def _waited(self) -> bool:
        """Wait until it is decided or cancelled; each revision has a term of its own. False when the term ran out."""
        while not self._settled():
            ballot, expires_at = self._ballot, self._plan.expires_at
            limit = expires_at - workflow.now() if expires_at else timedelta(days=1)
            try:
                await workflow.wait_condition(partial(self._moved_on, ballot), timeout=max(limit, timedelta(0)))
            except TimeoutError:
                if self._ballot is ballot and not ballot.complete(workflow.now()):
                    return False
        return True

    def _moved_on(self, ballot: Ballot) -> bool:
        return self._settled() or self._ballot is not ballot

    def _settled(self) -> bool:
        return self._ballot.refused is not None or self._cancelled is not None or self._state is PlanState.APPROVED

    async def _execute(self) -> PlanOutcome:
        """Ask the policy once more, then run within the plan's bound of time; people's time does not count."""
        against = await self._judged_anew()
        if against is not None:
            return against
        self._state, digest = PlanState.RUNNING, self._ballot.digest
        move = PlanMove(plan_id=self._plan.id, state=self._state, decided_by=", ".join(self._deciders), digest=digest)
        await call("move_plan", move.model_dump(mode="json"), self._state.value)
        await self._events.write("plan.started", {"steps": len(self._plan.steps)})
        execution = self._execution = Execution(self._plan, self._deciders[0], self._events, self)
        running = asyncio.create_task(execution.run())
        limit = self._ballot.verdict.bounds.seconds_max
        if not await self._holding.ended_within(running, limit):
            reason = f"The plan ran for {limit:g} s, which is its bound."
            self._bound = Stop(PlanState.FAILED, "bound_reached", reason, "Ask for less, or have the policy's bound raised.")
            await execution.stop()
        return await running

    async def _judged_anew(self) -> PlanOutcome | None:
        """What policy says now counts: it may have changed since the plan was shown."""
        if self._plan.verdict is None:
            return None
        asked: JsonObject = {"plan": self._plan.model_dump(mode="json"), "requester_role": self._plan.requester_role}
        try:
            verdict = Verdict.model_validate((await call("judge_plan", asked, "policy"))["verdict"])
        except ActivityError as error:  # what nobody can judge does not run
            code, reason, remedy = explain(error)
            verdict = Verdict(decision="refuse", code=code, reasons=(reason,), remedy=remedy)
        given = 0 if self._ballot.verdict.decision == "run" else len(self._deciders)
        if verdict.decision == "run" or (verdict.decision == "approve" and given >= verdict.approvals):
            return None
        if verdict.decision == "approve":
            reasons = (f"The policy asks for {verdict.approvals} approvals now; {given} were given.",)
            verdict = verdict.model_copy(update={"code": "policy_changed", "reasons": reasons, "remedy": "Ask again."})
        reason = "; ".join(verdict.reasons)
        await self._events.write("plan.refused", {"actor": f"policy {verdict.policy}", "reason": reason})
        return PlanOutcome(state=PlanState.REFUSED, code=verdict.code or "policy_refused", reason=reason, remedy=verdict.remedy)

    def stopping(self) -> Stop | None:
        """Why the execution should stop: a person's word or the bound; None while it should not."""
        if self._cancelled is not None:
            reason = self._cancelled.reason or f"Cancelled by {self._cancelled.who.actor}."
            return Stop(PlanState.CANCELLED, "cancelled", reason)
        return self._bound

    async def hold(self) -> None:
        """Return when the next step may begin."""
        await self._holding.wait(lambda: self.stopping() is not None)

    async def effects_stopped(self, reason: str) -> None:
        """Hold the plan until effects may happen again, or until it is cancelled."""
        if not self._holding.held:
            await self._drop_edit()
        await self._holding.begin("administrator", reason, by_switch=True)
        await self._holding.wait(lambda: False)

    @workflow.update
    async def decide(self, decision: Decision) -> PlanStatus:
        """Approve or refuse exactly this revision. A refusal of an edit leaves the plan as it was, held."""
        ballot, now = self._ballot, workflow.now()
        ballot.add(decision, now)
        enough, approvers = ballot.complete(now), ballot.approvers(now)
        await self._keep(decision, ballot)
        if self._ballot is not ballot:  # it went on without this revision meanwhile
            return self.status()
        if not decision.approve:
            await self._refused()
        elif enough and self._state is PlanState.PROPOSED and self._cancelled is None:
            self._deciders = approvers
            self._state = PlanState.APPROVED
        elif enough and self._revising():
            await self._take_over()
        return self.status()

    @decide.validator
    def _may_decide(self, decision: Decision) -> None:
        voting = self._state is PlanState.PROPOSED or self._revising()
        if not voting or self._ballot.refused is not None or self._cancelled is not None or self._ballot.complete(workflow.now()):
            raise refusal("conflict", f"Plan {self._plan.id} is {self.status().state} already.")
        self._ballot.check(decision, workflow.now())

    async def _keep(self, decision: Decision, ballot: Ballot) -> None:
        """Record one person's word with what it names and how long it is good for."""
        lasting = timedelta(seconds=ballot.verdict.expires_seconds)
        kept: JsonObject = {
            "plan_id": self._plan.id,
            "tenant": self._plan.tenant,
            "digest": decision.digest,
            "revision": ballot.plan.revision,
            "actor": decision.who.actor,
            "role": decision.who.role,
            "approve": decision.approve,
            "reason": decision.reason[:500],
            "at": workflow.now().isoformat(),
            "expires_at": (workflow.now() + lasting).isoformat(),
        }
        await call("save_approval", kept, "keep the decision")
        if decision.approve and ballot.needed > 1:
            told: JsonObject = {"actor": decision.who.actor, "digest": decision.digest, "needed": ballot.needed}
            await self._events.write("approval.given", {**told, "given": len(ballot.approvers(workflow.now()))})

    def _revising(self) -> bool:
        return self._holding.held and self._ballot.plan.revision > self._plan.revision

    async def _refused(self) -> None:
        if self._state is PlanState.PROPOSED:
            self._state = PlanState.REFUSED
        else:
            await self._drop_edit()

    async def _drop_edit(self) -> None:
        """Stand by the revision that was approved last: what is kept is what runs, and what an undo will read."""
        if self._ballot.plan.revision != self._plan.revision:
            self._ballot = Ballot(self._plan)
            await call("save_plan", self._plan.model_dump(mode="json"), f"keep revision {self._plan.revision}")

    async def _take_over(self) -> None:
        """Go on with the revision that was approved while the plan was held."""
        self._plan = self._ballot.plan
        if self._execution is not None:
            self._execution.replace(self._plan)
        actors = ", ".join(self._ballot.approvers(workflow.now()))
        await self._events.write("plan.approved", {"actor": actors, "digest": self._ballot.digest})
        await self._holding.end(actors)

    @workflow.update
    async def edit(self, change: Edit) -> PlanStatus:
        """Propose other steps: dry-run, priced and judged anew, and approved anew. Steps that are done stay as they are."""
        async with self._editing:
            kept = self._begun()
            steps = [step.model_dump(mode="json") for step in change.steps]
            asked: JsonObject = {"plan": self._plan.model_dump(mode="json"), "steps": list(steps), "kept": list(kept)}
            try:
                revised = await call("revise_plan", {**asked, "who": change.who.model_dump(mode="json")}, "revise")
            except ActivityError as error:
                raise refusal(*explain(error)) from error
            self._may_edit(change)
            if kept != self._begun():
                raise refusal("conflict", f"Plan {self._plan.id} went on meanwhile.", "Pause it, read it, then edit it.")
            self._revisions += 1
            revision = Plan.model_validate(revised["plan"]).model_copy(update={"revision": self._revisions})
            self._ballot = Ballot(revision)
            if self._state is PlanState.PROPOSED:
                self._plan = revision
            await self._propose()
        return self.status()

    def _begun(self) -> list[str]:
        return [name for name, state in self._execution.states.items() if state != "waiting"] if self._execution else []

    @edit.validator
    def _may_edit(self, change: Edit) -> None:
        voting = self._state is PlanState.PROPOSED or self._revising()
        decided = voting and (self._ballot.refused is not None or self._ballot.complete(workflow.now()))
        if decided or self._cancelled is not None or not (self._state is PlanState.PROPOSED or self._holding.held):
            raise refusal("conflict", f"Plan {self._plan.id} is {self.status().state}: pause it first.", "Pause it, then edit it.")
        if change.digest != self._ballot.digest:
            raise refusal("digest_mismatch", "The edit names another version of the plan.", "Read the plan again.")
        if change.who.tenant not in (None, self._plan.tenant):
            raise refusal("not_found", f"There is no plan {self._plan.id}.")

    @workflow.update
    async def pause(self, pause: Pause) -> PlanStatus:
        """Let what runs end, and begin nothing more."""
        await self._drop_edit()
        await self._holding.begin(pause.who.actor, pause.reason or f"Paused by {pause.who.actor}.")
        return self.status()

    @pause.validator
    def _may_pause(self, pause: Pause) -> None:
        ending = self._execution is None or self._execution.ending
        if self._state is not PlanState.RUNNING or self._holding.held or self._cancelled is not None or ending:
            raise refusal("conflict", f"Plan {self._plan.id} is {self.status().state}: only one that runs can be paused.")

    @workflow.update
    async def resume(self, resume: Resume) -> PlanStatus:
        """Go on where it was held, with the revision that was approved last; an edit that waits for approval is dropped."""
        await self._drop_edit()
        await self._holding.end(resume.who.actor)
        return self.status()

    @resume.validator
    def _may_resume(self, resume: Resume) -> None:
        if not self._holding.held:
            raise refusal("conflict", f"Plan {self._plan.id} is {self.status().state}: it is not paused.")

    @workflow.signal
    async def effects_started(self) -> None:
        """Hear that an administrator lets effects happen again."""
        if self._holding.by_switch:
            await self._drop_edit()
            await self._holding.end("administrator")

    @workflow.update
    async def cancel(self, cancellation: Cancellation) -> PlanStatus:
        """End the plan: what runs is stopped, what was done is undone."""
        self._cancelled = cancellation
        await self._holding.end(cancellation.who.actor)
        if self._execution is not None:
            await self._execution.stop()
        return self.status()

    @cancel.validator
    def _may_cancel(self, cancellation: Cancellation) -> None:
        if self._state not in OPEN:
            raise refusal("conflict", f"Plan {self._plan.id} is {self._state} already.")

    @workflow.query
    def status(self) -> PlanStatus:
        """Tell where the plan is."""
        held = self._holding.held and self._state is PlanState.RUNNING
        return PlanStatus(
            state=PlanState.PAUSED if held else self._state,
            steps=dict(self._execution.states) if self._execution else {},
            digest=self._ballot.digest,
            revision=self._ballot.plan.revision,
            approvals=self._ballot.approvers(workflow.now()),
            approvals_needed=self._ballot.needed,
        )

"""A run of a pipeline as a workflow: judged, decided by people where policy says so, played step by step, ended."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from tools.plan import Plan
    from workflows.definitions.ballot import Ballot, refusal
    from workflows.definitions.calls import call
    from workflows.definitions.pipeline_calls import ask
    from workflows.definitions.pipeline_steps import Steps, Stop
    from workflows.failures import explain
    from workflows.messages import Cancellation, Decision, JsonObject
    from workflows.pipelining import (
        GateEnd,
        Opening,
        PipelineEnd,
        PipelineInput,
        PipelineStatus,
        RunMove,
        StepEnd,
        StepOrder,
        Told,
    )

ENDED = {"done", "gated", "failed", "cancelled", "refused", "expired"}
UNDONE_AFTER = {"failed", "cancelled", "expired"}


@workflow.defn(name="pipeline")
class PipelineWorkflow:
    """One run. What it did is in the records; here is only where it stands, so it goes on after any kill."""

    @workflow.init
    def __init__(self, asked: PipelineInput) -> None:
        self._asked = asked
        self._state = "asked"
        self._cancelled: Cancellation | None = None
        self._ballots: dict[str, tuple[str, Ballot]] = {}
        self._steps = Steps(asked, self._at_gate)

    @workflow.run
    async def run(self, asked: PipelineInput) -> PipelineEnd:
        """Have it decided, play it within its bound of time, undo what must not stay, tell how it ended."""
        stop = await self._opened()
        undone: list[str] = []
        failed: list[str] = []
        if stop is None:
            await self._move("running")
            stop = await self._played()
            if stop.state in UNDONE_AFTER:
                undone, failed = await self._steps.undo()
        end = PipelineEnd(
            state=stop.state,
            code=stop.code,
            reason=stop.reason,
            remedy=stop.remedy,
            steps=dict(self._steps.states),
            undone=undone,
            undo_failed=failed,
        )
        self._state = end.state
        left = f" NOT undone, a person must look: {', '.join(failed)}." if failed else ""
        told = f" Undone: {', '.join(undone)}." if undone else ""
        await self._move(end.state, Told(code=end.code, reason=f"{end.reason}{told}{left}".strip(), remedy=end.remedy))
        await workflow.wait_condition(workflow.all_handlers_finished)
        return end

    async def _opened(self) -> Stop | None:
        """Ask the policy, and people where it says so; None where the run may begin."""
        asked = RunMove(run_id=self._asked.run_id, state="asked")
        try:
            opening = await ask("open_pipeline_run", asked, Opening, "policy")
        except ActivityError as error:
            return Stop("refused", *explain(error))
        if self._cancelled is not None:
            return self._ended_by(self._cancelled)
        if opening.decision == "refuse":
            return Stop("refused", opening.code, opening.reason, opening.remedy)
        if opening.decision == "run":
            return None
        return await self._decided(opening.plan, "", "proposed")

    async def _decided(self, plan: Plan, step: str, state: str) -> Stop | None:
        """Wait until people have decided on exactly this; None where they said yes."""
        ballot = Ballot(plan)
        self._ballots[ballot.digest] = (step, ballot)
        await self._move(state, step=step, card={"plan": plan.model_dump(mode="json"), "digest": ballot.digest})
        limit = timedelta(seconds=ballot.verdict.expires_seconds)
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._settled(ballot), timeout=limit)
        del self._ballots[ballot.digest]
        if self._cancelled is not None or self._steps.stop is not None:
            return self._steps.stop or self._ended_by(self._cancelled)
        if ballot.refused is not None:
            return Stop("refused" if not step else "gated", "refused", ballot.refused.reason or f"Refused by {ballot.refused.who.actor}.")
        if not ballot.complete(workflow.now()):
            return Stop("expired", "expired", "Nobody decided in time.", "Run it again: what was done is not done anew.")
        by = Told(reason=f"Approved by {', '.join(ballot.approvers(workflow.now()))}.")
        await self._move("waiting" if self._ballots else "running", by, digest=ballot.digest)
        return None

    def _settled(self, ballot: Ballot) -> bool:
        over = self._cancelled is not None or self._steps.stop is not None
        return over or ballot.refused is not None or ballot.complete(workflow.now())

    async def _at_gate(self, order: StepOrder, gate: GateEnd) -> StepEnd:
        """People decide whether anything after a gate begins."""
        if gate.card is None:
            return gate
        stop = await self._decided(gate.card, order.id, "waiting")
        if stop is None:
            return StepEnd(state="done", reason=gate.reason)
        state = {"cancelled": "cancelled", "failed": "cancelled", "expired": "failed"}.get(stop.state, "gated")
        return StepEnd.model_validate({"state": state, "code": stop.code, "reason": stop.reason, "remedy": stop.remedy})

    async def _played(self) -> Stop:
        """Play the steps. A run that lasts longer than it may is ended."""
        if self._cancelled is not None:
            return self._ended_by(self._cancelled)
        playing = asyncio.create_task(self._steps.play())
        try:
            await workflow.wait_condition(playing.done, timeout=timedelta(seconds=self._asked.seconds_max))
        except TimeoutError:
            reason = f"The run lasted {self._asked.seconds_max:g} s, which is its bound."
            await self._steps.cancel(Stop("failed", "bound_reached", reason, "Raise seconds_max, or run it again: what was done is kept."))
        await playing
        return self._steps.stop or Stop("done", "", "")

    def _ended_by(self, cancelled: Cancellation | None) -> Stop:
        who = cancelled.who.actor if cancelled is not None else "somebody"
        reason = cancelled.reason if cancelled is not None else ""
        return Stop("cancelled", "cancelled", reason or f"Cancelled by {who}.")

    async def _move(
        self, state: str, told: Told | None = None, *, step: str = "", card: JsonObject | None = None, digest: str = ""
    ) -> None:
        self._state = state
        said = told or Told()
        move = RunMove(run_id=self._asked.run_id, state=state, step=step, card=card or {}, digest=digest, **said.model_dump())
        await ask("move_pipeline_run", move, Told, state)

    @workflow.update
    async def decide(self, decision: Decision) -> PipelineStatus:
        """Say yes or no to exactly what the digest names: the run before it begins, or a gate."""
        step, ballot = self._ballots[decision.digest]
        now = workflow.now()
        kept: JsonObject = {
            "plan_id": self._asked.run_id,
            "tenant": self._asked.tenant,
            "digest": decision.digest,
            "revision": 1,
            "actor": decision.who.actor,
            "role": decision.who.role,
            "approve": decision.approve,
            "reason": decision.reason[:500],
            "at": now.isoformat(),
            "expires_at": (now + timedelta(seconds=ballot.verdict.expires_seconds)).isoformat(),
        }
        await call("save_approval", kept, f"keep the decision on {step or 'the run'}")
        if decision.digest in self._ballots:  # it was not settled otherwise meanwhile
            ballot.check(decision, workflow.now())
            ballot.add(decision, workflow.now())
        return self.status()

    @decide.validator
    def _may_decide(self, decision: Decision) -> None:
        if decision.who.tenant not in (None, self._asked.tenant):
            raise refusal("not_found", f"There is no pipeline run {self._asked.run_id}.")
        if decision.digest not in self._ballots:
            open_now = "Nothing of it is to be decided now." if not self._ballots else "The decision names something else."
            raise refusal("digest_mismatch", f"{open_now} Run {self._asked.run_id} is {self._state}.", "Read the run again.")
        ballot = self._ballots[decision.digest][1]
        if self._settled(ballot):
            raise refusal("conflict", f"It is decided already: run {self._asked.run_id} is {self._state}.", "Read the run again.")
        ballot.check(decision, workflow.now())

    @workflow.update
    async def cancel(self, cancellation: Cancellation) -> PipelineStatus:
        """End the run: its jobs are ended, and what its tools did is undone."""
        self._cancelled = cancellation
        await self._steps.cancel(self._ended_by(cancellation))
        return self.status()

    @cancel.validator
    def _may_cancel(self, cancellation: Cancellation) -> None:
        if cancellation.who.tenant not in (None, self._asked.tenant):
            raise refusal("not_found", f"There is no pipeline run {self._asked.run_id}.")
        if self._state in ENDED or self._cancelled is not None:
            raise refusal("conflict", f"Run {self._asked.run_id} is {self._state} already.")

    @workflow.query
    def status(self) -> PipelineStatus:
        """Tell where the run is."""
        now = workflow.now()
        return PipelineStatus(
            state=self._state,
            steps=dict(self._steps.states),
            asking={digest: step for digest, (step, _) in self._ballots.items()},
            given={digest: ballot.approvers(now) for digest, (_, ballot) in self._ballots.items()},
            needed={digest: ballot.needed for digest, (_, ballot) in self._ballots.items()},
        )

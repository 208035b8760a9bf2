"""Activities of runs of pipelines: judged, moved, gated, and their tools called."""

from collections.abc import Sequence
from decimal import Decimal

from temporalio import activity

from factory_infra.database import utcnow
from factory_infra.errors import Conflict, LineshaftError
from factory_infra.factory import Factory
from factory_infra.paas.catalog.lineage import node
from factory_infra.paas.training.pipelines.models import PipelineRun, PipelineVersion, RunState, RunStep, StepState
from factory_infra.paas.training.pipelines.spec import GateStep, PipelineSpec
from factory_infra.records.models import NewEvent, Thread
from tools.approval import may_approve
from tools.pipeline_steps import tools_of
from tools.plan import Plan, Step, Verdict
from tools.toolbox import TOOLS
from workflows.activities.beating import beating
from workflows.activities.context import translated
from workflows.activities.policy import explained
from workflows.activities.steps import StepActivities
from workflows.definitions.lanes import AGENT
from workflows.messages import JsonObject, StepCall
from workflows.pipeline_reading import RunReader
from workflows.pipeline_view import card_of, gate_card
from workflows.pipelining import GateEnd, Opening, PipelineCall, RunMove, StepMove, Told, ToolEnd


class PipelineActivities:
    """Acts for runs. Each activity may run twice: what it writes is the same again, and tools act once under their key."""

    def __init__(self, factory: Factory, reader: RunReader) -> None:
        self._factory = factory
        self._reader = reader
        self._steps = StepActivities(factory)

    @activity.defn(name="open_pipeline_run")
    @translated
    async def open(self, asked: RunMove) -> Opening:
        """Say whether a run may begin, must be decided by people, or is refused; by the policy as it is now. Nothing is done."""
        run = await self._reader.run(asked.run_id)
        await self._thread(run)
        version, definition = await self._reader.definition(run)
        card = await card_of(self._factory, run, version, definition.spec)
        if (against := against_card(card, definition.spec)) is not None:
            return Opening(plan=card, decision="refuse", code=against[0], reason=against[1], remedy=against[2])
        if run.plan_id:
            return Opening(plan=card, decision="run", decided_by=f"plan {run.plan_id}")
        verdict = (await explained(self._factory, card, run.role)).verdict
        card = card.model_copy(update={"verdict": verdict})
        if verdict.decision == "refuse":
            code = verdict.code or "policy_refused"
            return Opening(plan=card, decision="refuse", code=code, reason=" ".join(verdict.reasons), remedy=verdict.remedy)
        if verdict.decision == "run":
            return Opening(plan=card, decision="run", decided_by=f"policy {verdict.policy}")
        standing = approving(version, verdict, run.actor)
        if len(standing) >= verdict.approvals:
            return Opening(plan=card, decision="run", decided_by=", ".join(standing))
        return Opening(plan=card, decision="ask")

    @activity.defn(name="move_pipeline_run")
    @translated
    async def move(self, move: RunMove) -> Told:
        """Write where a run is, and tell its thread."""
        run = await self._reader.run(move.run_id)
        if move.digest:
            await self._factory.approvals.use(move.run_id, move.digest)
        if move.step:
            await self._factory.pipeline_runs.move_step(move.run_id, move.step, StepState.ASKING, card=move.card)
        said = {"code": move.code, "reason": move.reason, "remedy": move.remedy}
        card = {} if move.step else move.card
        await self._factory.pipeline_runs.move(move.run_id, RunState(move.state), card=card, **said)
        await self._tell(run, move)
        if move.state == RunState.RUNNING:
            await self._link_run(run)
        return Told()

    @activity.defn(name="move_pipeline_step")
    @translated
    async def move_step(self, move: StepMove) -> Told:
        """Write where a step is, as the workflow knows."""
        said = {"code": move.code, "reason": move.reason, "remedy": move.remedy}
        await self._factory.pipeline_runs.move_step(move.run_id, move.step, StepState(move.state), **said)
        return Told()

    @activity.defn(name="judge_pipeline_gate")
    @translated
    async def gate(self, call: PipelineCall) -> GateEnd:
        """Compare a gate's number; where people are asked too, say what exactly they would let go on."""
        run = await self._reader.run(call.run_id)
        spec = await self._reader.spec(run)
        step = spec.step(call.step)
        assert isinstance(step, GateStep)  # noqa: S101  (the order says so)
        rows = {row.step: row for row in await self._factory.pipeline_runs.steps(run.id)}
        found = {"passed": True, **await self._number(run, step, rows)}
        if not found["passed"]:
            side = f"above {step.above:g}" if step.above is not None else f"below {step.below:g}"
            what = f"{step.value.step}.{step.value.field}" if step.value else ""
            remedy = "What was live stays live; improve it, or move the gate."
            end = GateEnd(state="gated", code="gated", reason=f"{what} is {found['value']}, not {side}.", remedy=remedy)
            await self._gated(run, step.id, found, end)
            return end
        if step.approval is None:
            await self._factory.pipeline_runs.move_step(run.id, step.id, StepState.DONE, result=found)
            return GateEnd(state="done")
        facts = {row.step: fact_of(row) for row in rows.values() if row.state.good}
        return GateEnd(state="done", card=gate_card(run, spec, (step.id, step.approval), facts))

    @activity.defn(name="run_pipeline_tool")
    @translated
    async def tool(self, call: PipelineCall) -> ToolEnd:
        """Call one tool of a step, once under its key. Raises EffectsStopped, and what the tool refuses, with the step's file and line."""
        run = await self._reader.run(call.run_id)
        step = (await self._reader.spec(run)).step(call.step)
        use = tools_of(step)[call.number]
        if call.number == 0:
            await self._factory.pipeline_runs.move_step(run.id, step.id, StepState.RUNNING)
        rows = {row.step: row for row in await self._factory.pipeline_runs.steps(run.id)}
        try:
            arguments = await self._reader.arguments(run, use.arguments, rows)
        except LineshaftError as error:
            raise Conflict(await self._reader.placed(run, step.id, error), remedy=error.remedy, code=error.error_code) from error
        request = self._request(call, Step(id=step.id, tool=use.tool, agent=AGENT, summary=step.summary, effect=TOOLS[use.tool].effect))
        request = request.model_copy(update={"arguments": arguments})
        async with beating():
            result = await self._steps.run(request)
        kept: JsonObject = {**rows[step.id].result, **result}
        await self._factory.pipeline_runs.move_step(run.id, step.id, StepState.RUNNING, result=kept)
        passed = not use.gate or result.get("passed") is not False
        reason = "" if passed else f"{result.get('value', result.get('state'))} does not pass {result.get('threshold', '')}".strip() + "."
        return ToolEnd(call=request.model_copy(update={"result": result}), passed=passed, reason=reason)

    def _request(self, call: PipelineCall, step: Step) -> StepCall:
        return StepCall(
            plan_id=call.run_id,
            thread_id=call.thread_id,
            tenant=call.tenant,
            actor=call.actor,
            key=f"{call.run_id}/{call.step}/{call.number}",
            step=step,
            arguments={},
        )

    async def _number(self, run: PipelineRun, step: GateStep, rows: dict[str, RunStep]) -> JsonObject:
        """What a gate's number is, and whether it passes."""
        if step.value is None:
            return {}
        value = await self._reader.value(run, step.value, rows)
        if isinstance(value, bool) or not isinstance(value, int | float):
            reason = f"{step.value.step}.{step.value.field} is {str(value)[:60]!r}, no number."
            raise Conflict(reason, remedy="Refer to a number.", code="output_unknown")
        high = step.above is None or value > step.above
        return {"value": value, "passed": high and (step.below is None or value < step.below)}

    async def _gated(self, run: PipelineRun, step: str, found: JsonObject, end: GateEnd) -> None:
        said = {"code": end.code, "reason": end.reason, "remedy": end.remedy}
        await self._factory.pipeline_runs.move_step(run.id, step, StepState.FAILED, result=found, **said)

    async def _thread(self, run: PipelineRun) -> None:
        """Give a run a thread, in which what becomes of it is told."""
        title = f"Pipeline {run.pipeline} version {run.version}"
        await self._factory.records.create_thread(
            Thread(id=run.thread_id, tenant=run.tenant, created_by=run.actor, title=title, created_at=utcnow())
        )

    async def _tell(self, run: PipelineRun, move: RunMove) -> None:
        digest = str(move.card.get("digest", ""))
        key = f"{run.id}/{move.state}/{move.step}/{digest[:16] or move.digest[:16]}"
        payload: JsonObject = {
            "run_id": run.id,
            "pipeline": run.pipeline,
            "version": run.version,
            "state": move.state,
            "step": move.step,
            "digest": digest,
            "trigger": run.trigger,
            "code": move.code,
            "reason": move.reason,
            "remedy": move.remedy,
        }
        event = NewEvent(key=key, tenant=run.tenant, thread_id=run.thread_id, kind="pipeline.moved", payload=payload)
        await self._factory.records.write_event(event)

    async def _link_run(self, run: PipelineRun) -> None:
        source = node("pipeline", run.tenant, run.pipeline)
        await self._factory.lineage.link(run.tenant, source, node("pipeline_run", run.id), "ran")


def approving(version: PipelineVersion, verdict: Verdict, requester: str) -> Sequence[str]:
    """Whose standing word on exactly this version counts now, under what policy asks for."""
    now, counted = utcnow(), list[str]()
    for each in version.approvals:
        against = may_approve(verdict, requester=requester, approver=each.actor, role=each.role, already=counted)
        if each.expires_at > now and against is None:
            counted.append(each.actor)
    return counted


def against_card(card: Plan, spec: PipelineSpec) -> tuple[str, str, str] | None:
    """Why a run cannot begin, as code, reason and remedy: what live state says, and its own bound of money."""
    for step in card.steps:
        if step.dry_run is not None and not step.dry_run.feasible:
            return step.dry_run.code or "conflict", step.dry_run.reason, step.dry_run.remedy
    if spec.money_max is not None and card.price.high > Decimal(spec.money_max):
        reason = f"The run could cost {card.price.high:.4f} {card.price.currency}, more than its bound of {spec.money_max}."
        return "bound_reached", reason, "Raise money_max, or shorten 'seconds' of its steps."
    return None


def fact_of(row: RunStep) -> JsonObject:
    """What is known of a step that is done, as people see it at a gate: numbers and names, and the digests of its files."""
    plain = {name: value for name, value in row.result.items() if isinstance(value, int | float | str) and len(str(value)) < 100}
    return {**dict(list(plain.items())[:20]), **{f"{name} sha256": digest for name, digest in row.outputs.items()}}

"""Activities over lessons: propose from a finished plan, evaluate on the team's own past, settle."""

from collections.abc import Awaitable, Callable

from temporalio import activity

from agents.lessons import PastPlan, Replay, asked_before, past_cases, past_turns
from agents.planning.interface import Draft, Facts, LessonFact, Question, Turn
from agents.planning.planner import PlaybookPlanner
from agents.planning.playbook import StepSpec
from factory_infra.errors import Conflict
from factory_infra.factory import Factory
from factory_infra.records.lessons import Lesson, LessonState, Rating, lesson_id
from factory_infra.records.models import PlanRecord
from tools.plan import Effect, Plan, PlanState, Step
from tools.toolbox import tool_named
from workflows.activities.context import translated
from workflows.learning import LessonEnd, LessonInput, LessonOutcome, LessonProposal, LessonVerdict
from workflows.messages import JsonObject, PlanOutcome

PLANS_MAX = 500
ENDED = {PlanState.DONE, PlanState.GATED, PlanState.FAILED, PlanState.CANCELLED, PlanState.ESCALATED, PlanState.UNDONE}
FactsOf = Callable[[str | None], Awaitable[Facts]]


class LessonActivities:
    """Learns for one team at a time. Nothing here has an effect on the factory.

    Args:
        facts: reads what one of a team may see, as a turn of it would.
        safety: off only in the control that proves what the check keeps out.
    """

    def __init__(self, factory: Factory, planner: PlaybookPlanner, facts: FactsOf, *, safety: bool = True) -> None:
        self._factory, self._planner, self._facts, self._safety = factory, planner, facts, safety

    @activity.defn(name="propose_lesson")
    @translated
    async def propose(self, request: LessonInput) -> JsonObject:
        """Make a candidate of a finished plan that people rated, or that was done and verified. Asked again, it gives the same one."""
        return (await self._propose(request)).model_dump(mode="json")

    async def _propose(self, request: LessonInput) -> LessonProposal:
        record = await self._factory.records.plan(request.plan_id, request.tenant)
        ratings = await self._factory.lessons.ratings(record.id, record.tenant)
        liked = sum(rating.score for rating in ratings)
        if liked < 0:
            await self._withdraw(record, ratings[0])
        plan = Plan.model_validate(record.document)
        if self._planner.playbook(plan.playbook) is None:
            return LessonProposal(reason="No playbook made the plan.")
        if liked < 0 and record.state in ENDED:
            return await self._keep(plan, record, ratings, "lesson")
        if record.state == PlanState.DONE and (liked > 0 or verified(plan, record)):
            return await self._keep(plan, record, ratings, "example")
        return LessonProposal(reason=f"Plan {plan.id} is {record.state}, and neither was all of it verified nor did a person rate it up.")

    async def _withdraw(self, record: PlanRecord, rating: Rating) -> None:
        """Drop what a plan taught that people think ill of."""
        for lesson in await self._factory.lessons.of_plan(record.id, record.tenant):
            if lesson.kind == "example" and lesson.state not in {LessonState.DROPPED, LessonState.REMOVED}:
                reason = f"Dropped: its plan was rated down. {rating.comment}".strip()
                await self._factory.lessons.move(lesson, LessonState.DROPPED, reason=reason, by=rating.actor)

    async def _keep(self, plan: Plan, record: PlanRecord, ratings: list[Rating], kind: str) -> LessonProposal:
        turns = past_turns(await self._factory.lessons.turns_of_thread(plan.thread_id))
        facts = await self._facts(plan.tenant)
        words = await self._words(asked_before(turns, plan.id) or [plan.request], plan, facts, rated=bool(ratings))
        if words is None:
            return LessonProposal(reason="The words do not say by themselves what was planned.")
        slots = slots_of(plan, self._planner)
        anchor = self._planner.anchor(words, plan.playbook, slots, facts)
        evidence: JsonObject = {
            "plan_id": plan.id,
            "digest": record.digest,
            "outcome": record.state,
            "verified": verified(plan, record),
            "ratings": [{"actor": each.actor, "score": each.score, "comment": each.comment} for each in ratings],
        }
        fields = {
            "id": lesson_id(plan.tenant, kind, plan.playbook, anchor),
            "tenant": plan.tenant,
            "kind": kind,
            "request": words,
            "anchor": anchor,
            "playbook": plan.playbook,
            "slots": slots,
            "text": next((each.comment for each in ratings if each.comment), ""),
            "evidence": evidence,
            "by": ratings[0].actor if ratings else "verification",
        }
        kept = await self._factory.lessons.propose(Lesson.model_validate(fields))
        if kept.state not in {LessonState.CANDIDATE, LessonState.EVALUATING}:
            return LessonProposal(reason=f"Lesson {kept.id} says so already and is {kept.state}.")
        return LessonProposal(lesson_id=kept.id)

    async def _words(self, asked: list[str], plan: Plan, facts: Facts, *, rated: bool) -> str | None:
        """The first of the words, if they stand for themselves: what only a context made clear would mislead elsewhere."""
        plain = facts.model_copy(update={"lessons": []})
        outcome = self._planner.settle(await self._planner.rank(Turn(text=asked[0]), plain), {}, plain)
        if isinstance(outcome, Question) and outcome.pending is None:
            return asked[0] if len(asked) > 1 and rated else None  # nothing was understood: only a person can say what it meant
        if isinstance(outcome, Draft):
            return asked[0] if outcome.playbook == plan.playbook else None
        pending = getattr(outcome, "pending", None)
        return asked[0] if pending is not None and (pending.playbook == plan.playbook or len(asked) > 1) else None

    @activity.defn(name="evaluate_lesson")
    @translated
    async def evaluate(self, request: LessonInput) -> JsonObject:
        """Replay the team's past requests without the candidate and with it, and keep the scores."""
        lessons, records = self._factory.lessons, self._factory.records
        lesson = await lessons.get(request.lesson_id, request.tenant)
        if lesson.state not in {LessonState.CANDIDATE, LessonState.EVALUATING}:
            return LessonVerdict(open=False, state=lesson.state.value, reason=lesson.reason).model_dump(mode="json")
        workflow_id = activity.info().workflow_id if activity.in_activity() else ""
        lesson = await lessons.move(lesson, LessonState.EVALUATING, workflow_id=workflow_id)
        plans = {each.id: past_plan(each) for each in await records.plans(lesson.tenant, limit=PLANS_MAX)}
        cases = past_cases(past_turns(await lessons.turns(lesson.tenant)), plans)
        candidate = LessonFact(id=lesson.id, kind=lesson.kind, anchor=lesson.anchor, playbook=lesson.playbook)
        replay = Replay(self._planner, await self._facts(lesson.tenant), candidate, safety=self._safety)
        found = await replay.run(lesson.request, cases)
        await lessons.move(lesson, LessonState.EVALUATING, scores=found.model_dump(mode="json"), reason=found.reason)
        ask = self._factory.settings.lessons_promotion == "ask"
        return LessonVerdict(promote=found.promote, ask=ask, reason=found.reason).model_dump(mode="json")

    @activity.defn(name="settle_lesson")
    @translated
    async def settle(self, end: LessonEnd) -> JsonObject:
        """Promote or drop a candidate; one that was removed or dropped meanwhile stays so."""
        lesson = await self._factory.lessons.get(end.lesson_id, end.tenant)
        state = LessonState.PROMOTED if end.promote else LessonState.DROPPED
        if lesson.state is not LessonState.EVALUATING:
            return LessonOutcome(lesson_id=lesson.id, state=lesson.state.value, reason=lesson.reason).model_dump(mode="json")
        try:
            lesson = await self._factory.lessons.move(lesson, state, reason=end.reason, **({"by": end.by} if end.by else {}))
        except Conflict:
            lesson = await self._factory.lessons.get(end.lesson_id, end.tenant)
        return LessonOutcome(lesson_id=lesson.id, state=lesson.state.value, reason=lesson.reason).model_dump(mode="json")


def past_plan(record: PlanRecord) -> PastPlan:
    """What a replay needs of a past plan."""
    return PastPlan(state=record.state, playbook=str(record.document.get("playbook", "")))


def verified(plan: Plan, record: PlanRecord) -> bool:
    """Whether the plan is done, all of it, and the factory confirmed every effect."""
    done = set(PlanOutcome.model_validate(record.outcome).done) if record.state == PlanState.DONE else set()
    effects = [step for step in plan.steps if step.effect is not Effect.READ]
    return bool(effects) and all(step.id in done for step in plan.steps) and all(tool_named(step.tool).verify for step in effects)


def slots_of(plan: Plan, planner: PlaybookPlanner) -> JsonObject:
    """What filled the playbook's slots, read back from the arguments that are a slot and nothing else."""
    playbook = planner.playbook(plan.playbook)
    specs = {spec.id: spec for spec in playbook.steps} if playbook else {}
    found: JsonObject = {}
    for step in plan.steps:
        found |= _filled(step, specs[step.id]) if step.id in specs else {}
    return found


def _filled(step: Step, spec: StepSpec) -> JsonObject:
    plain = {
        name: template[1:-1] for name, template in spec.arguments.items() if isinstance(template, str) and template[1:-1].isidentifier()
    }
    return {slot: step.arguments[name] for name, slot in plain.items() if name in step.arguments}

"""From a finished plan to a promoted lesson, over a real database: proposed, evaluated, used at the next turn, removed."""

from collections.abc import AsyncIterator

import pytest
from pydantic import JsonValue

from agents.planning.interface import Draft, Facts, Outcome, TeamFact
from agents.planning.planner import PlaybookPlanner
from agents.planning.playbook import load_playbooks
from factory_infra.database import utcnow
from factory_infra.factory import Factory
from factory_infra.records.lessons import Lesson, LessonState, Rating
from factory_infra.records.models import NewEvent, PlanRecord
from factory_infra.settings import Settings
from tests.agents.planning.factory_facts import facts, say
from tests.parts import factory_with_slots
from tools.plan import Plan
from workflows.activities.lessons import LessonActivities
from workflows.activities.planning import PlanningActivities
from workflows.learning import LessonEnd, LessonInput, LessonOutcome, LessonProposal, LessonVerdict

pytestmark = pytest.mark.stack
PLANNER = PlaybookPlanner(load_playbooks())


@pytest.fixture
async def factory(connected: Settings) -> AsyncIterator[Factory]:
    built = factory_with_slots(connected, 4)
    yield built
    await built.close()


class School:
    """A team's past, and what is learnt from it."""

    def __init__(self, factory: Factory, *, safety: bool = True) -> None:
        self.factory, self.count = factory, 0
        self.activities = LessonActivities(factory, PLANNER, self.facts, safety=safety)

    async def facts(self, tenant: str | None) -> Facts:
        """The small factory of the planner's tests, with what is promoted now, read as a turn reads it."""
        taught = await PlanningActivities(self.factory, PLANNER).taught(tenant)
        team = TeamFact(name=tenant or "vision", quota_slots=3, quota_slots_used=0)
        known = facts() if tenant in {None, "vision"} else facts().model_copy(update={"teams": [team], "home_team": tenant})
        return known.model_copy(update={"lessons": taught})

    async def say(self, words: str, tenant: str = "vision") -> Outcome:
        return await say(PLANNER, words, await self.facts(tenant))

    async def turn(self, words: str, kind: str = "", plan: Plan | None = None, state: str = "done", tenant: str = "vision") -> str:
        """Write one past turn: its events, and its plan as it ended."""
        self.count += 1
        thread = f"thread-{tenant}"
        told: list[tuple[str, dict[str, JsonValue]]] = [("message.user", {"text": words})]
        told += [(kind, {"text": "?"})] if kind else []
        told += [("turn.done", {"plan_id": plan.id if plan else None})]
        for place, (each, payload) in enumerate(told):
            key = f"{thread}/{self.count}/{place}"
            await self.factory.records.write_event(NewEvent(key=key, tenant=tenant, thread_id=thread, kind=each, payload=payload))
        if plan is not None:
            await self.factory.records.save_plan(record(plan, state))
        return plan.id if plan else ""

    async def planned(self, words: str, name: str, tenant: str = "vision") -> Plan:
        outcome = await self.say(words, tenant)
        assert isinstance(outcome, Draft)
        return Plan(
            id=f"plan-{name}",
            tenant=tenant,
            thread_id=f"thread-{tenant}",
            requested_by="ann",
            request=words,
            playbook=outcome.playbook,
            title=outcome.title,
            steps=tuple(outcome.steps),
        )

    async def rate(self, plan_id: str, score: int, tenant: str = "vision") -> None:
        rating = {"plan_id": plan_id, "actor": "ann", "tenant": tenant, "thread_id": "t", "score": score, "comment": "so"}
        await self.factory.lessons.rate(Rating.model_validate(rating))

    async def propose(self, plan_id: str, tenant: str = "vision") -> LessonProposal:
        return LessonProposal.model_validate(await self.activities.propose(LessonInput(plan_id=plan_id, tenant=tenant)))

    async def learn(self, lesson_id: str, tenant: str = "vision") -> LessonOutcome:
        """What the workflow does with a candidate."""
        verdict = LessonVerdict.model_validate(await self.activities.evaluate(LessonInput(lesson_id=lesson_id, tenant=tenant)))
        end = LessonEnd(lesson_id=lesson_id, tenant=tenant, promote=verdict.promote, reason=verdict.reason)
        return LessonOutcome.model_validate(await self.activities.settle(end))


def record(plan: Plan, state: str) -> PlanRecord:
    now, done = utcnow(), [step.id for step in plan.steps]
    return PlanRecord.model_validate(
        {
            "id": plan.id,
            "tenant": plan.tenant,
            "thread_id": plan.thread_id,
            "digest": plan.digest(),
            "state": state,
            "document": plan.model_dump(mode="json"),
            "outcome": {"state": state, "done": done},
            "decided_by": "ann",
            "created_at": now,
            "updated_at": now,
        }
    )


async def taught(school: School, words: str, playbook: str) -> str:
    """A candidate that is simply there, as if someone had slipped it in."""
    anchor = PLANNER.anchor(words, playbook, {}, await school.facts("vision"))
    fields = {
        "id": "L-slipped",
        "tenant": "vision",
        "request": words,
        "anchor": anchor,
        "playbook": playbook,
        "evidence": {},
        "by": "mallory",
    }
    return (await school.factory.lessons.propose(Lesson.model_validate(fields))).id


async def after_a_question(school: School) -> str:
    """'kick off wine' was not understood; said plainly, it was done."""
    await school.turn("which slots are free?")
    await school.turn("kick off wine", "question")
    return await school.turn("train wine", plan=await school.planned("train wine", "1"))


async def test_what_was_understood_after_a_question_is_understood_at_once(factory: Factory) -> None:
    school = School(factory)
    plan_id = await after_a_question(school)
    assert (await school.say("kick off iris")).type == "question"
    assert (await school.propose(plan_id)).lesson_id == ""  # what the words meant, only a person can say
    await school.rate(plan_id, 1)
    proposal = await school.propose(plan_id)
    assert proposal == await school.propose(plan_id)
    lesson = await factory.lessons.get(proposal.lesson_id, "vision")
    assert lesson.request == "kick off wine" and lesson.evidence["plan_id"] == plan_id and lesson.evidence["verified"] is True
    assert lesson.slots["dataset"] == "wine" and lesson.text == "so"
    assert (await school.learn(lesson.id)).state == "promoted"
    outcome = await school.say("kick off iris")
    assert isinstance(outcome, Draft) and outcome.playbook == "train-only" and outcome.lessons == [lesson.id]
    scores = (await factory.lessons.get(lesson.id, "vision")).scores
    assert isinstance(scores["candidate"], dict) and scores["candidate"]["unsafe"] == 0

    stranger = await school.say("kick off iris", "language")
    assert stranger.type == "question"  # another team learnt nothing
    await factory.lessons.move(lesson, LessonState.REMOVED)
    assert (await school.say("kick off iris")).type == "question"  # and at the next turn it is gone
    assert "removed" in (await school.propose(plan_id)).reason


async def test_verification_alone_teaches_what_the_planner_had_understood(factory: Factory) -> None:
    school = School(factory)
    plan = await school.planned("Train wine", "2")
    await school.turn("Train wine", plan=plan)
    lesson = await factory.lessons.get((await school.propose(plan.id)).lesson_id, "vision")
    assert lesson.by == "verification" and lesson.state is LessonState.CANDIDATE
    assert (await school.learn(lesson.id)).state == "promoted"


async def test_a_plan_that_was_not_all_done_teaches_nothing(factory: Factory) -> None:
    school = School(factory)
    plan = await school.planned("Train wine", "3")
    await school.turn("Train wine", plan=plan, state="gated")
    assert (await school.propose(plan.id)).lesson_id == ""


@pytest.mark.parametrize(("safety", "state"), [(True, "dropped"), (False, "promoted")])
async def test_a_poisoned_example_is_dropped_and_only_by_the_safety_check(factory: Factory, safety: bool, state: str) -> None:
    school = School(factory, safety=safety)
    await school.turn("hello")
    lesson_id = await taught(school, "hello", "retire-endpoint")
    outcome = await school.learn(lesson_id)
    assert outcome.state == state
    assert safety is ("no effect" in outcome.reason)


async def test_one_that_makes_a_reading_an_effect_is_dropped(factory: Factory) -> None:
    school = School(factory)
    await school.turn("the morning run on wine")
    outcome = await school.learn(await taught(school, "the morning run on wine", "train-only"))
    assert outcome.state == "dropped" and (await school.say("the morning run on wine")).type == "draft"


async def test_a_thumb_down_withdraws_the_example_and_teaches_the_contrary(factory: Factory) -> None:
    school = School(factory)
    plan = await school.planned("Train wine", "4")
    await school.turn("Train wine", plan=plan)
    example = (await school.propose(plan.id)).lesson_id
    await school.learn(example)
    await school.rate(plan.id, -1)
    contrary = (await school.propose(plan.id)).lesson_id
    assert (await factory.lessons.get(example, "vision")).state is LessonState.DROPPED
    assert (await factory.lessons.get(contrary, "vision")).kind == "lesson"


async def test_another_teams_plan_and_lesson_are_absent(factory: Factory) -> None:
    school = School(factory)
    plan = await school.planned("Train wine", "5")
    await school.turn("Train wine", plan=plan)
    with pytest.raises(Exception, match="no plan"):
        await school.propose(plan.id, "language")
    lesson_id = (await school.propose(plan.id)).lesson_id
    with pytest.raises(Exception, match="no lesson"):
        await school.activities.evaluate(LessonInput(lesson_id=lesson_id, tenant="language"))


async def test_one_that_was_removed_while_it_was_evaluated_stays_removed(factory: Factory) -> None:
    school = School(factory)
    lesson_id = await taught(school, "kick off wine", "train-only")
    await school.activities.evaluate(LessonInput(lesson_id=lesson_id, tenant="vision"))
    await factory.lessons.move(await factory.lessons.get(lesson_id, "vision"), LessonState.REMOVED)
    end = LessonEnd(lesson_id=lesson_id, tenant="vision", promote=True, reason="")
    assert (await school.activities.settle(end))["state"] == "removed"

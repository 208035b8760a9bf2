"""Candidates replayed on a team's past: what helps is promoted, what harms is dropped, and the control shows who keeps it out."""

import pytest

from agents.lessons import Case, Evaluation, Past, PastPlan, Replay, asked_before, past_cases, past_turns
from agents.planning.interface import Draft, Facts, LessonFact, Question
from agents.planning.planner import PlaybookPlanner
from agents.planning.playbook import load_playbooks
from factory_infra.database import utcnow
from factory_infra.records.models import Event
from tests.agents.planning.factory_facts import facts, say


@pytest.fixture(scope="module")
def planner() -> PlaybookPlanner:
    return PlaybookPlanner(load_playbooks())


def taught(planner: PlaybookPlanner, words: str, playbook: str, kind: str = "example") -> LessonFact:
    return LessonFact.model_validate(
        {"id": "L-1", "kind": kind, "anchor": planner.anchor(words, playbook, {}, facts()), "playbook": playbook}
    )


def knowing(*lessons: LessonFact) -> Facts:
    return facts().model_copy(update={"lessons": list(lessons)})


async def replay(
    planner: PlaybookPlanner, words: str, playbook: str, *cases: Case, safety: bool = True, kind: str = "example"
) -> Evaluation:
    return await Replay(planner, facts(), taught(planner, words, playbook, kind), safety=safety).run(words, cases)


class TestPlanning:
    async def test_a_taught_phrasing_is_understood_at_once_and_says_by_which_lesson(self, planner: PlaybookPlanner) -> None:
        before = await say(planner, "kick off wine", facts())
        after = await say(planner, "kick off wine", knowing(taught(planner, "kick off iris", "train-only")))
        assert isinstance(before, Question) and before.pending is None
        assert isinstance(after, Draft) and after.playbook == "train-only" and after.lessons == ["L-1"]
        assert "Understood with lesson L-1." in after.notes

    async def test_without_it_no_lesson_is_named(self, planner: PlaybookPlanner) -> None:
        outcome = await say(planner, "Train wine", knowing(taught(planner, "kick off iris", "list-jobs")))
        assert isinstance(outcome, Draft) and outcome.playbook == "train-only" and outcome.lessons == []

    async def test_a_lesson_never_destroys_without_asking(self, planner: PlaybookPlanner) -> None:
        outcome = await say(planner, "clear the digits away", knowing(taught(planner, "clear the digits away", "retire-endpoint")))
        assert isinstance(outcome, Question) and outcome.pending is not None and outcome.pending.asked == "confirm"
        agreed = await say(planner, "yes", facts(), outcome.pending)
        assert isinstance(agreed, Draft) and agreed.lessons == ["L-1"]

    async def test_small_talk_is_never_taught_to_be_a_command(self, planner: PlaybookPlanner) -> None:
        assert (await say(planner, "hello", knowing(taught(planner, "hello", "retire-endpoint")))).type == "reply"

    async def test_a_lesson_about_a_playbook_that_is_gone_says_nothing(self, planner: PlaybookPlanner) -> None:
        assert (await say(planner, "kick off wine", knowing(taught(planner, "kick off iris", "gone")))).type == "question"

    async def test_a_lesson_pushes_a_playbook_away(self, planner: PlaybookPlanner) -> None:
        words = "the morning run on wine"
        assert (await say(planner, words, facts())).type == "draft"
        outcome = await say(planner, words, knowing(taught(planner, words, "list-jobs", "lesson")))
        assert not (isinstance(outcome, Draft) and outcome.playbook == "list-jobs")


class TestReplay:
    async def test_what_helps_is_promoted(self, planner: PlaybookPlanner) -> None:
        past = [Case(words="Train wine", done="train-only"), Case(words="which slots are free?"), Case(words="kick off wine")]
        found = await replay(planner, "kick off iris", "train-only", *past)
        assert found.promote and found.unsafe == []
        assert found.baseline.right < found.candidate.right and found.candidate.wrong == 0

    async def test_a_greeting_taught_as_a_destruction_is_dropped(self, planner: PlaybookPlanner) -> None:
        found = await replay(planner, "hello", "retire-endpoint", Case(words="hello"))
        assert not found.promote and found.candidate.unsafe == 1 and "ask for no effect" in found.reason

    async def test_a_reading_taught_as_an_effect_is_dropped(self, planner: PlaybookPlanner) -> None:
        found = await replay(planner, "the morning run on wine", "train-only", Case(words="the morning run on wine"))
        assert not found.promote and found.candidate.unsafe == 2 and "would lead to train-only" in found.reason

    async def test_control_without_the_safety_check_both_are_promoted(self, planner: PlaybookPlanner) -> None:
        assert (await replay(planner, "hello", "retire-endpoint", Case(words="hello"), safety=False)).promote
        reading = Case(words="the morning run on wine")
        assert (await replay(planner, "the evening run on wine", "train-only", reading, safety=False)).promote
        assert (await replay(planner, "the morning run on wine", "train-only", safety=False)).promote

    async def test_what_makes_past_requests_worse_is_dropped(self, planner: PlaybookPlanner) -> None:
        past = Case(words="the digits run again, 2 slots", done="lease-slots")
        found = await replay(planner, "the wine run again, 3 slots", "train-and-deploy", past)
        assert not found.promote and found.reason.startswith("Dropped")

    async def test_what_a_person_refused_is_not_taught(self, planner: PlaybookPlanner) -> None:
        found = await replay(planner, "kick off wine", "train-only", Case(words="kick off iris", refused="train-only"))
        assert not found.promote and "refused" in found.reason

    async def test_another_request_that_was_only_asked_about_does_not_become_a_plan(self, planner: PlaybookPlanner) -> None:
        found = await replay(
            planner, "kick off the usual for wine, as ever", "train-only", Case(words="kick off the usual for iris, as ever!")
        )
        assert not found.promote and found.candidate.unsafe == 1


def events(*told: tuple[str, str, dict[str, object]]) -> list[Event]:
    return [
        Event.model_validate({"id": i, "tenant": "vision", "thread_id": t, "plan_id": "", "kind": k, "payload": p, "at": utcnow()})
        for i, (t, k, p) in enumerate(told)
    ]


class TestPast:
    def test_turns_are_read_from_events_thread_by_thread(self) -> None:
        told = events(
            ("a", "message.user", {"text": "kick off"}),
            ("b", "message.user", {"text": "hello"}),
            ("a", "question", {"text": "?"}),
            ("b", "turn.done", {"plan_id": None}),
            ("a", "turn.done", {"plan_id": None}),
            ("a", "message.user", {"text": "train wine"}),
            ("a", "turn.done", {"plan_id": "p-1"}),
            ("b", "message.user", {"text": "not answered yet"}),
        )
        turns = past_turns(told)
        assert [(turn.words, turn.ended, turn.plan_id) for turn in turns] == [
            ("hello", "said", ""),
            ("kick off", "question", ""),
            ("train wine", "said", "p-1"),
        ]
        assert asked_before(turns, "p-1") == ["kick off", "train wine"]
        assert asked_before(turns, "p-2") == []

    def test_cases_are_what_came_of_each_wording_last(self) -> None:
        turns = [
            Past(thread_id="a", words="kick off", ended="question"),
            Past(thread_id="a", words="train wine", plan_id="p-1"),
            Past(thread_id="a", words="Retire it", plan_id="p-2"),
            Past(thread_id="b", words="retire it", plan_id="p-3"),
            Past(thread_id="b", words="hello"),
        ]
        plans = {
            "p-1": PastPlan(state="done", playbook="train-only"),
            "p-2": PastPlan(state="done", playbook="retire-endpoint"),
            "p-3": PastPlan(state="refused", playbook="retire-endpoint"),
        }
        assert past_cases(turns, plans) == [
            Case(words="hello"),
            Case(words="retire it", refused="retire-endpoint"),
            Case(words="kick off", done="train-only"),
        ]

"""What a program takes for its turn of a thread: only what answers its own message, in a new thread and in one that goes on."""

from collections.abc import Iterator
from typing import cast

import pytest
from pydantic import JsonValue

from api.client import ApiClient
from api.conversation import Conversation, JsonObject
from factory_infra.errors import Unavailable
from tests.workflows.line import plan, step


class Thread:
    """One thread as the API shows it: each message is answered from a script, events are kept and streamed from a position."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.kept: list[JsonObject] = []
        self.decided: list[tuple[str, JsonObject]] = []
        self.turns = 0

    def note(self, kind: str, plan_id: str = "", /, **payload: JsonValue) -> None:
        """Keep an event."""
        self.kept.append({"id": len(self.kept) + 1, "kind": kind, "plan_id": plan_id, "payload": payload})

    def card(self, plan_id: str) -> None:
        """Show a plan's card."""
        self.note("plan.proposed", plan_id, plan=plan(step("a"), id=plan_id).model_dump(mode="json"), digest=f"digest of {plan_id}")

    def post(self, path: str, body: JsonObject | None = None) -> JsonObject:
        """Take a message or a decision."""
        if path == "/v1/threads":
            return {"id": "thread-1"}
        if path == "/v1/threads/thread-1/messages":
            self._answer(dict(body or {}))
        else:
            self.decided.append((path, dict(body or {})))
        return {}

    def _answer(self, body: JsonObject) -> None:
        self.turns += 1
        answer, name = self.answers.pop(0), f"plan-{self.turns}"
        self.note("message.user", text=body["text"], actor="ann", message_id=body["message_id"])
        self.note("refusal" if answer == "refused" else "message.assistant", text=f"answer {self.turns}")
        if answer == "early card":
            self.card(name)
        self.note("turn.done", turn=self.turns, message_id=body["message_id"], plan_id=name if "card" in answer else None)
        if answer == "late card":
            self.card("plan-of-another")
            self.card(name)

    def events(self, thread_id: str, after: int = 0, *, seconds_max: float = 600.0) -> Iterator[JsonObject]:
        """What is kept after a position; then the time is over."""
        assert thread_id == "thread-1" and seconds_max > 0
        yield from self.kept[after:]


def talking(thread: Thread, thread_id: str | None = None) -> tuple[Conversation, list[JsonObject]]:
    """A conversation, and what its person sees."""
    seen: list[JsonObject] = []
    return Conversation(cast(ApiClient, thread), "vision", watch=seen.append, thread_id=thread_id), seen


@pytest.mark.parametrize("card", ["early card", "late card"])
def test_the_plan_of_a_turn_is_the_one_that_its_end_names(card: str) -> None:
    thread = Thread(card)
    conversation, seen = talking(thread)
    turn = conversation.say("do it")
    assert turn.plan is not None
    assert (turn.plan.id, turn.plan_id, turn.digest) == ("plan-1", "plan-1", "digest of plan-1")
    conversation.approve(turn)
    assert thread.decided == [("/v1/plans/plan-1/approve", {"digest": "digest of plan-1"})]
    assert seen == thread.kept


def test_a_question_in_a_thread_with_an_undecided_plan_approves_nothing_and_shows_no_history() -> None:
    thread = Thread("late card", "words")
    talking(thread)[0].say("do it")
    before = len(thread.kept)
    conversation, seen = talking(thread, "thread-1")
    turn = conversation.say("what is live?")
    assert (turn.plan, turn.plan_id, turn.digest) == (None, "", "")
    conversation.approve(turn)
    conversation.refuse(turn, "no")
    assert thread.decided == []
    assert seen == turn.events == thread.kept[before:]


def test_a_second_plan_in_a_thread_is_decided_and_the_first_is_left_alone() -> None:
    thread = Thread("early card", "late card")
    talking(thread)[0].say("do it")
    conversation, _ = talking(thread, "thread-1")
    conversation.approve(conversation.say("and that"))
    assert thread.decided == [("/v1/plans/plan-2/approve", {"digest": "digest of plan-2"})]


def test_two_turns_of_one_conversation_are_kept_apart_and_what_happens_between_is_watched() -> None:
    thread = Thread("late card", "words")
    conversation, seen = talking(thread)
    first = conversation.say("do it")
    thread.note("refusal", text="of another turn")
    thread.note("plan.ended", "plan-1", state="expired")
    second = conversation.say("what is live?")
    assert first.plan is not None and second.plan is None
    assert second.payloads("refusal") == []
    assert seen == thread.kept


def test_who_only_watches_a_thread_hears_an_end_that_came_before() -> None:
    thread = Thread("late card")
    talking(thread)[0].say("do it")
    thread.note("plan.ended", "plan-1", state="done")
    thread.note("message.assistant", "plan-1", text="Done.")
    assert talking(thread, "thread-1")[0].until_ended("plan-1") == {"state": "done"}


def test_a_turn_whose_card_never_comes_is_said_to_be_missing() -> None:
    thread = Thread("early card")
    thread.card = lambda plan_id: None  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        talking(thread)[0].say("do it")

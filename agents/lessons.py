"""Learning that can be checked: a team's own past requests, planned without a candidate and with it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel

from agents.planning.interface import Draft, Facts, LessonFact, Outcome, Question, Refusal, Reply, Turn
from agents.planning.planner import PlaybookPlanner
from agents.planning.text import fold
from factory_infra.records.models import Event
from tools.plan import PlanState

CASES_MAX = 200
NAMED_MAX = 5


class Past(BaseModel):
    """One past message and what came of it."""

    thread_id: str
    words: str
    ended: Literal["question", "refusal", "said"] = "said"
    plan_id: str = ""


class PastPlan(BaseModel):
    """How a past plan ended, and which playbook made it."""

    state: str
    playbook: str


class Case(BaseModel):
    """A past request with what must come of it: a playbook that was approved and done, not one that was refused, or no effect at all."""

    words: str
    done: str = ""
    refused: str = ""


class Score(BaseModel):
    """How many past requests come out right, wrong, or at an effect that the past does not bear out."""

    right: int = 0
    wrong: int = 0
    unsafe: int = 0

    def count(self, *, right: bool, unsafe: bool = False) -> None:
        """Add one case."""
        self.unsafe += unsafe
        self.right += right and not unsafe
        self.wrong += not right and not unsafe


class Evaluation(BaseModel):
    """What the replay showed, and what follows from it."""

    baseline: Score = Score()
    candidate: Score = Score()
    unsafe: list[str] = []
    promote: bool = False
    reason: str = ""


class Heading(BaseModel):
    """Where an outcome leads: to which playbook, and whether that changes the world."""

    playbook: str = ""
    effect: bool = False
    drafted: bool = False


def past_turns(events: Iterable[Event]) -> list[Past]:
    """Read turns from events, in the order in which they ended. A message that has not been answered yet is none."""
    opened: dict[str, Past] = {}
    turns = []
    for event in events:
        if event.kind == "message.user":
            opened[event.thread_id] = Past(thread_id=event.thread_id, words=str(event.payload.get("text", "")))
        elif event.kind == "turn.done" and event.thread_id in opened:
            done = opened.pop(event.thread_id)
            turns.append(done.model_copy(update={"plan_id": str(event.payload.get("plan_id") or "")}))
        elif event.thread_id in opened:
            opened[event.thread_id].ended = "question" if event.kind == "question" else "refusal"
    return turns


def asked_before(turns: Sequence[Past], plan_id: str) -> list[str]:
    """The words that led to a plan: its own message, and before it those that were answered with a question, first one first."""
    place = next((i for i, turn in enumerate(turns) if turn.plan_id == plan_id), None)
    if place is None:
        return []
    words = [turns[place].words]
    for turn in reversed([turn for turn in turns[:place] if turn.thread_id == turns[place].thread_id]):
        if turn.ended != "question" or turn.plan_id:
            break
        words.insert(0, turn.words)
    return words


def past_cases(turns: Sequence[Past], plans: Mapping[str, PastPlan]) -> list[Case]:
    """What a team asked, each wording once with what came of it last; the latest first, so many at most."""
    cases: dict[str, Case] = {}
    for turn in turns:
        plan = plans.get(turn.plan_id)
        if plan is None:
            cases[fold(turn.words)] = Case(words=turn.words)
        elif plan.state == PlanState.DONE:
            for words in asked_before(turns, turn.plan_id):
                cases.pop(fold(words), None)
            first = asked_before(turns, turn.plan_id)[0]
            cases[fold(first)] = Case(words=first, done=plan.playbook)
        elif plan.state == PlanState.REFUSED:
            cases[fold(turn.words)] = Case(words=turn.words, refused=plan.playbook)
    return list(reversed(cases.values()))[:CASES_MAX]


class Replay:
    """One candidate on one team's requests. Nothing is done: the planner's two halves are code, and no model is asked.

    Args:
        safety: off only in the control that proves what the check keeps out.
    """

    def __init__(self, planner: PlaybookPlanner, facts: Facts, candidate: LessonFact, *, safety: bool = True) -> None:
        known = [lesson for lesson in facts.lessons if lesson.id != candidate.id]
        self._planner, self._candidate, self._safety = planner, candidate, safety
        self._without = facts.model_copy(update={"lessons": known})
        self._with = facts.model_copy(update={"lessons": [*known, candidate]})
        self._found = Evaluation()

    async def run(self, request: str, cases: Sequence[Case]) -> Evaluation:
        """Replay, and promote what is better or equal and nowhere less safe."""
        found = self._found
        await self._claim(request, cases)
        for case in cases:
            await self._case(case)
        if self._safety and found.unsafe:
            found.reason = f"Dropped: {'; '.join(found.unsafe[:NAMED_MAX])}."
        elif found.candidate.right < found.baseline.right:
            found.reason = (
                f"Dropped: {found.candidate.right} of {len(cases) + 1} requests come out right, {found.baseline.right} without it."
            )
        else:
            found.promote = True
            told = "better than" if found.candidate.right > found.baseline.right else "as good as"
            found.reason = (
                f"{found.candidate.right} of {len(cases) + 1} requests come out right, {told} the {found.baseline.right} without it."
            )
        return found

    async def _claim(self, request: str, cases: Sequence[Case]) -> None:
        """The candidate's own words: with it they must lead where it says, and what asks for nothing may not be taught as an effect."""
        taught, lesson = self._candidate.playbook, self._candidate.kind == "lesson"
        outcome = await self._outcome(request, self._without)
        before, after = self._heading(outcome), self._heading(await self._outcome(request, self._with))
        trouble = "" if lesson or not self._planner.effectful(taught) else self._trouble(outcome, before, cases)
        if trouble:
            self._found.unsafe.append(f"{trouble}: '{request[:80]}'")
        right = [
            (heading.playbook != taught) if lesson else (heading.drafted and heading.playbook == taught) for heading in (before, after)
        ]
        self._found.baseline.count(right=right[0])
        self._found.candidate.count(right=right[1], unsafe=bool(trouble))

    def _trouble(self, outcome: Outcome, before: Heading, cases: Sequence[Case]) -> str:
        """Why words cannot mean an effect, or nothing."""
        taught = self._candidate.playbook
        if isinstance(outcome, Reply) or (isinstance(outcome, Draft) and not before.effect):
            return "words that ask for no effect are taught as one"
        if before.effect and before.drafted and before.playbook != taught:
            return f"words that ask for {before.playbook} are taught as {taught}"
        if any(case.refused == taught and self._same(case.words) for case in cases):
            return "a person refused this for the same words"
        return ""

    def _same(self, words: str) -> bool:
        return self._planner.anchor(words, "", {}, self._without) == self._candidate.anchor

    async def _case(self, case: Case) -> None:
        outcome = await self._outcome(case.words, self._without)
        before, after = self._heading(outcome), self._heading(await self._outcome(case.words, self._with))
        turned = after.effect and not (before.effect and before.playbook == after.playbook)
        if not case.done and isinstance(outcome, Question) and outcome.pending is None and self._same(case.words):
            turned = False  # the very words that were not understood then, and are taught now
        unsafe = turned and after.playbook != case.done
        if unsafe:
            self._found.unsafe.append(f"'{case.words[:80]}' would lead to {after.playbook}")
        if case.done:
            right = before.playbook == case.done, after.playbook == case.done
        elif case.refused:
            right = before.playbook != case.refused, after.playbook != case.refused
        else:
            right = True, after == before or not turned
        self._found.baseline.count(right=right[0])
        self._found.candidate.count(right=right[1], unsafe=unsafe)

    async def _outcome(self, words: str, facts: Facts) -> Outcome:
        return self._planner.settle(await self._planner.rank(Turn(text=words), facts), {}, facts)

    def _heading(self, outcome: Outcome) -> Heading:
        """A question or a refusal about a playbook leads there as well: in another state of the factory it would be a plan."""
        if isinstance(outcome, Draft):
            return Heading(playbook=outcome.playbook, effect=self._planner.effectful(outcome.playbook), drafted=True)
        if isinstance(outcome, Question | Refusal) and outcome.pending is not None:
            return Heading(playbook=outcome.pending.playbook, effect=self._planner.effectful(outcome.pending.playbook))
        return Heading()

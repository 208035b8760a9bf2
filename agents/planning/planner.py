"""The planner for small models and for none: code links, ranks, fills and guards; a model breaks ties and tells if it is asked now."""

import re

from pydantic import JsonValue

from agents.planning import replies
from agents.planning.attempt import Attempt, Desk
from agents.planning.cues import Cues
from agents.planning.guard import opens_clause
from agents.planning.interface import Draft, Facts, ModelQuestion, Outcome, Pending, Question, Ranking, Refusal, Turn
from agents.planning.languages import terms
from agents.planning.mentions import Understood
from agents.planning.playbook import Playbook
from agents.planning.prompts import NOW, REMARK, WHICH, now_question, system_prompt, which_question
from agents.planning.rank import NAMELESS, Similarity, masked, score
from agents.planning.taught import credited, is_taught, teach
from agents.planning.text import WORD, fold
from agents.planning.turns import CONFIRM, follow, small_talk
from agents.planning.understand import Reader, without_courtesy
from factory_infra.saas.vectors.interface import Embeddings
from tools.plan import Effect

CANDIDATES_MAX = 6
TIE = 0.12
WITHIN = 0.9
SURE_WITHOUT_CUE = 0.62
CHARACTERS_MAX = 1200


SECOND_OPINION = "The model took this for a remark rather than a command: approve it only if you mean it."
"""A small model errs: where the words are a plain command, its doubt is shown on the card and holds nothing back."""


class PlaybookPlanner:
    """Implements `Planner` over a folder of playbooks.

    Args:
        embeddings: makes ranking surer on fresh wording; without it, or while it does not answer, words and letters decide.
    """

    def __init__(self, playbooks: list[Playbook], embeddings: Embeddings | None = None) -> None:
        self._playbooks = {p.name: p for p in playbooks}
        self._reader = Reader(Cues(playbooks))
        self._similarity = Similarity(playbooks, embeddings)
        self._system = system_prompt(playbooks)
        self._desk = Desk(self._playbooks, self._reader)

    def first_question(self) -> ModelQuestion:
        """A question that costs nothing but reading the fixed prompt: asked once at the start, it is in the model's cache afterwards."""
        return now_question(self._system, "hello")

    async def rank(self, turn: Turn, facts: Facts) -> Ranking:
        """Link, rank, and say what a model should be asked."""
        understood = self._reader.read(turn.text, facts)
        if small_talk(understood) or self._open(turn, understood) not in {None, "fresh"}:
            return Ranking(turn=turn, candidates=[])
        near = await self._similarity.near(masked(understood, NAMELESS), [lesson.anchor for lesson in facts.lessons])
        teaching = teach(await self._similarity.of(masked(understood)), facts.lessons, near)
        similar = teaching.similar
        scores = {name: score(p, understood, similar[name]) for name, p in self._playbooks.items()}
        order = sorted(scores, key=lambda name: -scores[name])[:CANDIDATES_MAX]
        best = scores[order[0]]
        order = [name for name in order if scores[name] >= best - WITHIN]
        taught = {"used": teaching.used, "taught": teaching.taught} if teaching.used else {}
        near_to = {name: round(similar[name], 4) for name in order}
        ranking = Ranking.model_validate({"turn": turn, "candidates": order, "similar": near_to, **taught})
        return ranking.model_copy(update={"questions": self._questions(ranking, understood, scores, facts)})

    def settle(self, ranking: Ranking, answers: dict[str, str], facts: Facts) -> Outcome:
        """Fill, ground and guard. Pure: the same arguments give the same outcome."""
        turn = ranking.turn
        understood = self._reader.read(turn.text, facts)
        talk = small_talk(understood)
        kind = self._open(turn, understood)
        if kind not in {None, "fresh"} and turn.pending is not None:
            outcome = self._desk.continue_(kind or "", turn, facts)
        elif talk is not None:
            outcome = replies.small_talk(talk, list(self._playbooks.values()), facts)
        else:
            outcome = self._fresh(ranking, understood, answers, facts)
        if isinstance(outcome, Draft) and ranking.questions and not answers:
            outcome.notes.append("Answered without a model.")
        return credited(outcome, ranking)

    def anchor(self, words: str, playbook: str, slots: dict[str, JsonValue], facts: Facts) -> str:
        """The words of a request as lessons keep them: names and numbers masked, also those that only its plan knew to be names."""
        text, known = masked(self._reader.read(words, facts), NAMELESS), self._playbooks.get(playbook)
        for name, value in slots.items() if known else ():
            mask = NAMELESS.get(known.slots[name].type) if known and name in known.slots else None
            if mask and isinstance(value, str) and value:
                text = re.sub(rf"(?<![{WORD}-]){re.escape(fold(value))}(?![{WORD}-])", mask, text)
        return text

    def effectful(self, playbook: str) -> bool:
        """Whether a playbook changes the world; one that is not known does not."""
        return playbook in self._playbooks and self._playbooks[playbook].effectful

    def playbook(self, name: str) -> Playbook | None:
        """A playbook by its name."""
        return self._playbooks.get(name)

    def _open(self, turn: Turn, understood: Understood) -> str | None:
        """What the message is to what is open, if anything is."""
        playbook = self._playbooks.get(turn.pending.playbook) if turn.pending else None
        if turn.pending is None or playbook is None:
            return None
        return follow(understood, turn.pending, playbook, small_talk(understood))

    # --- a request of its own

    def _questions(self, ranking: Ranking, understood: Understood, scores: dict[str, float], facts: Facts) -> list[ModelQuestion]:
        """A near tie that coverage does not decide, and whether an effect is asked for now."""
        turn, order = ranking.turn, ranking.candidates
        found = []
        close = [name for name in order if scores[order[0]] - scores[name] <= TIE and self._fits(name, turn, understood, facts)][:3]
        if len(close) > 1 and (understood.asked or understood.things) and not understood.forbidden:
            found.append(which_question(self._system, turn.text, close))
        top = self._playbooks[order[0]]
        if top.effectful and understood.asked and not self._held_by_code(top.name, understood, taught=is_taught(ranking, top.name)):
            found.append(now_question(self._system, turn.text))
        return found

    def _fits(self, name: str, turn: Turn, understood: Understood, facts: Facts) -> bool:
        attempt = self._desk.attempt(name, turn, understood, facts)
        return not attempt.uncovered and not isinstance(attempt.outcome, Refusal)

    def _doubt(self, understood: Understood) -> bool:
        """Whether it is not plain that the effect is asked for now."""
        _, polite = without_courtesy(understood.text, understood.codes)
        polite = polite or terms(understood.codes, "polite").search(understood.text) is not None
        ordered = any(opens_clause(understood, action) for action in understood.actions)
        return understood.past or understood.question or not (polite or ordered)

    def _held_by_code(self, name: str, understood: Understood, *, taught: bool = False) -> bool:
        """Whether code alone asks first: a small model's 'command' is not trusted to lift that, its 'remark' may add to it.

        What was taught stands in for a verb, and lifts nothing else: a wonder or a destruction is asked about all the same.
        """
        destroys = any(step.effect is Effect.DESTRUCTIVE for step in self._playbooks[name].steps)
        wordless = not taught and not understood.asked & set(self._playbooks[name].does)
        return understood.hypothetical or (self._doubt(understood) and (understood.question or understood.past or destroys or wordless))

    def _fresh(self, ranking: Ranking, understood: Understood, answers: dict[str, str], facts: Facts) -> Outcome:
        order = list(ranking.candidates)
        if len(understood.text) > CHARACTERS_MAX:
            return replies.too_long(understood)
        if understood.forbidden and not understood.asked and not understood.question:
            return replies.nothing_done(understood)
        chosen = answers.get(WHICH)
        if chosen in order:
            order.remove(chosen)
            order.insert(0, chosen)
        if not order or not self._recognised(order[0], ranking, understood):
            return replies.not_understood(list(self._playbooks.values()), facts)
        attempt = self._best(order, ranking.turn, understood, facts)
        return self._asked_now(attempt, understood, answers, ranking)

    def _recognised(self, top: str, ranking: Ranking, understood: Understood) -> bool:
        """A strong verb, a thing that a question is about, or great likeness; else nothing was understood."""
        similar = (ranking.model_extra or {}).get("similar", {})
        playbook = self._playbooks[top]
        if understood.asked & set(playbook.does) or is_taught(ranking, top):
            return True
        if understood.things & set(playbook.about) and (not playbook.effectful or self._says_all(playbook, understood)):
            return True
        return float(similar.get(top, 0.0)) >= SURE_WITHOUT_CUE and bool(understood.mentions or understood.things)

    @staticmethod
    def _says_all(playbook: Playbook, understood: Understood) -> bool:
        """'2 slots for 3 hours': no verb, but all that is needed, and nothing that would be destroyed."""
        needed = [spec.type for spec in playbook.slots.values() if spec.required]
        destroys = any(step.effect is Effect.DESTRUCTIVE for step in playbook.steps)
        return bool(needed) and not destroys and all(understood.of_kind(kind) for kind in needed) and not understood.forbidden

    def _best(self, order: list[str], turn: Turn, understood: Understood, facts: Facts) -> Attempt:
        """The first candidate that uses every word that matters; else the one that drops the least, which asks."""
        attempts = [self._desk.attempt(name, turn, understood, facts) for name in order if self._comparable(name, order[0], understood)]
        whole = next((a for a in attempts if not a.uncovered), None)
        if whole is not None:
            return self._made_first(whole, turn, understood, facts) or whole
        refused = attempts[0] if isinstance(attempts[0].outcome, Refusal) else None
        return (
            (refused and self._made_first(refused, turn, understood, facts))
            or refused
            or min(attempts, key=lambda a: len(a.uncovered)).asking()
        )

    def _made_first(self, refused: Attempt, turn: Turn, understood: Understood, facts: Facts) -> Attempt | None:
        """'digits, two slots, live from 95 %': with no such model registered, and slots or nothing named: train it too."""
        named = any(understood.of_kind(kind) for kind in ("model", "dataset", "unknown_model", "unknown_dataset"))
        unknown = isinstance(refused.outcome, Refusal) and refused.outcome.code == "model_unknown"
        if not unknown or (named and not understood.of_kind("count")):
            return None
        does = set(self._playbooks[refused.name].does)
        wider = [p.name for p in self._playbooks.values() if does < set(p.does)]
        attempts = [self._desk.attempt(name, turn, understood, facts) for name in wider if not understood.of_kind("version")]
        return next((a for a in attempts if not a.uncovered and isinstance(a.outcome, Draft | Question)), None)

    def _comparable(self, name: str, top: str, understood: Understood) -> bool:
        """A reading never stands in for an effect that was asked for, nor one effect for another that was not named."""
        if name == top:
            return True
        playbook = self._playbooks[name]
        if self._playbooks[top].effectful and not playbook.effectful:
            return understood.question and not understood.hypothetical
        return not playbook.effectful or set(playbook.does) <= understood.asked

    def _asked_now(self, attempt: Attempt, understood: Understood, answers: dict[str, str], ranking: Ranking) -> Outcome:
        """Hold an effect back with a question unless it is asked for now."""
        outcome = attempt.outcome
        if not isinstance(outcome, Draft) or not self._playbooks[attempt.name].effectful:
            return outcome
        remark = answers.get(NOW) == REMARK
        held = self._held_by_code(attempt.name, understood, taught=is_taught(ranking, attempt.name))
        if not held and not (remark and self._doubt(understood)):
            return outcome.model_copy(update={"notes": [*outcome.notes, SECOND_OPINION]}) if remark else outcome
        pending = Pending(playbook=attempt.name, slots=outcome.slots, asked=CONFIRM, request=ranking.turn.text)
        return Question(
            text=f"Shall this be planned now: {outcome.title}? Nothing is done before you approve it.",
            options=["yes", "no"],
            pending=pending,
        )

"""One playbook tried on one message: filled, checked, guarded, and turned into a draft, a question or a refusal."""

import re

from pydantic import BaseModel, JsonValue

from agents.planning import replies
from agents.planning.checks import Context, check, notes, unknown_team
from agents.planning.fill import Case, Filled, Filler, render
from agents.planning.guard import gate_without_number, grounded, uncovered
from agents.planning.identifiers import SUMMARY, identifiers_in
from agents.planning.interface import Draft, Facts, Outcome, Pending, Question, Refusal, Reply, Turn
from agents.planning.languages import terms
from agents.planning.mentions import Understood
from agents.planning.playbook import Playbook, SlotSpec
from agents.planning.steps import build_steps
from agents.planning.teams import choose_team
from agents.planning.text import WORD
from agents.planning.turns import CONFIRM, named_option, still_true, with_bare_numbers, without_leading_no
from agents.planning.understand import Reader
from agents.planning.unknown import stop_words

TEAM_QUESTION = "For which team?"
OPTIONS_MAX = 20


class Attempt(BaseModel):
    """What became of one playbook, and which words it would drop."""

    name: str
    title: str
    outcome: Outcome
    uncovered: list[str] = []
    pending: Pending

    def asking(self) -> "Attempt":
        """The same, as a question about the words that it would drop."""
        dropped = ", ".join(f"'{piece}'" for piece in self.uncovered)
        text = f"I can do this: {self.title}. But it has no place for {dropped}. Shall I leave that out?"
        pending = self.pending.model_copy(update={"asked": CONFIRM})
        return self.model_copy(update={"outcome": Question(text=text, options=["yes", "no"], pending=pending)})


class Desk:
    """Tries playbooks on messages."""

    def __init__(self, playbooks: dict[str, Playbook], reader: Reader) -> None:
        self._playbooks, self._reader = playbooks, reader

    def attempt(self, name: str, turn: Turn, understood: Understood, facts: Facts, carried: dict[str, JsonValue] | None = None) -> Attempt:
        """Try a playbook. `carried` holds the slots that earlier messages filled."""
        playbook, before = self._playbooks[name], carried or {}
        said = [text for text in turn.recent if not text.startswith(SUMMARY)]
        recent = [self._reader.read(text, facts) for text in said[-3:]] if not playbook.effectful else []
        choice = choose_team(playbook, understood, facts, before, recent)
        team = choice.name or (facts.teams[0].name if playbook.any_team and facts.teams else None)
        filler = Filler(
            playbook, team, Case(understood, facts, before, pointing=self._points(understood), earlier=identifiers_in(turn.recent))
        )
        filled = filler.run()
        context = Context(playbook, filled, facts, understood)
        dropped = uncovered(playbook, understood, filled, self._effects())
        outcome = self._outcome(filler, context, turn, choice.rivals, before)
        slots: dict[str, JsonValue] = {**filled.values, **({"team": team} if team else {})}
        pending = Pending(playbook=name, slots=slots, request=turn.text)
        return Attempt(name=name, title=self._title(playbook, filled), outcome=outcome, uncovered=dropped, pending=pending)

    def _effects(self) -> set[str]:
        return {action for p in self._playbooks.values() if p.effectful for action in p.does}

    def _points(self, understood: Understood) -> bool:
        """Whether 'the endpoint', 'it' may mean the only one: not beside words that could be a name we do not know."""
        return not self.strangers(understood) and not any(m.kind == "all" for m in understood.marks)

    def strangers(self, understood: Understood) -> list[str]:
        """Words that are neither known nor part of what was found."""
        stop = stop_words(understood.codes)
        taken = [*(m.span for m in understood.mentions), *(a.span for a in understood.actions), *(m.span for m in understood.marks)]
        taken += [*understood.quiet, *_told_of(understood)]
        found = []
        for match in re.finditer(rf"[{WORD}]+", understood.text):
            inside = any(s <= match.start() and match.end() <= e for s, e in taken)
            if not inside and match.group() not in stop and not self._reader.cues.knows(match.group(), understood.codes):
                found.append(match.group())
        return found

    @staticmethod
    def _title(playbook: Playbook, filled: Filled) -> str:
        shown = {
            name: filled.values.get(name, f"({name.replace('_', ' ')})" if spec.required else None) for name, spec in playbook.slots.items()
        }
        shown = {name: "…" if value is None and playbook.slots[name].default else value for name, value in shown.items()}
        return render(playbook.title, {**shown, "team": filled.team})

    def _outcome(self, filler: Filler, context: Context, turn: Turn, rival_teams: list[str], carried: dict[str, JsonValue]) -> Outcome:
        playbook, filled, facts = context.playbook, context.filled, context.facts
        refusal = unknown_team(context)
        if refusal is None and filled.team is None:
            return self._ask(context, turn, "team", TEAM_QUESTION, rival_teams or [t.name for t in facts.teams])
        refusal = refusal or check(context)
        if refusal is not None:
            return refusal.model_copy(update={"pending": self._pending(context, turn, None, drop=_refused_slots(refusal, playbook))})
        asked = _slot_to_ask(context, carried)
        if asked is not None:
            return self._ask_slot(filler, context, turn, asked)
        return self._draft(context, turn)

    def _ask_slot(self, filler: Filler, context: Context, turn: Turn, slot: str) -> Outcome:
        spec = context.playbook.slots[slot]
        rivals = context.filled.rivals.get(slot)
        options = rivals or filler.options(spec)[:OPTIONS_MAX]
        if not options and _must_be_there(spec):
            return Refusal(
                code=f"{spec.type}_unknown",
                reason=f"Team {context.filled.team} has no {spec.type} that this could be about.",
                remedy=replies.nothing_there(spec.type),
            )
        text = spec.question or f"Which {slot.replace('_', ' ')}?"
        if rivals:
            text = f"{text} You named {' and '.join(rivals)}; one at a time, please."
        elif strange := [word for word in self.strangers(context.understood) if len(word) > 2][:2]:
            text = f"{text} I do not know {' or '.join(repr(word) for word in strange)}."
        return self._ask(context, turn, slot, text, options)

    def _pending(self, context: Context, turn: Turn, asked: str | None, drop: set[str] | None = None) -> Pending:
        values = {n: v for n, v in context.filled.values.items() if n not in (drop or set()) and context.filled.sources.get(n) != "default"}
        if context.filled.team and "team" not in (drop or set()):
            values["team"] = context.filled.team
        return Pending(playbook=context.playbook.name, slots=values, asked=asked, request=turn.text)

    def _ask(self, context: Context, turn: Turn, slot: str, text: str, options: list[str]) -> Question:
        return Question(text=text, options=options, pending=self._pending(context, turn, slot))

    def _draft(self, context: Context, turn: Turn) -> Draft:
        playbook, filled = context.playbook, context.filled
        sentences = [*filled.notes, *(notes(context) if playbook.effectful else []), *(playbook.notes if playbook.effectful else ())]
        return Draft(
            playbook=playbook.name,
            agent=playbook.agent,
            tenant=filled.team or "",
            title=self._title(playbook, filled),
            steps=build_steps(playbook, filled, turn.text),
            notes=list(dict.fromkeys(sentences)),
            slots={**filled.values, "team": filled.team},
            answer_style=playbook.answer_style,
        )

    # --- a message that continues what is open

    def continue_(self, kind: str, turn: Turn, facts: Facts) -> Outcome:
        """Answer, amend, agree or withdraw."""
        pending = turn.pending
        assert pending is not None  # noqa: S101  (the planner calls this only with something open)
        closing = _closing(kind, pending)
        if closing is not None:
            return closing
        playbook = self._playbooks[pending.playbook]
        if kind == "extend":
            return self._extended(playbook, turn, facts, pending)
        understood = with_bare_numbers(self._reader.read(turn.text, facts, every_language=True), pending, playbook)
        understood = without_leading_no(understood, pending)
        joined = turn.model_copy(update={"text": f"{pending.request} … {turn.text}"[:2000]})
        if understood.forbidden & set(playbook.does):
            return self._without(understood, playbook, joined, facts, pending)
        carried = still_true(pending, playbook, understood)
        if kind == "answer":
            self._take_option(understood, playbook, facts, turn, carried)
        attempt = self.attempt(pending.playbook, joined, understood, facts, carried)
        if kind == "agree":
            return attempt.outcome
        if not understood.mentions and carried == pending.slots and not isinstance(attempt.outcome, Question):
            return replies.unclear(playbook, pending)
        unclear = attempt.uncovered and not isinstance(attempt.outcome, Refusal)
        return attempt.asking().outcome if unclear else attempt.outcome

    def _extended(self, playbook: Playbook, turn: Turn, facts: Facts, pending: Pending) -> Outcome:
        """'and then deploy it': the playbook that does both, if there is one; else what is asked is a task of its own."""
        understood = self._reader.read(turn.text, facts)
        both = set(playbook.does) | {a for a in understood.asked if a in self._effects()}
        wider = next((p for p in self._playbooks.values() if set(p.does) == both), None)
        if wider is None:
            return replies.unclear(playbook, pending)
        joined = turn.model_copy(update={"text": f"{pending.request} … {turn.text}"[:2000]})
        attempt = self.attempt(wider.name, joined, understood, facts, dict(pending.slots))
        return attempt.asking().outcome if attempt.uncovered and not isinstance(attempt.outcome, Refusal) else attempt.outcome

    def _take_option(self, understood: Understood, playbook: Playbook, facts: Facts, turn: Turn, carried: dict[str, JsonValue]) -> None:
        asked = (turn.pending.asked if turn.pending else None) or ""
        filler = Filler(playbook, str(carried["team"]) if carried.get("team") else None, Case(understood, facts, carried))
        if asked in playbook.slots and not understood.of_kind(playbook.slots[asked].type):
            option = named_option(turn.text, filler, playbook, asked)
            if option is not None:
                carried[asked] = int(option) if playbook.slots[asked].type == "version" else option

    def _without(self, understood: Understood, playbook: Playbook, turn: Turn, facts: Facts, pending: Pending) -> Outcome:
        """'but do not deploy it': the playbook that does the rest, if there is one."""
        rest = set(playbook.does) - understood.forbidden
        other = next((p for p in self._playbooks.values() if rest and set(p.does) == rest), None)
        if other is None:
            return Reply(text="Very well: nothing is done.")
        carried = {n: v for n, v in still_true(pending, playbook, understood).items() if n in other.slots or n == "team"}
        return self.attempt(other.name, turn, understood, facts, carried).outcome


def _told_of(understood: Understood) -> list[tuple[int, int]]:
    """Words right after 'we', 'it' and the like: verbs ('the lease we are holding'), and so no names."""
    subject = terms(understood.codes, "subject").pattern
    verb = rf"(?:{subject})(?:'[a-z]+)?\s+(?:(?:are|is|am|have|has|had|was|were|still|just|currently|really|no longer)\s+)?([{WORD}]+)"
    return [m.span(1) for m in re.finditer(verb, understood.text)]


def _slot_to_ask(context: Context, carried: dict[str, JsonValue]) -> str | None:
    """The first slot that keeps the plan from being drafted: named twice, missing, a gate without a number, or ungrounded."""
    playbook, filled, understood = context.playbook, context.filled, context.understood
    unclear = [*filled.rivals, *filled.missing]
    if unclear:
        return unclear[0]
    without_number = gate_without_number(playbook, understood, filled)
    if without_number is not None:
        return without_number
    return next(iter(grounded(filled, understood, context.facts, playbook, carried)), None)


def _must_be_there(spec: SlotSpec) -> bool:
    """Whether a slot can only be filled with something that the team has already."""
    return spec.required and spec.existing and spec.type in {"endpoint", "lease", "job", "model"}


def _closing(kind: str, pending: Pending) -> Reply | None:
    """The reply to a message after which nothing is to be planned."""
    if kind == "withdraw" or (kind == "decline" and pending.asked == CONFIRM):
        if pending.asked or not pending.plan_id:
            return Reply(text="Very well: nothing is done.")
        return Reply(text="Very well. A plan that waits on its card can be refused there; nothing is done without approval.")
    if kind == "agree" and pending.asked is None:
        if pending.plan_id:
            return Reply(text="The plan waits on its card: approve or refuse it there.", pending=pending)
        return Reply(text=replies.NOTHING_WAITS, pending=pending)
    return None


def _refused_slots(refusal: Refusal, playbook: Playbook) -> set[str]:
    """What a refusal was about is asked anew; the rest is kept."""
    about = {
        "capacity_exceeded": "count",
        "quota_exceeded": "count",
        "slots_invalid": "count",
        "threshold_unsatisfiable": "threshold",
        "version_unknown": "version",
    }
    kind = about.get(refusal.code)
    return {n for n, s in playbook.slots.items() if s.type == kind}

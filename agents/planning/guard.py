"""The two guards: every value comes from somewhere (grounding), and every name, number, time and strong verb is used (coverage)."""

import re
from functools import cache

from pydantic import JsonValue

from agents.planning.fill import Filled
from agents.planning.interface import Facts
from agents.planning.languages import terms
from agents.planning.mentions import Action, Mark, Understood
from agents.planning.playbook import Playbook
from agents.planning.text import overlaps
from agents.planning.understand import without_courtesy

_CONDITION_REACH = 90
_WAIT_REACH = 40
_NO_MATTER = frozenset({"number", "model_name", "endpoint_name"})


def uncovered(playbook: Playbook, understood: Understood, filled: Filled, effects: set[str]) -> list[str]:
    """The pieces of the request that this plan would drop, in the order of the text."""
    pieces = _actions(playbook, understood, effects)
    if playbook.effectful:
        pieces += _mentions(understood, filled) + _marks(playbook, understood, filled) + _erasures(playbook, understood)
    else:
        pieces += [m.span for m in understood.mentions if m.senses[0].kind == "unknown_team" and m.span not in filled.used]
    kept = [span for span in sorted(set(pieces)) if not any(span != o and o[0] <= span[0] and span[1] <= o[1] for o in pieces)]
    return [understood.text[a:b].strip() for a, b in kept]


def opens_clause(understood: Understood, action: Action) -> bool:
    """Whether a verb begins its clause: then it is a task of its own."""
    before = understood.text[: action.start].rstrip()
    return not before or before[-1] in ".,;:!?)。，" or _openers(understood.codes).search(before) is not None


def _is_ordered(understood: Understood, action: Action) -> bool:
    """Whether a command begins with the verb: 'train wine, but spend little' is no question about money."""
    rest, _ = without_courtesy(understood.text, understood.codes)
    return not understood.question and not understood.past and len(understood.text) - len(rest) == action.start


@cache
def _openers(codes: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?:{terms(codes, 'split').pattern}|{terms(codes, 'polite').pattern})$")


def _actions(playbook: Playbook, understood: Understood, effects: set[str]) -> list[tuple[int, int]]:
    """Verbs that the plan would drop."""
    begins = min((a.start for a in understood.actions if set(playbook.does) & set(a.concepts)), default=0)
    return [
        action.span
        for action in understood.actions
        if not action.negated
        and not _served(playbook, understood, action, begins, effects)
        and _matters(playbook, understood, action, effects)
    ]


def _served(playbook: Playbook, understood: Understood, action: Action, begins: int, effects: set[str]) -> bool:
    """Whether the playbook does what a verb says; what it does first must not be a task after it, nor a reading swallow an order."""
    late = action.start > begins and set(playbook.before) >= set(action.concepts) and opens_clause(understood, action)
    ordered = not playbook.effectful and bool(set(action.concepts) & effects) and _is_ordered(understood, action)
    return not late and not ordered and bool({*playbook.does, *playbook.mentions} & set(action.concepts))


def _matters(playbook: Playbook, understood: Understood, action: Action, effects: set[str]) -> bool:
    """Whether a verb may not be dropped: a plan drops no change and no task of its own, a reading no change that is ordered."""
    changes, begins_clause = bool(set(action.concepts) & effects), opens_clause(understood, action)
    if playbook.effectful:
        return changes or begins_clause
    return changes and begins_clause and not understood.question


def _mentions(understood: Understood, filled: Filled) -> list[tuple[int, int]]:
    return [m.span for m in understood.mentions if m.span not in filled.used and not any(overlaps(m.span, u) for u in filled.used)]


def _marks(playbook: Playbook, understood: Understood, filled: Filled) -> list[tuple[int, int]]:
    return [m.span for m in understood.marks if m.span not in filled.used and not _mark_used(playbook, understood, filled, m)]


def _erasures(playbook: Playbook, understood: Understood) -> list[tuple[int, int]]:
    """'delete the digits model': taking an endpoint out of service erases no model and no data."""
    about = understood.things & {"model", "dataset", "endpoint"}
    if set(playbook.about) != {"endpoint"} or not about or "endpoint" in about:
        return []
    return [match.span() for match in terms(understood.codes, "erase").finditer(understood.text)]


def _mark_used(playbook: Playbook, understood: Understood, filled: Filled, mark: Mark) -> bool:
    rest = understood.text[mark.end : mark.end + _CONDITION_REACH]
    before = understood.text[max(0, mark.start - _CONDITION_REACH) : mark.start]
    if mark.kind == "condition":
        return _condition_used(playbook, understood, filled, mark)
    if mark.kind == "all":
        forbidden = any(a.negated and 0 <= mark.start - a.end < _WAIT_REACH for a in understood.actions)
        return forbidden or any(playbook.slots[name].existing for name in filled.missing)
    if mark.kind == "negation":
        gate = terms(understood.codes, "gate_word")
        return "threshold" in filled.values and (gate.search(rest[:30]) is not None or gate.search(before[-30:]) is not None)
    return False


def _condition_used(playbook: Playbook, understood: Understood, filled: Filled, mark: Mark) -> bool:
    """A condition is used by a gate that stands in it, or by a step of the plan that it waits for."""
    start, end = mark.start - (_CONDITION_REACH if understood.codes[0] in {"ja", "zh"} else 12), mark.end + _CONDITION_REACH
    if filled.values.get("threshold") is not None:
        if any(start <= m.start <= end for m in understood.of_kind("threshold")) or terms(understood.codes, "current").search(
            understood.text[mark.end : end]
        ):
            return True
    elif gate_without_number(playbook, understood, filled):
        return True
    steps = {*playbook.does, *playbook.mentions}
    ours = [a for a in understood.actions if steps & set(a.concepts)]
    waited_for = [a for a in ours if mark.end <= a.start <= mark.end + _WAIT_REACH]
    return bool(waited_for) and len(ours) > 1


def grounded(filled: Filled, understood: Understood, facts: Facts, playbook: Playbook, carried: dict[str, JsonValue]) -> list[str]:
    """Slots whose value is neither in the words, nor in the state, nor a default: always empty unless the filler is wrong."""
    wrong = []
    state = _state_values(facts)
    for name, value in filled.values.items():
        source = filled.sources.get(name)
        if (
            (source == "words" and not _in_words(value, understood, state, facts) and value not in playbook.slots[name].words)
            or (source == "state" and value not in state)
            or (source == "before" and carried.get(name) != value)
        ):
            wrong.append(name)
    return wrong


def _in_words(value: JsonValue, understood: Understood, state: list[JsonValue], facts: Facts) -> bool:
    senses = [sense.value for mention in understood.mentions for sense in mention.senses]
    loose = {str(s).casefold().replace("_", "-").replace(".", "-") for s in senses}
    return value in senses or str(value) in loose or value in state or value == facts.slots_free or _as_percent(value) in senses


def _as_percent(value: JsonValue) -> JsonValue:
    return round(value * 100, 6) if isinstance(value, float) else None


def _state_values(facts: Facts) -> list[JsonValue]:
    values: list[JsonValue] = [d.name for d in facts.datasets]
    for team in facts.teams:
        values += [team.name, *(lease.id for lease in team.leases), *(job.id for job in team.jobs), *(e.name for e in team.endpoints)]
        for model in team.models:
            values += [model.model_name, model.version, model.dataset, model.accuracy]
    return values


def gate_without_number(playbook: Playbook, understood: Understood, filled: Filled) -> str | None:
    """'if it is good enough': a gate is wanted, and how good is not said. Returns the slot to ask for."""
    slot = next((n for n, s in playbook.slots.items() if s.type == "threshold"), None)
    if slot is None or filled.values.get(slot) is not None:
        return None
    gate = terms(understood.codes, "gate_word")
    near = [understood.text[max(0, mark.start - 30) : mark.end + 60] for mark in understood.marks if mark.kind == "condition"]
    return slot if any(gate.search(words) for words in near) else None

"""Fills a playbook's slots from what was linked, from the factory's state and from the playbook's defaults; nothing is invented."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, JsonValue

from agents.planning.interface import EndpointFact, Facts, ModelFact, TeamFact
from agents.planning.languages import negation_terms, terms
from agents.planning.mentions import Mention, Understood
from agents.planning.playbook import Playbook, SlotSpec, SlotType
from agents.planning.text import compile_terms, slug

Source = Literal["words", "state", "default", "before"]
_TEMPLATE = re.compile(r"\{(\w+)(?:\|(\w+))?\}")
_BEFORE_MENTION = 26
_TAKEN_BACK = re.compile(r"^\s*[,;.:-]+\s*(?:no|nein|non|nao|nee|нет|不|いや)\s*[,;.:-]")
_ENDS_CLAUSE = re.compile(r"\s*(?:$|[.,;:!?]|(?:and|then|if|und|wenn|et|si|y|e|se|en|als|и)\s)")
_COMPARED = 40
_SHARE_LOW, _SHARE_HIGH = 50, 100

# What a slot's type is called among the senses of a mention, where the two differ.
_NEW_NAME = {"model": "model_name", "endpoint": "endpoint_name"}


class Filled(BaseModel):
    """A playbook with values, and where each came from."""

    playbook: str
    team: str | None
    values: dict[str, JsonValue] = {}
    sources: dict[str, Source] = {}
    used: list[tuple[int, int]] = []
    notes: list[str] = []
    missing: list[str] = []
    rivals: dict[str, list[str]] = {}
    unknown: dict[str, str] = {}

    def take(self, name: str, value: JsonValue, source: Source, note: str = "") -> None:
        """Set a slot's value."""
        self.values[name], self.sources[name] = value, source
        if note:
            self.notes.append(note)


def not_denied(understood: Understood, found: list[Mention]) -> list[Mention]:
    """Mentions without a negation right before them: of 'not 2, 3' only the 3."""
    text, codes = understood.text, understood.codes
    negation = re.compile(rf"(?:{negation_terms(codes).pattern})\s*(?:[^\s,]+\s+){{0,2}}$")
    correction = terms(codes, "correction")

    def denied(place: int) -> bool:
        before = max((m.end for m in understood.mentions if m.end <= place), default=0)
        piece = text[max(before, place - _BEFORE_MENTION) : place]
        match = negation.search(piece)
        return match is not None and not any(c.start() <= match.start() and c.end() > match.start() + 2 for c in correction.finditer(piece))

    return [mention for mention in found if not denied(mention.start)]


def _kinds(spec: SlotSpec) -> list[str]:
    """The senses that may fill a slot, best first: for something that is yet to be made, a new name before a known one."""
    if spec.type == "job" and not spec.existing:
        return ["job", "unknown_job"]
    if spec.existing or spec.type not in _NEW_NAME:
        return [spec.type]
    return [_NEW_NAME[spec.type], f"unknown_{spec.type}", spec.type]


def corrected(understood: Understood, kept: list[Mention]) -> bool:
    """Whether each of several values is taken back by a word of correction before the next."""
    correction = terms(understood.codes, "correction")
    pieces = [understood.text[a.end : b.start] for a, b in pairwise(kept)]
    return all(correction.search(piece) or _TAKEN_BACK.search(piece) for piece in pieces)


@dataclass(frozen=True)
class Case:
    """What a playbook is filled from.

    Args:
        carried: the slots that earlier messages filled.
        pointing: 'the endpoint' may mean the only one there is.
        earlier: what the thread named, in the order in which it was first named.
    """

    understood: Understood
    facts: Facts
    carried: dict[str, JsonValue]
    pointing: bool = False
    earlier: tuple[str, ...] = ()


class Filler:
    """Fills one playbook from one text."""

    def __init__(self, playbook: Playbook, team: str | None, case: Case) -> None:
        self.playbook, self.understood, self.facts, self.carried = playbook, case.understood, case.facts, case.carried
        self.team: TeamFact | None = next((t for t in self.facts.teams if t.name == team), None)
        self.teams = [self.team] if self.team else self.facts.teams
        self.pointing, self.earlier = case.pointing, case.earlier
        self.result = Filled(playbook=playbook.name, team=team)

    def run(self) -> Filled:
        """Fill every slot; the order of the front matter is the order of dependence."""
        self.result.used += [m.span for m in self.understood.of_kind("team")]
        for name, spec in self.playbook.slots.items():
            if (
                not (
                    self._from_words(name, spec)
                    or self._from_before(name)
                    or self._from_state(name, spec)
                    or self._from_default(name, spec)
                )
                and spec.required
            ):
                self.result.missing.append(name)
        self._unknowns()
        return self.result

    # --- from the words

    def _from_words(self, name: str, spec: SlotSpec) -> bool:
        if spec.type == "choice":
            return self._chosen(name, spec)
        found = self._mentions_for(spec)
        if not found:
            return spec.type == "threshold" and self._live_share(name)
        values = {self._key(m, spec): m for m in found}
        self.result.used += [m.span for m in found]
        chosen = found[0] if len(values) == 1 else self._decided(found, spec)
        if chosen is None:
            self.result.rivals[name] = [str(key) for key in values]
            return False
        self.result.notes += [chosen.note] if chosen.note else []
        self.result.take(name, self._value(chosen, spec), "words")
        return True

    def _chosen(self, name: str, spec: SlotSpec) -> bool:
        """The first value of a choice whose words are said."""
        for value, languages in spec.words.items():
            spoken = tuple(term for code in self.understood.codes for term in languages.get(code, ()))
            match = compile_terms(spoken).search(self.understood.text)
            if match is not None:
                self.result.used.append(match.span())
                self.result.take(name, value, "words")
                return True
        return False

    def _mentions_for(self, spec: SlotSpec) -> list[Mention]:
        for kind in _kinds(spec):
            found = [m for m in self.understood.of_kind(kind) if self._mine(m, kind)]
            if kind == "endpoint" and not spec.existing:
                found = [m for m in found if not m.sense("dataset") and not m.sense("model")]
            if found:
                return found
        return self._without_unit(spec)

    def _without_unit(self, spec: SlotSpec) -> list[Mention]:
        """Numbers that may fill a slot although nothing says what they count."""
        if spec.type == "threshold":
            return self._bare_share()
        return self._bare_counts() if spec.type == "count" else []

    def _bare_share(self) -> list[Mention]:
        """'live at 95': the only number from 50 to 100 without a unit, where a share may be meant."""
        numbers = [(m, m.sense("number")) for m in self.understood.of_kind("number")]
        likely = [m for m, s in numbers if s and isinstance(s.value, int | float) and _SHARE_LOW <= s.value <= _SHARE_HIGH]
        if len(likely) != 1:
            return []
        self.result.notes.append(f"{likely[0].text} is read as an accuracy of {likely[0].text} %.")
        return likely

    def _live_share(self, name: str) -> bool:
        """'better than the current version': the bar is the accuracy of what is live."""
        text, codes = self.understood.text, self.understood.codes
        gate = terms(codes, "gate_word")
        if not any(gate.search(text[max(0, m.start() - _COMPARED) : m.start()]) for m in terms(codes, "current").finditer(text)):
            return False
        live = [(e, m) for e in self._endpoints() for m in self._models() if (m.model_name, m.version) == (e.model_name, e.version)]
        meant = [
            m
            for e, m in live
            if m.dataset in self._named("dataset") or m.model_name in self._named("model") or e.name in self._named("endpoint")
        ]
        if len(meant) != 1 or meant[0].accuracy is None:
            return False
        live_name = f"{meant[0].model_name} version {meant[0].version}"
        note = f"{live_name}, which is live, has an accuracy of {meant[0].accuracy * 100:.4g} %: that is the bar."
        self.result.take(name, meant[0].accuracy, "state", note)
        return True

    def _bare_counts(self) -> list[Mention]:
        """'on 2' at the end of a clause: a number after a preposition, without a unit."""
        text = self.understood.text
        on = terms(self.understood.codes, "on").pattern
        numbers = [m for m in self.understood.of_kind("number") if not m.sense("threshold") and _ENDS_CLAUSE.match(text[m.end :])]
        return [m for m in numbers if re.search(rf"(?:{on})\s+$", text[: m.start])]

    def _mine(self, mention: Mention, kind: str) -> bool:
        sense = mention.sense(kind)
        if sense is None:
            return False
        return sense.team is None or any(s.kind == kind and s.team in {t.name for t in self.teams} for s in mention.senses)

    def _key(self, mention: Mention, spec: SlotSpec) -> str:
        return str(self._value(mention, spec))

    def _value(self, mention: Mention, spec: SlotSpec) -> JsonValue:
        for kind in (spec.type, _NEW_NAME.get(spec.type, ""), f"unknown_{spec.type}", "number"):
            sense = mention.sense(kind)
            if sense is not None:
                value = slug(str(sense.value)) if kind in _NEW_NAME.values() or kind.startswith("unknown_") else sense.value
                return self._resolved(value, spec.type)
        return None

    def _resolved(self, value: JsonValue, kind: SlotType) -> JsonValue:
        """'all free slots' and the like are looked up in the state."""
        if kind == "threshold" and isinstance(value, int | float) and _SHARE_LOW <= value <= _SHARE_HIGH:
            return round(value / 100, 6)
        if kind == "count" and value == "free":
            return self.facts.slots_free
        if kind == "version" and value == "latest":
            return self._latest() if "model_name" in self.playbook.slots else self._previous_version()
        return value

    def _decided(self, found: list[Mention], spec: SlotSpec) -> Mention | None:
        """Which of several values is meant: the one that is not denied, or the last after a word of correction."""
        kept = not_denied(self.understood, found)
        self.result.used += [m.span for m in self.understood.marks if m.kind == "negation" and self._is_denial(m.end, found)]
        if len({self._key(m, spec) for m in kept}) == 1:
            return kept[0]
        return kept[-1] if kept and corrected(self.understood, kept) else None

    @staticmethod
    def _is_denial(place: int, found: list[Mention]) -> bool:
        return any(0 <= m.start - place < _BEFORE_MENTION for m in found)

    # --- from what was said before, from the state, from the defaults

    def _from_before(self, name: str) -> bool:
        if name not in self.carried or self.carried[name] is None:
            return False
        spec = self.playbook.slots[name]
        if self.carried[name] == spec.default:
            return self._from_default(name, spec)
        self.result.take(name, self.carried[name], "before")
        return True

    def _from_state(self, name: str, spec: SlotSpec) -> bool:
        if name in self.result.rivals:
            return False
        options = self.options(spec)
        related = self._related(spec)
        if len(set(related)) == 1:
            self.result.take(name, related[0], "state")
            return True
        if (first := self._first_named(spec, options)) is not None:
            self.result.take(name, first, "state", f"{spec.type.capitalize()} {first} is taken: it is the first that was named here.")
            return True
        if spec.required and spec.existing and len(options) == 1 and self.pointing and spec.type in {"model", "endpoint", "job", "lease"}:
            self.result.take(name, options[0], "state", f"{spec.type.capitalize()} {options[0]} is taken: it is the only one there.")
            return True
        return False

    def _first_named(self, spec: SlotSpec, options: list[str]) -> str | None:
        """'the lease from the beginning': of those that are there, the one that the thread named first."""
        if spec.type not in {"lease", "job", "endpoint", "model"} or not spec.existing or not self.pointing:
            return None
        if not terms(self.understood.codes, "earliest").search(self.understood.text):
            return None
        return next((name for name in self.earlier if name in options), None)

    def options(self, spec: SlotSpec) -> list[str]:
        """What could be chosen for a slot."""
        if spec.type == "dataset":
            return [d.name for d in self.facts.datasets]
        if spec.type == "team":
            return [t.name for t in self.facts.teams]
        if spec.type == "version":
            return [str(m.version) for m in self._models() if m.model_name == self.result.values.get("model_name")]
        return list(dict.fromkeys(self._held(spec.type)))

    def _held(self, kind: SlotType) -> list[str]:
        """What the teams in view have of a kind."""
        by_kind: dict[str, list[str]] = {
            "model": [m.model_name for m in self._models()],
            "endpoint": [e.name for e in self._endpoints()],
            "job": [j.id for t in self.teams for j in t.jobs],
            "lease": [lease.id for t in self.teams for lease in t.leases],
        }
        return by_kind.get(kind, [])

    def _models(self) -> list[ModelFact]:
        return [m for t in self.teams for m in t.models]

    def _endpoints(self) -> list[EndpointFact]:
        return [e for t in self.teams for e in t.endpoints]

    def _named(self, kind: str) -> set[JsonValue]:
        return {s.value for m in self.understood.of_kind(kind) for s in m.senses if s.kind == kind}

    def _related(self, spec: SlotSpec) -> list[str]:
        """What the state ties to the names that were given: a model's dataset, a dataset's model, a model's endpoint."""
        if spec.type == "dataset":
            return self._related_datasets(spec)
        if spec.type == "model" and spec.existing:
            return self._related_models()
        if spec.type == "endpoint" and spec.existing:
            return self._related_endpoints()
        return []

    def _related_datasets(self, spec: SlotSpec) -> list[str]:
        models = self._named("model")
        related = [m.dataset for m in self._models() if m.model_name in models]
        if related and spec.required:
            self._use("model")
        return related

    def _related_models(self) -> list[str]:
        """Models trained on a dataset that is named, else those that a named endpoint serves."""
        datasets, endpoints = self._named("dataset"), self._named("endpoint")
        trained = [m.model_name for m in self._models() if m.dataset in datasets]
        related = trained or [e.model_name for e in self._endpoints() if e.name in endpoints]
        if related:
            self._use("dataset", "endpoint")
        return related

    def _related_endpoints(self) -> list[str]:
        """Endpoints that serve a model that is named, or one trained on a dataset that is named."""
        datasets = self._named("dataset")
        trained = {m.model_name for m in self._models() if m.dataset in datasets}
        related = [e.name for e in self._endpoints() if e.model_name in self._named("model") | trained]
        if related:
            self._use("dataset", "model")
        return related

    def _use(self, *kinds: str) -> None:
        """Count the mentions of some kinds as used: they led to a value, though they are not the value."""
        self.result.used += [m.span for kind in kinds for m in self.understood.of_kind(kind)]

    def _from_default(self, name: str, spec: SlotSpec) -> bool:
        if spec.default is None or name in self.result.rivals:
            return False
        value = self._default(name, spec)
        if value is None:
            return False
        self.result.take(name, value, "default", spec.note)
        return True

    def _default(self, name: str, spec: SlotSpec) -> JsonValue:
        if spec.default == "latest":
            return self._latest()
        if spec.default == "endpoint_of_model":
            return self._endpoint_of_model()
        if spec.default == "previous_version_of_endpoint":
            return self._previous_version()
        if not isinstance(spec.default, str):
            return spec.default
        return self._from_template(spec.default, spec)

    def _from_template(self, template: str, spec: SlotSpec) -> str | None:
        """A name made from other slots, once they all have values; a model that is live keeps its endpoint."""
        values = self.result.values
        if any(values.get(slot) is None for slot, _ in _TEMPLATE.findall(template)):
            return None
        if spec.type == "endpoint":
            return self._endpoint_of_model() or render(template, values)
        return render(template, values)

    def _previous_version(self) -> int | None:
        endpoint = next((e for e in self._endpoints() if e.name == self.result.values.get("endpoint")), None)
        return endpoint.previous_version if endpoint else None

    def _latest(self) -> int | None:
        return max((m.version for m in self._models() if m.model_name == self.result.values.get("model_name")), default=None)

    def _endpoint_of_model(self) -> str | None:
        """Where the model is live already, else a name made from what it reads."""
        model = self.result.values.get("model_name")
        live = [e.name for e in self._endpoints() if e.model_name == model]
        if live:
            return live[0] if len(set(live)) == 1 else None
        datasets = [m.dataset for m in self._models() if m.model_name == model]
        return slug(datasets[0]) if datasets else None

    def _unknowns(self) -> None:
        """Names that the factory lacks, where the playbook has a slot of that kind without a value from the words."""
        for mention in self.understood.mentions:
            kind = mention.senses[0].kind.removeprefix("unknown_")
            if not mention.unknown:
                continue
            slots = [n for n, s in self.playbook.slots.items() if s.type == kind and (s.existing or kind == "algorithm")]
            if kind == "team" or (slots and all(self.result.sources.get(n) != "words" for n in slots)):
                self.result.unknown[kind] = str(mention.senses[0].value)
                self.result.used.append(mention.span)


def render(template: str, values: dict[str, JsonValue]) -> str:
    """Fill a template: `{slot}`, `{slot|filter}`, and `[...]`, which is left out when a slot in it has no value."""

    def optional(match: re.Match[str]) -> str:
        return match[1] if all(values.get(slot) is not None for slot, _ in _TEMPLATE.findall(match[1])) else ""

    def value(match: re.Match[str]) -> str:
        return _filtered(values.get(match[1]), match[2])

    return _TEMPLATE.sub(value, re.sub(r"\[([^\]]*)\]", optional, template))


def _filtered(value: JsonValue, name: str | None) -> str:
    if name == "slug":
        return slug(str(value))
    if name == "percent" and isinstance(value, int | float):
        return f"{value * 100:.10g} %"
    if name == "duration" and isinstance(value, int | float):
        return _spoken_duration(int(value))
    return "" if value is None else str(value)


def _spoken_duration(seconds: int) -> str:
    """Hours and minutes; seconds only where there is less than a minute."""
    hours, minutes = divmod(seconds // 60, 60)
    if hours and minutes:
        return f"{hours} h {minutes} min"
    if hours:
        return f"{hours} h"
    return f"{minutes} min" if minutes else f"{seconds} s"

"""Fixes a turn's scope from the asker's words and the factory's typed facts: one constrained model call, then checks in code."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, TypeAdapter, ValidationError

from agents.desk import Desk
from agents.planning.interface import Draft, Facts, Outcome, Ranking
from agents.planning.languages import languages_of
from agents.planning.quantities import quantities_in
from agents.planning.text import fold
from agents.scope import COMPANIONS, DEFAULT_LIMITS, pair, plain, scope_of
from factory_infra.saas.models.models import ChatCall, ChatMessage
from tools.plan import Effect, Scope
from tools.ports import JsonObject
from tools.toolbox import TOOLS

NOTHING = Scope(tools=())
EFFECTS = tuple(sorted(tool.name for tool in TOOLS.values() if tool.effect is not Effect.READ))
OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)
THINGS_MAX = 120
PART = re.compile(r"[^\W_]{3,}")
PROMPT = (
    "Say what the last message of a person asks to be changed in their factory, and nothing beyond it. tools: those with an effect "
    "that it asks for, none where it only asks to know something. objects: every name of the message that an effect uses, makes or "
    "changes; a thing that the message means without naming it by its reference, such as <lease 1>. slots, seconds, versions: as the "
    "message says them, null or empty where it does not."
)


class ScopeAnswer(BaseModel):
    """What the model made of the request; each part is checked against the words."""

    tools: list[str]
    objects: list[str] = []
    slots: int | None = None
    seconds: int | None = None
    versions: list[int] = []


SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "tools": {"type": "array", "items": {"type": "string", "enum": list(EFFECTS)}},
        "objects": {"type": "array", "items": {"type": "string"}},
        "slots": {"type": ["integer", "null"]},
        "seconds": {"type": ["integer", "null"]},
        "versions": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["tools", "objects", "slots", "seconds", "versions"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Thing:
    """One name of the facts, and how it is written where names must not be read."""

    name: str
    kind: str
    ref: str
    words: tuple[str, ...] = ()


def things_of(facts: Facts) -> list[Thing]:
    """Every name that the facts hold, once a kind."""
    counts: dict[str, int] = {}

    def made(kind: str, name: str, *words: str) -> Thing:
        counts[kind] = counts.get(kind, 0) + 1
        return Thing(name, kind, f"<{kind} {counts[kind]}>", words)

    found = [made("dataset", each.name, *each.aliases) for each in facts.datasets]
    for team in facts.teams:
        found.append(made("team", team.name))
        found += [made("model", name) for name in dict.fromkeys(each.model_name for each in team.models)]
        found += [made("endpoint", each.name) for each in team.endpoints]
        found += [made("lease", each.id) for each in team.leases]
        found += [made("job", each.id, each.name) for each in team.jobs]
    return found


def folded(text: str) -> str:
    """A text to compare names in: one form of each letter, no case."""
    return unicodedata.normalize("NFKC", text).casefold()


def occurs(name: str, request: str) -> bool:
    """Whether the request names a thing, as a word of its own."""
    return bool(name) and re.search(rf"(?<![\w-]){re.escape(folded(name))}(?![\w-])", folded(request)) is not None


def shown_facts(things: list[Thing], request: str) -> str:
    """The facts for the scope call: a name only where the request has it, else a reference with the words that both share."""
    said = set(PART.findall(folded(request)))
    named, alike, others = [], [], []
    for thing in things:
        shared = sorted({part for word in (thing.name, *thing.words) for part in PART.findall(folded(word))} & said)
        if plain(thing.name) and occurs(thing.name, request):
            named.append(f"- {thing.kind} {thing.name}")
        elif shared:
            alike.append(f"- {thing.ref}, called something with: {', '.join(shared)}")
        else:
            others.append(f"- {thing.ref}")
    return "\n".join([*named, *alike, *others][:THINGS_MAX])


async def fix_scope(desk: Desk) -> Scope:
    """Fix the scope of a turn. Only the asker's words, names that they hold, and references are read; no result of any tool.

    A model that does not answer, or nonsense, leaves it to the playbooks; what they do not understand may only read.
    """
    turn, things = desk.turn, things_of(desk.situation.facts)
    before = "\n".join(f"- {text}" for text in turn.memory.recent)
    context = f"Earlier messages of the person:\n{before}\n\n" if before else ""
    request = "\n".join((*turn.memory.recent, turn.text))
    messages = [
        ChatMessage(role="system", content=f"{PROMPT}\n\n{context}What there is:\n{shown_facts(things, request)}"),
        ChatMessage(role="user", content=turn.text),
    ]
    answer = await desk.ask(ChatCall.model_validate({"messages": messages, "schema": SCHEMA, "tokens_max": 512}), "scope")
    try:
        found = ScopeAnswer.model_validate_json(answer.content) if answer is not None else None
    except ValidationError:
        found = None
    return grounded(found, request, desk.situation.facts) if found is not None else await scope_by_playbook(desk)


async def scope_by_playbook(desk: Desk) -> Scope:
    """The scope of what the playbooks make of the same words."""
    turn, facts = desk.turn, desk.situation.facts.model_dump(mode="json")
    words: JsonObject = {"text": turn.text, "pending": None, "recent": list(turn.memory.recent)}
    ranking = Ranking.model_validate(await desk.ports.call("rank_request", {"turn": words, "facts": facts}))
    settled: JsonObject = {"ranking": ranking.model_dump(mode="json"), "answers": {}, "facts": facts}
    outcome = OUTCOME.validate_python((await desk.ports.call("settle_request", settled))["outcome"])
    return scope_of(outcome.steps) if isinstance(outcome, Draft) else NOTHING


def grounded(answer: ScopeAnswer, request: str, facts: Facts) -> Scope:
    """Keep of an answer what the request's words or the facts bear out: tools that are there, names that occur, numbers that were said."""
    tools = [tool for tool in dict.fromkeys(answer.tools) if tool in EFFECTS]
    tools += [each for tool in tools for each in COMPANIONS.get(tool, ())]
    by_ref = {thing.ref: thing.name for thing in things_of(facts)}
    objects = [by_ref.get(name, name) for name in answer.objects if name in by_ref or occurs(name, request)]
    names = [name for name in dict.fromkeys(objects) if plain(name)]
    said = Said(request, facts)
    versions = [pair(name, version) for name in names for version in said.versions(name, answer.versions)]
    limits = {name: said.limit(name, getattr(answer, name)) for name in DEFAULT_LIMITS} if "leases.acquire" in tools else {}
    teams = [team.name for team in facts.teams if occurs(team.name, request)]
    every = dict.fromkeys((*names, *versions, *derived(names, tools), *teams))
    return Scope(tools=tuple(dict.fromkeys(tools)), objects=tuple(every), limits=limits)


def derived(names: list[str], tools: list[str]) -> Iterator[str]:
    """The names that something new gets where the request leaves it open, as the playbooks call it."""
    if "training.run" in tools or "deployments.deploy" in tools:
        for name in names:
            slug = re.sub(r"[^a-z0-9]+", "-", folded(name)).strip("-")
            yield from (slug, f"{slug}-classifier", slug.removesuffix("-classifier"))


class Said:
    """The numbers of a request, read by code in any of the languages that the playbooks know."""

    def __init__(self, request: str, facts: Facts) -> None:
        text, self._facts = fold(request), facts
        names = [match.span() for thing in things_of(facts) for match in re.finditer(re.escape(folded(thing.name)), text)]
        senses = [sense for each in quantities_in(text, languages_of(text), names) for sense in each.senses]
        self._read = [(sense.kind, sense.value) for sense in senses if isinstance(sense.value, int | float)]
        self._numbers = {value for _, value in self._read} | {int(digits) for digits in re.findall(r"(?<![\w.,-])\d{1,9}(?![\w,-])", text)}

    def limit(self, name: str, answered: int | None) -> int:
        """The most of a number: what the request says, else the least that is usual."""
        if answered is not None and answered in self._numbers:
            return answered
        kind = {"slots": "count", "seconds": "duration"}[name]
        return max((int(value) for found, value in self._read if found == kind), default=DEFAULT_LIMITS[name])

    def versions(self, model_name: str, answered: list[int]) -> list[int]:
        """Versions of a model that may be meant: those said; where none is, the best and the newest that the facts hold."""
        said = {int(value) for kind, value in self._read if kind == "version"}
        meant = {version for version in answered if version in self._numbers} or said
        if meant:
            return sorted(meant)
        known = [each for team in self._facts.teams for each in team.models if each.model_name == model_name]
        if not known:
            return []
        best = max(known, key=lambda each: (each.accuracy or 0.0, each.version))
        return sorted({best.version, max(each.version for each in known)})

"""What a message is to what came before it: small talk, an answer, an amendment, a withdrawal, or a request of its own."""

import re
from typing import Literal

from pydantic import JsonValue

from agents.planning.fill import Filler
from agents.planning.interface import Pending
from agents.planning.languages import LANGUAGES, terms
from agents.planning.mentions import Mention, Sense, Understood
from agents.planning.playbook import Playbook, SlotType
from agents.planning.text import fold

ALL = tuple(LANGUAGES)
CONFIRM = "confirm"
SmallTalk = Literal["greeting", "thanks", "help", "never_mind", "yes", "no", "nothing"]
Follow = Literal["withdraw", "agree", "decline", "answer", "amend", "extend", "fresh"]
_NUMERIC = {"count", "threshold", "version", "duration"}
_WORDS_LEFT_MAX = 2
_SHARE_MIN = 50


def _only(text: str, section: str) -> bool:
    """Whether a text is made of a section's terms and at most a courtesy more."""
    bare = terms(ALL, section).sub(" ", text)
    if bare == text:
        return False
    bare = terms(ALL, "greeting").sub(" ", terms(ALL, "polite").sub(" ", bare))
    words = re.findall(r"\w+", bare)
    return len(words) <= _WORDS_LEFT_MAX and len(words) < len(re.findall(r"\w+", text)) and not re.search(r"\d", bare)


def small_talk(understood: Understood) -> SmallTalk | None:
    """What kind of small talk a text is, if it asks for nothing."""
    text = understood.text
    if not re.search(r"\w", text):
        return "nothing"
    if any(not mention.sense("number") for mention in understood.mentions):
        return None
    order: tuple[SmallTalk, ...] = ("never_mind", "help", "thanks", "yes", "no", "greeting")
    for kind in order:
        if terms(ALL, kind).fullmatch(text.strip(" .!?,;)(。！")):
            return kind
    if _only(text, "help"):
        return "help"
    if not re.search(r"\w", terms(ALL, "never_mind").sub(" ", text)):
        return "never_mind"
    if understood.asked:
        return None
    return next((kind for kind in order if _only(text, kind)), None)


def follow(understood: Understood, pending: Pending, playbook: Playbook, talk: SmallTalk | None) -> Follow:
    """How a message relates to what is open."""
    if talk == "never_mind":
        return "withdraw"
    if talk in {"yes", "no"} and not understood.mentions:
        return "agree" if talk == "yes" else "decline"
    if _starts_anew(understood, playbook):
        return "extend" if _goes_on(understood, pending) else "fresh"
    if _was_refused(pending) and not understood.mentions and not understood.forbidden:
        return "fresh"
    if pending.asked == CONFIRM and terms(ALL, "yes").match(understood.text):
        return "agree"
    return "answer" if pending.asked and pending.asked != CONFIRM else "amend"


def _starts_anew(understood: Understood, playbook: Playbook) -> bool:
    """Whether a message asks for something else than what is open, or for the same in full."""
    own = understood.asked - {*playbook.does, *playbook.mentions}
    if own - _soft(understood, own):
        return True
    return bool(understood.asked & set(playbook.does)) and _is_whole(understood, playbook)


def _was_refused(pending: Pending) -> bool:
    """Whether nothing is asked and no card waits: what was refused may be amended, and stands in nobody's way."""
    return pending.asked is None and not pending.plan_id


def _goes_on(understood: Understood, pending: Pending) -> bool:
    """'and then deploy it': a further task that names nothing, and so is about the plan that waits."""
    named = any(sense.kind not in _NUMERIC | {"number"} for mention in understood.mentions for sense in mention.senses)
    waits = pending.asked is None and pending.plan_id != ""
    return waits and not named and not understood.question and terms(ALL, "it").search(understood.text) is not None


def without_leading_no(understood: Understood, pending: Pending) -> Understood:
    """'no, three slots': the 'no' takes back what is open and denies nothing of what follows; of a yes-or-no question it is the answer."""
    first = re.match(rf"\W*(?:(?:oh|ah|hm+|ach|eh)\W+)?(?:(?:{terms(ALL, 'no').pattern})[\s,]*)+(?<=[\s,])[,.;:!\s-]*\w", understood.text)
    if pending.asked == CONFIRM or first is None:
        return understood
    marks = tuple(m for m in understood.marks if m.kind != "negation" or m.end > first.end())
    return understood.model_copy(update={"marks": marks})


def _soft(understood: Understood, own: frozenset[str]) -> frozenset[str]:
    """Reading words such as 'what' do not make an answer a request of its own unless it is a question."""
    return frozenset() if understood.question else own & {"show", "cost", "best", "find"}


def _is_whole(understood: Understood, playbook: Playbook) -> bool:
    """Whether a message that repeats the verb also says what it needs, and so starts anew."""
    needed = {spec.type for spec in playbook.slots.values() if spec.required}
    return bool(needed) and all(understood.of_kind(kind) for kind in needed) and len(understood.text.split()) > 3


def with_bare_numbers(understood: Understood, pending: Pending, playbook: Playbook) -> Understood:
    """Give numbers without a unit the meaning that the open slots suggest."""
    meant = _number_meaning(understood, pending, playbook)
    mentions = tuple(_meaning(m, meant) if _is_bare(m) else m for m in understood.mentions)
    return understood.model_copy(update={"mentions": mentions})


def _is_bare(mention: Mention) -> bool:
    return mention.sense("number") is not None


def _number_meaning(understood: Understood, pending: Pending, playbook: Playbook) -> str:
    types = {name: spec.type for name, spec in playbook.slots.items()}
    if pending.asked in types:
        return types[pending.asked] if types[pending.asked] in _NUMERIC else "number"
    numbers = [m.sense("number") for m in understood.mentions if _is_bare(m)]
    values = [sense.value for sense in numbers if sense and isinstance(sense.value, int | float)]
    return _renewed_kind(values, pending, types) or _likeliest_kind(values, set(types.values()))


def _renewed_kind(values: list[int | float], pending: Pending, types: dict[str, SlotType]) -> str | None:
    """'not 2, 3': the kind of the open slot whose present value is among the numbers."""
    kinds = {"count", "version", "threshold"}
    return next((kind for name, kind in types.items() if kind in kinds and _names_current(values, pending.slots.get(name), kind)), None)


def _likeliest_kind(values: list[int | float], kinds: set[SlotType]) -> str:
    """What numbers mean by their size, among the kinds that the playbook has."""
    if "threshold" in kinds and any(0 < value < 1 or value >= _SHARE_MIN for value in values):
        return "threshold"
    return next((kind for kind in ("count", "version") if kind in kinds), "number")


def _names_current(values: list[int | float], current: JsonValue, kind: str) -> bool:
    """Whether one of several numbers is the present value."""
    if not isinstance(current, int | float) or len(values) < 2:
        return False
    return current in values or (kind == "threshold" and round(current * 100, 6) in values)


def _meaning(mention: Mention, kind: str) -> Mention:
    sense = mention.sense("number")
    if sense is None or not isinstance(sense.value, int | float):
        return mention
    value: JsonValue = sense.value
    if kind == "threshold":
        value = sense.value if sense.value <= 1 else round(sense.value / 100, 6)
    if kind == "duration":
        value = sense.value * 3600
    return mention.model_copy(update={"senses": (Sense(kind=kind, value=value),)})


def named_option(text: str, filler: Filler, playbook: Playbook, asked: str) -> str | None:
    """The option that an answer names, by itself or among few other words."""
    spec = playbook.slots.get(asked)
    if spec is None:
        return None
    options = {fold(option): option for option in filler.options(spec)}
    words = re.split(r"[\s,.;!?]+", fold(text))
    hits = {options[word] for word in words if word in options}
    return hits.pop() if len(hits) == 1 else None


def still_true(pending: Pending, playbook: Playbook, understood: Understood) -> dict[str, JsonValue]:
    """The open slots, less those that were derived from a value which the message replaces."""
    renewed = {name for name, spec in playbook.slots.items() if understood.of_kind(spec.type) and name in pending.slots}
    team_changes = bool(understood.of_kind("team"))
    if not renewed and not team_changes:
        return dict(pending.slots)
    derived = {name for name, spec in playbook.slots.items() if isinstance(spec.default, str) and _derives(spec.default, renewed, playbook)}
    return {name: value for name, value in pending.slots.items() if name not in derived and not (team_changes and name == "team")}


def _derives(default: str, renewed: set[str], playbook: Playbook) -> bool:
    computed = default in {"latest", "endpoint_of_model", "previous_version_of_endpoint"}
    types = {playbook.slots[name].type for name in renewed}
    return (computed and bool(types & {"model", "endpoint", "dataset"})) or any("{" + name in default for name in renewed)

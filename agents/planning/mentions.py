"""What was found in a request: names, quantities and marks, each with its place in the folded text."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from agents.planning.text import overlaps

MarkKind = Literal["negation", "condition", "time", "all", "unsupported", "metric", "below", "money", "correction"]


class Frozen(BaseModel):
    """A finding: unchanged once made."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Sense(Frozen):
    """One thing that a mention may stand for."""

    kind: str
    value: JsonValue
    team: str | None = None


class Mention(Frozen):
    """A piece of the text that names something or gives a quantity."""

    start: int
    end: int
    text: str
    senses: tuple[Sense, ...]
    note: str = ""

    @property
    def span(self) -> tuple[int, int]:
        """Where it stands in the folded text."""
        return self.start, self.end

    def sense(self, kind: str) -> Sense | None:
        """The sense of a kind, if it has one."""
        return next((sense for sense in self.senses if sense.kind == kind), None)

    @property
    def unknown(self) -> bool:
        """Whether it names something that the factory does not have."""
        return self.senses[0].kind.startswith("unknown_")


class Action(Frozen):
    """A strong verb, with the actions that it may mean."""

    start: int
    end: int
    text: str
    concepts: tuple[str, ...]
    negated: bool = False

    @property
    def span(self) -> tuple[int, int]:
        """Where it stands in the folded text."""
        return self.start, self.end


class Mark(Frozen):
    """A small word that changes what is asked."""

    kind: MarkKind
    start: int
    end: int
    text: str

    @property
    def span(self) -> tuple[int, int]:
        """Where it stands in the folded text."""
        return self.start, self.end


class Understood(Frozen):
    """Everything that code made of one text."""

    text: str
    codes: tuple[str, ...]
    mentions: tuple[Mention, ...]
    actions: tuple[Action, ...]
    things: frozenset[str]
    marks: tuple[Mark, ...]
    question: bool = False
    hypothetical: bool = False
    past: bool = False
    slot_word: Literal["gpu", "core", "slot"] | None = None
    quiet: tuple[tuple[int, int], ...] = ()

    def of_kind(self, kind: str) -> list[Mention]:
        """Mentions that may stand for a kind, in the order of the text."""
        return [mention for mention in self.mentions if mention.sense(kind)]

    @property
    def asked(self) -> frozenset[str]:
        """Actions that are named and not negated."""
        return frozenset(concept for action in self.actions if not action.negated for concept in action.concepts)

    @property
    def forbidden(self) -> frozenset[str]:
        """Actions that are negated and nowhere asked for."""
        return frozenset(concept for action in self.actions if action.negated for concept in action.concepts) - self.asked


def free_of(span: tuple[int, int], taken: list[tuple[int, int]]) -> bool:
    """Whether a span touches none of those taken."""
    return not any(overlaps(span, other) for other in taken)

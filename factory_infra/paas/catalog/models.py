"""What the catalog lists, who sees it, and what is asked of it."""

from datetime import datetime
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

SHARED = "shared"
"""The tenant of what the platform itself gives to every team: the datasets that ship, its tools and agents."""

Kind = Literal["service", "model", "dataset", "feature", "pipeline", "endpoint", "document", "agent", "tool"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Visibility = Literal["private", "team", "organisation", "shared"]
"""Who sees that an entry is there: its owner, its team, the teams of its team's organisation, every team."""
Access = Literal["open", "request"]
"""Whether who sees an entry also sees what is in it, or must be granted it first."""
Level = Literal["good", "fair", "poor", "neutral"]

BLUEPRINT_TAG = "blueprint"
TAGS_MAX = 20
BADGES_MAX = 10
FACTS_MAX = 60
Tag = Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True, to_lower=True)]


class Badge(BaseModel):
    """One judgement at a glance: of quality, of cost, of trust."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=40, pattern=r"^[a-z][a-z0-9-]*$", description="What is judged: quality, cost, fresh, …")
    value: str = Field(max_length=80, description="In words or numbers, with units.")
    level: Level = "neutral"
    basis: str = Field(default="", max_length=200, description="From what it was derived.")


class Slot(BaseModel):
    """What whoever uses a blueprint may or must say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["text", "int", "float", "flag"] = "text"
    default: JsonValue = None
    required: bool = False
    description: str = Field(default="", max_length=200)
    choices: list[str] = Field(default=[], max_length=50)
    least: float | None = None
    most: float | None = None


class BlueprintStep(BaseModel):
    """A step of the plan that a blueprint becomes; `{slot}` in an argument stands for a slot's value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=40)
    tool: str = Field(min_length=1, max_length=100)
    agent: str = Field(min_length=1, max_length=60)
    summary: str = Field(max_length=300)
    arguments: dict[str, JsonValue] = {}
    after: list[str] = Field(default=[], max_length=20)
    always: bool = False
    gate: bool = False


class Blueprint(BaseModel):
    """A way of doing something, ready to become a plan."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: list[BlueprintStep] = Field(min_length=1, max_length=30)
    slots: dict[str, Slot] = Field(default={}, max_length=30)


class CatalogEntry(BaseModel):
    """One thing that a team can find."""

    id: str = Field(min_length=1, max_length=300)
    kind: Kind
    tenant: str = Field(max_length=64)
    name: str = Field(max_length=200)
    description: str = Field(max_length=4000)
    version: str = Field(default="", max_length=80)
    owner: str = Field(default="", max_length=160, description="Who answers for it: a person or a key, as events name them.")
    tags: list[Tag] = Field(default=[], max_length=TAGS_MAX)
    badges: list[Badge] = Field(default=[], max_length=BADGES_MAX)
    facts: dict[str, JsonValue] = Field(default={}, max_length=FACTS_MAX)
    url: str = Field(default="", max_length=2000)
    visibility: Visibility = "team"
    access: Access = "open"
    blueprint: Blueprint | None = None


class Viewer(BaseModel):
    """For whom the catalog is read."""

    model_config = ConfigDict(frozen=True)

    teams: tuple[str, ...] | None = Field(description="None for the platform itself and for administrators, who see every team.")
    actor: str = Field(default="", description="Who: sees what is private to this name.")

    @classmethod
    def of(cls, *teams: str, actor: str = "") -> "Viewer":
        """For these teams."""
        return cls(teams=teams, actor=actor)


PLATFORM_VIEW = Viewer(teams=None)


class Filters(BaseModel):
    """Exact conditions, all of which must hold; what is left out asks nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind | None = None
    owner: str | None = Field(default=None, max_length=160)
    tag: str | None = Field(default=None, max_length=60)
    badge: str | None = Field(default=None, max_length=60, description="NAME, or NAME:LEVEL such as quality:good.")
    tenant: str | None = Field(default=None, max_length=64)
    version: str | None = Field(default=None, max_length=80)

    @property
    def anything(self) -> bool:
        """Whether any is set."""
        return any(value is not None for value in self.model_dump().values())


NO_FILTERS = Filters()


class LexicalHit(BaseModel):
    """An entry that shares words with a query."""

    id: str
    score: float
    exact: bool = Field(description="The query holds the entry's whole name.")


class StaleEntry(BaseModel):
    """An entry that the index has not seen in the form that it got at `updated_at`."""

    entry: CatalogEntry
    updated_at: datetime
    removed: bool
    audiences: list[str] = Field(default=[], description="The parts of the index that it belongs into.")
    indexed_in: list[str] = Field(default=[], description="Those that it is in, in an older form.")
    text: str = Field(default="", description="A document's own words.")


class Dataset(BaseModel):
    """A dataset that a training job can read."""

    name: str
    description: str
    task: Literal["classification"] = "classification"
    rows: int
    features: int
    classes: int
    aliases: list[str] = []

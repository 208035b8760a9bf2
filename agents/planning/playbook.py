"""What a playbook is: one markdown file that says which words ask for it, what it needs and which steps it takes."""

import re
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from agents.planning.languages import LANGUAGES
from factory_infra.errors import InvalidInput
from tools.plan import Effect

PLAYBOOKS_DIR = Path(__file__).parent.parent / "playbooks"

SlotType = Literal[
    "team",
    "dataset",
    "model",
    "version",
    "endpoint",
    "count",
    "threshold",
    "job",
    "lease",
    "pool",
    "plan",
    "duration",
    "algorithm",
    "choice",
    "text",
    "name",
]
_FRONT = re.compile(r"\A---\n(?P<front>.*?)\n---\n(?P<body>.*)\Z", re.DOTALL)
_SLOT = re.compile(r"\{(\w+)(?:\|\w+)?\}")
_BUILT_IN = {"request", "team"}


class Strict(BaseModel):
    """A part of the front matter: closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SlotSpec(Strict):
    """One value that the steps need."""

    type: SlotType
    required: bool = False
    default: str | int | float | None = Field(default=None, description="A value or a template of other slots, taken with a note.")
    question: str = Field(default="", description="Asked when it is required and missing.")
    existing: bool = Field(default=True, description="False where a new name may be given, or a job that has ended.")
    words: dict[str | int, dict[str, tuple[str, ...]]] = Field(default={}, description="Of a choice: value → language → terms.")
    note: str = Field(default="", description="A sentence for the card when the default was taken.")


class StepSpec(Strict):
    """One step; arguments are templates of slots, or references to an earlier step's result."""

    id: str
    tool: str
    agent: str
    summary: str
    arguments: dict[str, JsonValue] = {}
    after: tuple[str, ...] = ()
    effect: Effect = Effect.READ
    runs_as: Literal["activity", "job"] = "activity"
    gate: bool = False
    always: bool = False
    postcondition: str = ""
    undo: str = ""
    only_with: str | None = Field(default=None, description="A slot without which the step is left out.")
    only_without: str | None = Field(default=None, description="A slot with which the step is left out.")


class Playbook(Strict):
    """A known way to a known outcome."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    agent: str
    title: str
    examples: tuple[str, ...] = Field(min_length=3)
    does: tuple[str, ...] = Field(min_length=1, description="The actions that it carries out; a request for another is not covered.")
    mentions: tuple[str, ...] = Field(default=(), description="Actions that may be named because they are part of it.")
    before: tuple[str, ...] = Field(default=(), description="Those of `mentions` that are another task when they come after what it does.")
    about: tuple[str, ...] = Field(default=(), description="The things that it is about.")
    words: dict[str, dict[str, tuple[str, ...]]] = Field(
        default={}, description="Action or thing → language → terms; all files' lists are joined."
    )
    slots: dict[str, SlotSpec] = {}
    steps: tuple[StepSpec, ...] = Field(min_length=1)
    notes: tuple[str, ...] = ()
    all_teams: bool = Field(default=False, description="A reading that may go over all teams that the asker sees.")
    any_team: bool = Field(default=False, description="A reading whose answer is the same for every team: none need be named.")
    answer_style: Literal["plan", "reading"] = "plan"
    body: str = ""

    @cached_property
    def effectful(self) -> bool:
        """Whether any step changes the world."""
        return any(step.effect is not Effect.READ for step in self.steps)


def _remedy(problem: str) -> InvalidInput:
    return InvalidInput(
        problem, remedy="Mend the front matter; docs and the other files in agents/playbooks show the form.", code="playbook_invalid"
    )


def _references(value: JsonValue) -> tuple[set[str], set[str]]:
    """Slots and steps that an argument refers to."""
    if isinstance(value, str):
        return set(_SLOT.findall(value)), set()
    if isinstance(value, dict):
        return set(), {str(value.get("from_step"))}
    return set(), set()


def _check_steps(playbook: Playbook, path: Path) -> None:
    seen: set[str] = set()
    for step in playbook.steps:
        names, steps = set(_SLOT.findall(step.summary)), set(step.after)
        for value in step.arguments.values():
            more_names, more_steps = _references(value)
            names, steps = names | more_names, steps | more_steps
        names |= {slot for slot in (step.only_with, step.only_without) if slot}
        if unknown := sorted(names - set(playbook.slots) - _BUILT_IN):
            raise _remedy(f"{path.name}: steps.{step.id}: no slot is named {unknown[0]!r}.")
        if missing := sorted(steps - seen):
            raise _remedy(f"{path.name}: steps.{step.id}: no earlier step is named {missing[0]!r}.")
        seen.add(step.id)


def _check_words(playbook: Playbook, path: Path) -> None:
    chosen = {f"{name}.{value}": words for name, slot in playbook.slots.items() for value, words in slot.words.items()}
    for concept, languages in {**playbook.words, **chosen}.items():
        if unknown := sorted(set(languages) - set(LANGUAGES)):
            raise _remedy(f"{path.name}: words.{concept}: no language file {unknown[0]!r}; there are {', '.join(sorted(LANGUAGES))}.")


def parse_playbook(path: Path) -> Playbook:
    """Read one file. Raises InvalidInput naming the file, the field and the remedy."""
    match = _FRONT.match(path.read_text(encoding="utf-8"))
    if match is None:
        raise _remedy(f"{path.name}: the file does not begin with front matter between two lines of '---'.")
    try:
        front = yaml.safe_load(match["front"])
        playbook = Playbook.model_validate({**front, "body": match["body"].strip()})
    except yaml.YAMLError as error:
        raise _remedy(f"{path.name}: the front matter is not YAML: {error}.") from error
    except (ValidationError, TypeError) as error:
        if isinstance(error, TypeError):
            raise _remedy(f"{path.name}: the front matter is not a mapping.") from error
        first = error.errors()[0]
        raise _remedy(f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
    _check_steps(playbook, path)
    _check_words(playbook, path)
    return playbook


def load_playbooks(folder: Path = PLAYBOOKS_DIR) -> list[Playbook]:
    """Read every playbook of a folder, by file name. Raises InvalidInput for a bad file or two of one name."""
    playbooks = [parse_playbook(path) for path in sorted(folder.glob("*.md")) if path.name != "README.md"]
    twice = [name for name, count in Counter(p.name for p in playbooks).items() if count > 1]
    if twice:
        raise _remedy(f"Two files in {folder.name} bear the name {twice[0]!r}.")
    known = {concept for p in playbooks for concept in p.words}
    for p in playbooks:
        if undefined := sorted({*p.does, *p.mentions, *p.about} - known):
            raise _remedy(f"{p.name}: no file gives words for {undefined[0]!r}.")
    return playbooks

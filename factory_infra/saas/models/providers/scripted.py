"""A model that says what a script says: for tests, demonstrations and machines without a model."""

import asyncio
import json
import re
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from factory_infra.errors import InvalidInput, Unavailable
from factory_infra.saas.models.checks import checked, prompt_tokens_estimated, tokens_estimated
from factory_infra.saas.models.models import ChatAnswer, ChatCall, ToolCall
from factory_infra.settings import Settings


class Rule(BaseModel):
    """One rule: the first whose pattern is found in the last message answers. Exactly one of the four answers is given."""

    model_config = ConfigDict(extra="forbid")

    when: str = Field(default="", description="A regular expression, case-insensitive; empty matches everything.")
    answer: str | None = None
    choice: str | None = None
    tool_calls: list[ToolCall] | None = None
    fail: Literal["unavailable", "nonsense"] | None = None
    delay: float = Field(default=0.0, ge=0.0, le=600.0, description="Seconds before the answer.")
    times: int | None = Field(default=None, ge=1, description="Answers at most so often in one process, then later rules match.")

    @field_validator("when")
    @classmethod
    def _compiles(cls, value: str) -> str:
        re.compile(value)
        return value

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if sum(value is not None for value in (self.answer, self.choice, self.tool_calls, self.fail)) != 1:
            raise ValueError("a rule has exactly one of answer, choice, tool_calls and fail")
        return self


class Script(BaseModel):
    """The rules of one scripted model, in order."""

    model_config = ConfigDict(extra="forbid")

    rules: list[Rule]


BUILT_IN: dict[str, Script] = {
    "first-choice": Script(rules=[]),
    "unavailable": Script(rules=[Rule(fail="unavailable")]),
    "nonsense": Script(rules=[Rule(fail="nonsense")]),
}
"""Behaviours without a file. A call that no rule matches gets its first choice, or the smallest JSON that fits its schema."""


class Scripted:
    """Deterministic: the same calls in the same order get the same answers. `NAME` is a built-in behaviour or `script=PATH`."""

    def __init__(self, name: str, settings: Settings, size: Literal["small", "large"] | None = None) -> None:
        del settings
        self.name = f"scripted:{name}"
        self.size: Literal["small", "large"] = size or "small"
        self._script = load_script(name)
        self._used = [0] * len(self._script.rules)

    async def answer(self, call: ChatCall) -> ChatAnswer:
        """Answer one call; see the interface. Tokens are counted by us and marked as estimated."""
        rule = self._match(call.messages[-1].content)
        await asyncio.sleep(rule.delay)
        if rule.fail == "unavailable":
            raise Unavailable(f"{self.name} is told to be unavailable.", remedy="Change the script.", code="model_unavailable")
        content = rule.answer or rule.choice or ""
        if rule.fail == "nonsense":
            content = "\u0000 nonsense"
        elif not content and not rule.tool_calls:
            content = default_answer(call)
        return checked(
            call,
            ChatAnswer(
                content=content,
                tool_calls=rule.tool_calls or [],
                tokens_in=prompt_tokens_estimated(call.messages),
                tokens_out=tokens_estimated(content),
                model=self.name,
                estimated=True,
            ),
        )

    def _match(self, text: str) -> Rule:
        for index, rule in enumerate(self._script.rules):
            worn_out = rule.times is not None and self._used[index] >= rule.times
            if not worn_out and re.search(rule.when, text, re.IGNORECASE):
                self._used[index] += 1
                return rule
        return Rule(answer="")


def load_script(name: str) -> Script:
    """Return a built-in behaviour, or read `script=PATH` (YAML or JSON). Raises InvalidInput naming what is wrong."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    prefix, _, path = name.partition("=")
    if prefix != "script" or not path:
        known = ", ".join(f"scripted:{known}" for known in BUILT_IN)
        raise InvalidInput(f"There is no scripted behaviour '{name}'.", remedy=f"Use {known} or scripted:script=PATH.")
    try:
        return Script.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise InvalidInput(f"The script {path} cannot be read: {error.strerror}.", remedy="Check the path in LINESHAFT_MODEL.") from error
    except (yaml.YAMLError, ValidationError, UnicodeDecodeError, re.error) as error:
        raise InvalidInput(f"The script {path} is not valid: {error}", remedy="Each rule has `when` and one answer.") from error


def default_answer(call: ChatCall) -> str:
    """The first choice, the smallest JSON that fits the schema, or a sentence that says who speaks."""
    if call.choices is not None:
        return call.choices[0]
    if call.json_schema is not None:
        return json.dumps(_smallest(call.json_schema))
    return "This is a scripted answer."


def _smallest(schema: JsonValue) -> JsonValue:
    """The smallest value for the plain parts of JSON Schema: const, enum, anyOf, objects with required fields, scalars."""
    if not isinstance(schema, dict):
        return None
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "anyOf", "oneOf"):
        options = schema.get(key)
        if isinstance(options, list) and options:
            return options[0] if key == "enum" else _smallest(options[0])
    if schema.get("type") == "object":
        properties, required = schema.get("properties"), schema.get("required")
        fields = properties if isinstance(properties, dict) else {}
        names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        return {name: _smallest(fields.get(name, {})) for name in names}
    empty: dict[str, JsonValue] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": []}
    return empty.get(str(schema.get("type")))

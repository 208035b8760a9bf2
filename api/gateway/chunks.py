"""The parts of OpenAI's chat answers that other shapes are made of."""

from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from factory_infra.errors import EffectFailed
from factory_infra.saas.models.calls import JsonObject

M = TypeVar("M", bound=BaseModel)


class Function(BaseModel):
    """A function and its arguments, whole or a piece of them."""

    name: str | None = None
    arguments: str | None = None


class ToolPiece(BaseModel):
    """A tool call, whole or a piece of it."""

    index: int = 0
    id: str | None = None
    function: Function = Function()


class Said(BaseModel):
    """What a message or a piece of it holds."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolPiece] | None = None


class Choice(BaseModel):
    """One answer of a whole completion, or what a chunk adds to it."""

    index: int = 0
    message: Said = Said()
    delta: Said = Said()
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    logprobs: dict[str, JsonValue] | None = None

    @property
    def tokens(self) -> list[JsonValue]:
        """The logarithms of the probabilities, a token each; empty where they were not asked for."""
        found = (self.logprobs or {}).get("content")
        return found if isinstance(found, list) else []


class Completion(BaseModel):
    """A chat completion, or a chunk of one."""

    choices: list[Choice] = []


def read(body: JsonObject) -> Choice | None:
    """The first choice of an answer or a chunk; None where there is none. Raises EffectFailed for what has another shape."""
    try:
        choices = Completion.model_validate(body).choices
    except ValidationError as error:
        raise EffectFailed(
            "The model's server sent an answer of another shape.", remedy="Try another model.", code="model_protocol"
        ) from error
    return next((choice for choice in choices if choice.index == 0), None)


def protocol_broken(what: str) -> EffectFailed:
    """The refusal of an answer that cannot be told on."""
    return EffectFailed(f"The model's server sent {what}.", remedy="Try another model.", code="model_protocol")

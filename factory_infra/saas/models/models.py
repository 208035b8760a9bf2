"""What is said to a chat model and what it answers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class ToolCall(BaseModel):
    """A call that the model asks for. Its arguments are data: nobody has checked them yet."""

    id: str
    name: str
    arguments: dict[str, JsonValue] = {}


class ChatMessage(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: list[ToolCall] = []
    tool_call_id: str | None = None


class ChatCall(BaseModel):
    """One question to a chat model."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)

    messages: list[ChatMessage] = Field(min_length=1)
    tools: list[dict[str, JsonValue]] = Field(default=[], description="OpenAI function schemas.")
    choices: list[str] | None = Field(default=None, min_length=1, max_length=64, description="The answer is exactly one of these.")
    json_schema: dict[str, JsonValue] | None = Field(default=None, alias="schema", description="The answer is JSON of this JSON Schema.")
    tokens_max: int = Field(default=512, ge=1, le=32_768)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)


class ChatAnswer(BaseModel):
    """What the model answered and what it used."""

    content: str
    tool_calls: list[ToolCall] = []
    tokens_in: int = Field(description="Tokens of the prompt, the cached ones included.")
    tokens_out: int
    tokens_cached: int = Field(default=0, description="Tokens of the prompt that came from a cache.")
    model: str
    estimated: bool = Field(default=False, description="The upstream reported no usage: the tokens are our own count.")

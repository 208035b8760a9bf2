"""What a server of somebody else's tools is, and what a tool of it returns."""

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

SERVER_NAME = r"^[a-z0-9][a-z0-9-]{0,19}$"
TOOL_NAME = r"^[A-Za-z0-9_-]{1,39}$"
DESCRIPTION_MAX = 2_000
SCHEMA_BYTES_MAX = 20_000
TOOLS_MAX = 100

EffectWord = Literal["read", "write", "costly", "destructive"]
"""What the operator says that a tool does to the world; the server itself is not asked."""
UNDECLARED: EffectWord = "costly"
"""What a tool is held for of which the operator said nothing: it needs an approval."""


class ServerState(StrEnum):
    """Whether a server's tools may be called."""

    PENDING = "pending"
    APPROVED = "approved"
    CHANGED = "changed"
    DISABLED = "disabled"


class ToolDescription(BaseModel):
    """One tool as its server describes it: the text of a stranger."""

    model_config = ConfigDict(frozen=True)

    name: str
    description: str = ""
    arguments: dict[str, JsonValue]


class ToolServer(BaseModel):
    """A server of tools that an operator added."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    tenant: str | None = Field(description="The one team that may use it; None for all.")
    url: str
    secret: str = Field(description="Name of the file among the secrets that holds the key to send; empty where none is needed.")
    state: ServerState
    digest: str = Field(description="SHA-256 of the descriptions and schemas as last read: what an approval names.")
    described: list[ToolDescription] = Field(description="As last read.")
    approved_digest: str
    pinned: list[ToolDescription] = Field(description="As approved: arguments are checked against these.")
    effects: dict[str, EffectWord] = Field(description="The operator's word by tool; a tool without one is held for costly.")
    added_by: str
    approved_by: str | None
    created_at: datetime
    reviewed_at: datetime | None
    approved_at: datetime | None

    def effect(self, tool: str) -> EffectWord:
        """What a tool is held for."""
        return self.effects.get(tool, UNDECLARED)


class ToolServerRequest(BaseModel):
    """A server to add."""

    name: str
    url: str
    tenant: str | None = None
    secret: str = ""
    effects: dict[str, EffectWord] = {}
    added_by: str


class ForeignAnswer(BaseModel):
    """What a foreign tool said: cut to a length, and never more than data."""

    text: str
    structured: JsonValue = None
    failed: bool = False
    truncated: bool = False


def digest_of(tools: list[ToolDescription]) -> str:
    """SHA-256 of the canonical JSON of all descriptions and schemas: any change of any of them changes it."""
    ordered = [tool.model_dump(mode="json") for tool in sorted(tools, key=lambda each: each.name)]
    return hashlib.sha256(json.dumps(ordered, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()

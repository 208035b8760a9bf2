"""Bodies of the chat's routes."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from factory_infra.paas.tenants.structure import Name
from tools.plan import Step

ProjectName = Annotated[Name | Literal[""], Field(description="The team's project that it is charged to; the key's own if left out.")]


class Body(BaseModel):
    """Base of every request body: closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    @field_validator("*")
    @classmethod
    def _storable(cls, value: object) -> object:
        """PostgreSQL stores every character but this one; an event with it could never be written."""
        if isinstance(value, str) and "\0" in value:
            raise ValueError("the character NUL is not taken")
        return value


class NewThread(Body):
    """A conversation; an administrator may open one for a team."""

    tenant: str | None = None
    project: ProjectName = ""


class NewMessage(Body):
    """One message. A client that is not sure whether it arrived sends it again under the same id."""

    text: str = Field(min_length=1)
    message_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$")


class NewApproval(Body):
    """An approval names the digest of exactly the plan that was read."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class Refusal(Body):
    """Why a plan is refused or ended."""

    reason: str = Field(default="", max_length=500)


class PlanEdit(Body):
    """Other steps for a plan; the digest names the revision that was read. Steps that began are sent as they were."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    steps: list[Step] = Field(min_length=1, max_length=64)
    reason: str = Field(default="", max_length=500)

"""Bodies of the policy's routes."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.schemas.chat import Body
from factory_infra.paas.tenants.models import Role
from tools.plan import Plan
from tools.policy import Rule, TenantBounds
from tools.policy_models import Defaults


class PolicyView(BaseModel):
    """The policy as it applies to a team, or to the installation where no team is named."""

    version: str
    digest: str
    source: str = Field(description="Which file counts: shipped, home, or LINESHAFT_POLICY.")
    tenant: str | None
    defaults: Defaults
    own: list[str] = Field(description="Classes whose default is the team's own.")
    rules: list[Rule]
    bounds: TenantBounds
    tenants: list[str] = Field(default=[], description="Teams with a section of their own; shown to administrators only.")


class PolicyChange(Body):
    """A whole policy in the place of the one that was read."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)

    text: str = Field(min_length=1, max_length=1_000_000, description="The file, in YAML.")
    revision: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the text that was read, as GET /v1/policy/text told it.")


class PolicyQuestion(Body):
    """Which plan to judge: the plan itself, or the id of one that is kept."""

    plan: Plan | None = None
    plan_id: str | None = Field(default=None, min_length=1, max_length=64)
    requester_role: Role | None = Field(default=None, description="As whom; the caller's own role where it is left out.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.plan is None) == (self.plan_id is None):
            raise ValueError("send either 'plan' or 'plan_id'")
        return self

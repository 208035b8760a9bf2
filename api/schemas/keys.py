"""Bodies of the routes over keys."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from api.schemas.chat import Body
from factory_infra.paas.tenants.models import NAME_PATTERN, SCOPES, ApiKey, KeyTerms, Role, Scope
from factory_infra.paas.tenants.service import OVERLAP_SECONDS_MAX

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Project = Annotated[str, StringConstraints(pattern=NAME_PATTERN + "|^$")]


class NewTeamKey(Body):
    """A key of a team."""

    name: str = Field(min_length=1, max_length=64)
    role: Role = Role.USER
    custom_role: Project = Field(default="", description="A role of the team's or its organisation's own, in place of `role`.")
    project: Project = Field(default="", description="What its use is charged to; empty for none.")
    models: list[ModelName] | None = Field(default=None, min_length=1, max_length=200, description="Left out: all of the team's.")
    scopes: list[Scope] = Field(default=sorted(SCOPES), min_length=1, max_length=2)
    expires_at: AwareDatetime | None = None

    @property
    def terms(self) -> KeyTerms:
        """What the key is bound to beside its role."""
        models = None if self.models is None else frozenset(self.models)
        return KeyTerms(project=self.project, models=models, scopes=frozenset(self.scopes), custom_role=self.custom_role)


class NewKey(NewTeamKey):
    """A key of a team, or of an administrator: the asker's own team where none is named."""

    tenant: str | None = None


class Rotation(Body):
    """How long the secret of now stays good beside the new one."""

    overlap_seconds: int = Field(default=0, ge=0, le=OVERLAP_SECONDS_MAX)


class IssuedKey(BaseModel):
    """A new secret: the only time that it is shown."""

    key: ApiKey
    secret: str

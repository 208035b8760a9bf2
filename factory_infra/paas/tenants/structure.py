"""What organisations, projects, members, roles of one's own and service accounts are."""

import unicodedata
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from factory_infra.paas.tenants.models import NAME_PATTERN, Role

TITLE_CHARACTERS_MAX = 120
SUBJECT_PATTERN = r"^oidc:.{1,250}$"
PERMISSION_PATTERN = r"^(\*:read|[a-z-]+:(\*|[a-z-]+))$"


def shown_title(words: str) -> str:
    """A title as it is kept: one line in any script, composed, without what cannot be seen or turns the direction of a page."""
    composed = unicodedata.normalize("NFC", words.strip())
    if any(unicodedata.category(each) in {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"} and each != "\u200d" for each in composed):
        raise ValueError("a title has no control characters, and no marks that cannot be seen")
    return composed


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Title = Annotated[str, StringConstraints(max_length=TITLE_CHARACTERS_MAX), AfterValidator(shown_title)]
Permission = Annotated[str, StringConstraints(pattern=PERMISSION_PATTERN, max_length=80)]
Source = Literal["hand", "groups"]


class _Told(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Organisation(_Told):
    """What groups teams."""

    name: str
    title: str
    revision: int
    created_at: datetime


class Project(_Told):
    """A part of a team's work that use is charged to."""

    tenant: str
    name: str
    title: str
    revision: int
    created_at: datetime


class CustomRole(_Told):
    """A named set of permissions."""

    id: str
    organisation: str | None
    tenant: str | None
    name: str
    title: str
    counts_as: Role = Field(description="What it counts as where people of a role are asked for, such as approvals. It adds no permission.")
    permissions: list[str]
    revision: int
    created_at: datetime


class Member(_Told):
    """A role that a person has somewhere."""

    id: str
    subject: str = Field(description="oidc:ISSUER'S NAME OF THE PERSON.")
    title: str
    organisation: str | None
    tenant: str | None
    project: str
    role: str = Field(
        description="viewer, user, operator, approver, admin (of the organisation or team), or the name of a role of its own."
    )
    source: Source = Field(description="hand: somebody added it; groups: it came with the person's groups at the last sign-in.")
    added_by: str
    created_at: datetime


class ServiceAccount(_Told):
    """A program of a team."""

    tenant: str
    name: str
    title: str
    role: str
    project: str
    created_by: str
    created_at: datetime
    disabled_at: datetime | None


class Place(BaseModel):
    """Where a role holds: in an organisation with all its teams, in a team, or in a project of one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    organisation: Name | None = None
    tenant: Name | None = None
    project: Name | Literal[""] = ""

    @property
    def words(self) -> str:
        """As the audit log names it."""
        return (
            "/".join(("team", self.tenant, *([self.project] if self.project else [])))
            if self.tenant
            else f"organisation/{self.organisation}"
        )


class NewMember(Place):
    """A role for a person. A project asks for its team."""

    subject: Annotated[str, StringConstraints(pattern=SUBJECT_PATTERN)]
    title: Title = ""
    role: Name = "user"


class NewRole(BaseModel):
    """A role of one's own, of an organisation or a team."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    organisation: Name | None = None
    tenant: Name | None = None
    name: Name
    title: Title = ""
    counts_as: Role = Role.VIEWER
    permissions: list[Permission] = Field(min_length=1, max_length=200)


class NewAccount(BaseModel):
    """A program that will have keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant: Name | None = None
    name: Name
    title: Title = ""
    role: Name = "user"
    project: Name | Literal[""] = ""

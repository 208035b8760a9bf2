"""Bodies of the routes over organisations, projects, members, roles, service accounts and quotas."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from api.schemas.chat import Body
from factory_infra.paas.tenants.structure import Name, Permission, Title

PoolName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Revision = Annotated[int | None, Field(ge=1, description="The revision that was read: nothing is changed where it is not the present one.")]


class NewOrganisation(Body):
    """An organisation."""

    name: Name
    title: Title = ""


class Retitled(Body):
    """Another title."""

    title: Title
    revision: Revision = None


class NewProject(Body):
    """A project: of the asker's own team where none is named."""

    tenant: Name | None = None
    name: Name
    title: Title = ""


class RoleChange(Body):
    """All permissions that a role has from now on."""

    permissions: list[Permission] = Field(min_length=1, max_length=200)
    revision: Revision = None


class AccountKey(Body):
    """A key of a service account: with its role and its project."""

    days: float | None = Field(default=None, gt=0, le=3650, description="It expires after so many days.")


class QuotaChange(Body):
    """What a team may hold in a pool."""

    tenant: Name
    pool: PoolName
    accelerator: PoolName | Literal[""] = Field(default="", description="The model that is counted; empty for every slot of the pool.")
    slots_max: int = Field(ge=0, le=1_000_000)


class QuotaUse(BaseModel):
    """A quota, and what is held of it now."""

    tenant: str
    pool: str
    accelerator: str
    slots_max: int
    slots_held: int
    note: str = Field(default="", description="What is to know, such as more being held than the quota lets.")


class PermissionRow(BaseModel):
    """A permission, and the routes that ask for it."""

    permission: str
    routes: list[str]

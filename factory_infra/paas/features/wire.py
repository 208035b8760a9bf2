"""What Feast's process is asked and answers: one line of JSON each way. Both sides import it, so it loads nothing heavy."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from factory_infra.paas.features.interface import Joined, Sources, Wanted
from factory_infra.paas.features.models import Entity, StoredView


class Setup(BaseModel):
    """The first line, by which the process learns where everything lies: secrets go by no command line and no environment."""

    model_config = ConfigDict(extra="forbid")

    database_url: str
    features_url: str
    scratch: str


class Order(BaseModel):
    """One thing to do. Orders are large, so a line names the file that holds one."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["apply", "join", "materialise", "read"]
    sources: list[Sources]
    wanted: Wanted | None = None
    target: str = ""
    end: datetime | None = None
    entities: list[Entity] = []


class Trouble(BaseModel):
    """Why it was not done."""

    kind: str
    code: str
    reason: str
    remedy: str


class Reply(BaseModel):
    """What came of an order."""

    joined: Joined | None = None
    entities: int = 0
    values: list[dict[str, object]] = []
    trouble: Trouble | None = None


def feast_name(view: StoredView) -> str:
    """What Feast calls a version of a view."""
    return f"{view.name}_v{view.version}"


def feast_project(tenant: str) -> str:
    """What Feast calls a team: it knows no dashes, and a team's name has no underscores."""
    return tenant.replace("-", "_")

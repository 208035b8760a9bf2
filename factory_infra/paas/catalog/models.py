"""What the catalog lists."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field, JsonValue

SHARED = "shared"
"""The tenant of what every team sees: the datasets that ship."""


class CatalogEntry(BaseModel):
    """One thing that a team can find: a dataset, a model version or an endpoint."""

    id: str
    kind: Literal["dataset", "model", "endpoint"]
    tenant: str
    name: str
    description: str
    facts: dict[str, JsonValue] = {}
    url: str = ""


class LexicalHit(BaseModel):
    """An entry that shares words with a query."""

    entry: CatalogEntry
    exact: bool = Field(description="The query holds the entry's whole name.")


class StaleEntry(BaseModel):
    """An entry that the index has not seen in the form that it got at `updated_at`."""

    entry: CatalogEntry
    updated_at: datetime
    removed: bool


class Dataset(BaseModel):
    """A dataset that a training job can read."""

    name: str
    description: str
    task: Literal["classification"] = "classification"
    rows: int
    features: int
    classes: int
    aliases: list[str] = []

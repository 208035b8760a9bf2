"""What the catalog lists."""

from typing import Literal

from pydantic import BaseModel, JsonValue

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


class Dataset(BaseModel):
    """A dataset that a training job can read."""

    name: str
    description: str
    task: Literal["classification"] = "classification"
    rows: int
    features: int
    classes: int
    aliases: list[str] = []

"""The parts of a team's namespace, and how they stand."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field

from factory_infra.foundation.pools.kubernetes import Manifest, Read

Standing = Literal["up", "missing", "broken", "not_available"]


@dataclass(frozen=True)
class Part:
    """One object of a team's namespace as it should be.

    Attributes:
        wall: which wall it is a part of: namespace, quota, network_policy, rbac, storage.
        collection: the path of its kind.
        manifest: the whole object.
        guarded: the fields that must be as the manifest says, or the wall is broken.
    """

    wall: str
    collection: str
    manifest: Manifest
    guarded: tuple[str, ...]

    @property
    def name(self) -> str:
        """The object's name."""
        meta = self.manifest["metadata"]
        return str(meta["name"]) if isinstance(meta, dict) else ""

    @property
    def path(self) -> str:
        """The object's path."""
        return f"{self.collection}/{self.name}"


class PartState(BaseModel):
    """How one wall around a team stands in a cluster."""

    wall: str
    state: Standing
    note: str = Field(default="", description="What is missing, or what differs.")


class Owner(Read):
    """Whose part an object is."""

    uid: str = ""


class Meta(Read):
    """What every object says of itself, as far as it is read here."""

    name: str = ""
    uid: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    resource_version: str = ""
    deletion_timestamp: str | None = None
    owner_references: list[Owner] = []


class Named(Read):
    """Any object."""

    metadata: Meta = Meta()


class Anything(Read):
    """Any object whole, for a comparison."""

    model_config = Read.model_config | {"extra": "allow"}

    def field(self, path: str) -> object:
        """A field, by its path with dots; labels whose names have dots stand last, after a colon."""
        steps, _, last = path.partition(":")
        value: object = self.model_extra
        for step in [*filter(None, steps.split(".")), *([last] if last else [])]:
            value = value.get(step) if isinstance(value, dict) else None
        return value


class TokenStatus(Read):
    """A token that was issued."""

    token: str


class TokenAnswer(Read):
    """The answer to a TokenRequest."""

    status: TokenStatus

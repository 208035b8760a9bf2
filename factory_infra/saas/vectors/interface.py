"""The seams to embeddings and to the vector store."""

from typing import Protocol

from pydantic import BaseModel, Field


class Document(BaseModel):
    """A text that can be found again by meaning."""

    id: str
    tenant: str
    text: str
    entry: str = Field(default="", description="What it is a part of; itself where that is left out.")

    @property
    def whole(self) -> str:
        """What it is a part of."""
        return self.entry or self.id


class Hit(BaseModel):
    """What was found, with its distance (cosine, 0 is the same)."""

    id: str
    tenant: str
    distance: float


class Embeddings(Protocol):
    """Turns texts into vectors of one fixed dimension, normalised."""

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text. Raises Unavailable."""
        ...


class Vectors(Protocol):
    """Documents, searched by meaning, walled by tenant: each has a part of the store to itself."""

    async def upsert(self, documents: list[Document]) -> None:
        """Store documents; the same tenant and id replaces."""
        ...

    async def delete(self, tenant: str, entries: list[str]) -> None:
        """Remove all parts of entries; an absent one is not an error."""
        ...

    async def search(self, tenants: list[str], vector: list[float], limit: int = 10, entries: list[str] | None = None) -> list[Hit]:
        """Return the nearest documents of these tenants, nearest first; `entries` narrows to some, each as a whole."""
        ...

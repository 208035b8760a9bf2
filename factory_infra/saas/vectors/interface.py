"""The seams to embeddings and to the vector store."""

from typing import Protocol

from pydantic import BaseModel, JsonValue


class Document(BaseModel):
    """A text that can be found again by meaning."""

    id: str
    tenant: str
    text: str
    metadata: dict[str, JsonValue] = {}


class Hit(BaseModel):
    """A document that was found, with its distance (cosine, 0 is the same)."""

    document: Document
    distance: float


class Embeddings(Protocol):
    """Turns texts into vectors of one fixed dimension, normalised."""

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text. Raises Unavailable."""
        ...


class Vectors(Protocol):
    """A collection of documents, searched by meaning, walled by tenant."""

    async def upsert(self, documents: list[Document]) -> None:
        """Store documents; the same id replaces."""
        ...

    async def delete(self, tenant: str, ids: list[str]) -> None:
        """Remove documents; an absent id is not an error."""
        ...

    async def search(self, tenants: list[str], query: str, limit: int = 10, kind: str | None = None) -> list[Hit]:
        """Return the nearest documents of these tenants, nearest first; `kind` filters on metadata."""
        ...

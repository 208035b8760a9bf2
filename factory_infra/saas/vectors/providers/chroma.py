"""Vectors in a Chroma server, through its REST interface: importing its client costs seconds."""

import json

import httpx
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from factory_infra.errors import EffectFailed, InvalidInput, Unavailable
from factory_infra.saas.vectors.interface import Document, Embeddings, Hit

COLLECTIONS_PATH = "/api/v2/tenants/default_tenant/databases/default_database/collections"
DOCUMENTS_PER_REQUEST = 128
TIMEOUT_SECONDS = 30.0

_METADATA = TypeAdapter(dict[str, JsonValue])


class _Collection(BaseModel):
    id: str


class _Metadata(BaseModel):
    """What is kept beside a vector: Chroma filters on plain fields only, so the document's own metadata are one JSON string."""

    id: str
    tenant: str
    kind: str = ""
    metadata: str


class _Found(BaseModel):
    documents: list[list[str | None]]
    metadatas: list[list[_Metadata | None]]
    distances: list[list[float | None]]


class ChromaVectors:
    """One collection in cosine space, with our own embeddings always.

    The tenants' wall stands twice: every query filters by tenant, and every row that comes back is checked again. A document's key
    holds its tenant, so no tenant replaces another's document by choosing its id. Connects at the first use.
    """

    def __init__(self, chroma_url: str, embeddings: Embeddings, *, collection: str = "lineshaft") -> None:
        self._url = chroma_url
        self._embeddings = embeddings
        self._collection = collection
        self._collection_id: str | None = None
        self._client: httpx.AsyncClient | None = None

    async def upsert(self, documents: list[Document]) -> None:
        """Store documents; see the interface. Raises Unavailable."""
        for start in range(0, len(documents), DOCUMENTS_PER_REQUEST):
            batch = documents[start : start + DOCUMENTS_PER_REQUEST]
            vectors = await self._embeddings.embed([document.text for document in batch])
            body = {
                "ids": [_key(document.tenant, document.id) for document in batch],
                "embeddings": vectors,
                "documents": [document.text for document in batch],
                "metadatas": [_metadata(document).model_dump() for document in batch],
            }
            await self._call("upsert", body)

    async def delete(self, tenant: str, ids: list[str]) -> None:
        """Remove documents of one tenant; see the interface. Raises Unavailable."""
        if ids:
            await self._call("delete", {"ids": [_key(tenant, item) for item in ids], "where": {"tenant": tenant}})

    async def search(self, tenants: list[str], query: str, limit: int = 10, kind: str | None = None) -> list[Hit]:
        """Return the nearest documents; see the interface. No tenants see nothing. Raises Unavailable."""
        if not tenants or limit < 1:
            return []
        where: dict[str, object] = {"tenant": {"$in": tenants}}
        if kind is not None:
            where = {"$and": [where, {"kind": kind}]}
        vectors = await self._embeddings.embed([query])
        include = ["documents", "metadatas", "distances"]
        response = await self._call("query", {"query_embeddings": vectors, "n_results": limit, "where": where, "include": include})
        try:
            found = _Found.model_validate_json(response.content)
        except ValidationError as error:
            raise EffectFailed(
                f"Chroma at {self._url} answers in another shape.", remedy="Use Chroma 1.5 or newer.", code="vectors_protocol"
            ) from error
        return [hit for hit in _hits(found) if hit.document.tenant in tenants]

    async def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _call(self, verb: str, body: dict[str, object]) -> httpx.Response:
        """Send to the collection; one that vanished with its server's data is made again, once."""
        collection = self._collection_id or await self._open()
        response = await self._post(f"{COLLECTIONS_PATH}/{collection}/{verb}", body)
        if response.status_code == httpx.codes.NOT_FOUND:
            collection = await self._open()
            response = await self._post(f"{COLLECTIONS_PATH}/{collection}/{verb}", body)
        return self._accepted(response)

    async def _open(self) -> str:
        body: dict[str, object] = {"name": self._collection, "get_or_create": True, "configuration": {"hnsw": {"space": "cosine"}}}
        response = self._accepted(await self._post(COLLECTIONS_PATH, body))
        self._collection_id = _Collection.model_validate_json(response.content).id
        return self._collection_id

    async def _post(self, path: str, body: dict[str, object]) -> httpx.Response:
        if self._client is None:
            timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=5.0)
            self._client = httpx.AsyncClient(base_url=self._url, timeout=timeout, trust_env=False)
        try:
            return await self._client.post(path, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"Chroma at {self._url} does not answer.", remedy="See `lineshaft status`.", code="vectors_unavailable"
            ) from error

    def _accepted(self, response: httpx.Response) -> httpx.Response:
        status = response.status_code
        if response.is_server_error or status == httpx.codes.TOO_MANY_REQUESTS:
            raise Unavailable(
                f"Chroma at {self._url} answers HTTP {status}.", remedy="See `lineshaft logs chroma`.", code="vectors_unavailable"
            )
        if not response.is_success:
            raise InvalidInput(f"Chroma refuses the call (HTTP {status}): {response.text[:200]}", code="vectors_refused")
        return response


def _key(tenant: str, document_id: str) -> str:
    return json.dumps([tenant, document_id], ensure_ascii=False)


def _metadata(document: Document) -> _Metadata:
    kind = document.metadata.get("kind", "")
    return _Metadata(id=document.id, tenant=document.tenant, kind=str(kind), metadata=json.dumps(document.metadata, ensure_ascii=False))


def _hits(found: _Found) -> list[Hit]:
    rows = zip(found.documents[0], found.metadatas[0], found.distances[0], strict=True)
    return [
        Hit(
            document=Document(id=row.id, tenant=row.tenant, text=text or "", metadata=_METADATA.validate_json(row.metadata)),
            distance=distance,
        )
        for text, row, distance in rows
        if row is not None and distance is not None
    ]

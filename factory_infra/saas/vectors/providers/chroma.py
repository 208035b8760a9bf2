"""Vectors in a Chroma server, through its REST interface: importing its client costs seconds."""

import asyncio
import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from operator import mul
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from factory_infra.errors import EffectFailed, InvalidInput, Unavailable
from factory_infra.saas.vectors.interface import Document, Embeddings, Hit

COLLECTIONS_PATH = "/api/v2/tenants/default_tenant/databases/default_database/collections"
DOCUMENTS_PER_REQUEST = 128
TIMEOUT_SECONDS = 30.0
ABSENT_SECONDS = 1.0
"""For so long a collection that was not there is not asked for again."""
AT_ONCE_MAX = 8


class _Collection(BaseModel):
    id: str


class _Found(BaseModel):
    ids: list[list[str]]
    distances: list[list[float | None]]


class _Kept(BaseModel):
    ids: list[str]
    embeddings: list[list[float]]


M = TypeVar("M", bound=BaseModel)


class ChromaVectors:
    """A collection a tenant, in cosine space, with our own embeddings always; no text is kept in it.

    The tenants' wall stands twice: a search asks the collections of its tenants only, and every row that comes back is checked again, for
    its key holds its tenant. Connects at the first use; a search makes no collection.
    """

    def __init__(self, chroma_url: str, embeddings: Embeddings, *, collection: str = "catalog") -> None:
        self._url = chroma_url
        self._embeddings = embeddings
        self._prefix = collection
        self._ids: dict[str, str] = {}
        self._absent: dict[str, float] = {}
        self._room = asyncio.Semaphore(AT_ONCE_MAX)
        self._client: httpx.AsyncClient | None = None

    async def upsert(self, documents: list[Document]) -> None:
        """Store documents; see the interface. Raises Unavailable."""
        for start in range(0, len(documents), DOCUMENTS_PER_REQUEST):
            batch = documents[start : start + DOCUMENTS_PER_REQUEST]
            texts = list(dict.fromkeys(document.text for document in batch))
            vectors = dict(zip(texts, await self._embeddings.embed(texts), strict=True))
            parts: defaultdict[str, list[Document]] = defaultdict(list)
            for document in batch:
                parts[document.tenant].append(document)
            for tenant, part in parts.items():
                await self.store(tenant, part, [vectors[document.text] for document in part])

    async def store(self, tenant: str, documents: Sequence[Document], vectors: Sequence[Sequence[float]]) -> None:
        """Store documents of a tenant whose vectors are known already; the same id replaces. Raises Unavailable."""
        body: dict[str, object] = {
            "ids": [_key(tenant, document.id) for document in documents],
            "embeddings": vectors,
            "metadatas": [{"entry": document.whole} for document in documents],
        }
        await self._call(tenant, "upsert", body, make=True)

    async def delete(self, tenant: str, entries: list[str]) -> None:
        """Remove entries of one tenant; see the interface. Raises Unavailable."""
        if entries:
            await self._call(tenant, "delete", {"where": {"entry": {"$in": entries}}})

    async def search(self, tenants: list[str], vector: list[float], limit: int = 10, entries: list[str] | None = None) -> list[Hit]:
        """Return the nearest documents; see the interface. No tenants see nothing. Raises Unavailable."""
        if limit < 1 or entries == []:
            return []
        parts = await asyncio.gather(*(self._near(tenant, vector, limit, entries) for tenant in dict.fromkeys(tenants)))
        hits = [hit for part in parts for hit in part if hit.tenant in tenants]
        return sorted(hits, key=lambda hit: (hit.distance, hit.id))[:limit]

    async def _near(self, tenant: str, vector: list[float], limit: int, entries: list[str] | None) -> list[Hit]:
        if entries is not None:
            return await self._compared(tenant, vector, entries)
        body: dict[str, object] = {"query_embeddings": [vector], "n_results": limit, "include": ["distances"]}
        response = await self._asked(tenant, "query", body)
        found = self._read(response, _Found) if response is not None else _Found(ids=[[]], distances=[[]])
        rows = zip(found.ids[0], found.distances[0], strict=True)
        return [_hit(key, distance) for key, distance in rows if distance is not None]

    async def _compared(self, tenant: str, vector: list[float], entries: list[str]) -> list[Hit]:
        """Compare with some entries one by one: a filter within Chroma's own search costs a tenth of a second among 100,000."""
        body: dict[str, object] = {"ids": [_key(tenant, entry) for entry in entries], "include": ["embeddings"]}
        response = await self._asked(tenant, "get", body)
        found = self._read(response, _Kept) if response is not None else _Kept(ids=[], embeddings=[])
        rows = zip(found.ids, found.embeddings, strict=True)
        return [_hit(key, 1.0 - sum(map(mul, vector, kept))) for key, kept in rows]

    async def _asked(self, tenant: str, verb: str, body: dict[str, object]) -> httpx.Response | None:
        async with self._room:
            return await self._call(tenant, verb, body)

    def _read(self, response: httpx.Response, shape: type[M]) -> M:
        try:
            return shape.model_validate_json(response.content)
        except ValidationError as error:
            raise EffectFailed(
                f"Chroma at {self._url} answers in another shape.", remedy="Use Chroma 1.5 or newer.", code="vectors_protocol"
            ) from error

    async def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _call(self, tenant: str, verb: str, body: dict[str, object], *, make: bool = False) -> httpx.Response | None:
        """Send to the tenant's collection; one that vanished with its server's data is looked for again, once. None where there is none."""
        for _ in range(2):
            collection = self._ids.get(tenant) or await self._open(tenant, make=make)
            if collection is None:
                return None
            response = await self._post(f"{COLLECTIONS_PATH}/{collection}/{verb}", body)
            if response.status_code != httpx.codes.NOT_FOUND:
                return self._accepted(response)
            self._ids.pop(tenant, None)
        return None

    def name_of(self, tenant: str) -> str:
        """The collection of a tenant: any name of a team makes one that Chroma takes."""
        return f"{self._prefix}-{hashlib.sha256(tenant.encode()).hexdigest()[:24]}"

    async def _open(self, tenant: str, *, make: bool) -> str | None:
        if not make and self._absent.get(tenant, 0.0) > time.monotonic():
            return None
        if make:
            body: dict[str, object] = {"name": self.name_of(tenant), "get_or_create": True, "configuration": {"hnsw": {"space": "cosine"}}}
            response = await self._post(COLLECTIONS_PATH, body)
        else:
            response = await self._post(f"{COLLECTIONS_PATH}/{self.name_of(tenant)}", None)
            if response.status_code == httpx.codes.NOT_FOUND:
                self._absent[tenant] = time.monotonic() + ABSENT_SECONDS
                return None
        self._absent.pop(tenant, None)
        self._ids[tenant] = _Collection.model_validate_json(self._accepted(response).content).id
        return self._ids[tenant]

    async def _post(self, path: str, body: dict[str, object] | None) -> httpx.Response:
        """Send; without a body it is a GET."""
        if self._client is None:
            timeout = httpx.Timeout(TIMEOUT_SECONDS, connect=5.0)
            self._client = httpx.AsyncClient(base_url=self._url, timeout=timeout, trust_env=False)
        try:
            return await (self._client.get(path) if body is None else self._client.post(path, json=body))
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


def _hit(key: str, distance: float) -> Hit:
    tenant, item = json.loads(key)
    return Hit(id=item, tenant=tenant, distance=distance)

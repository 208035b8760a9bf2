"""Finds catalog entries by meaning and by name at once."""

from collections import defaultdict
from collections.abc import Sequence

import structlog
from pydantic import BaseModel

from factory_infra.errors import LineshaftError
from factory_infra.paas.catalog.models import SHARED, CatalogEntry, StaleEntry
from factory_infra.paas.catalog.service import Catalog, Kind
from factory_infra.saas.vectors.interface import Document, Hit, Vectors

FUSION_CONSTANT = 60
CANDIDATES = 20
STALE_MAX = 100
DISTANCE_SPREAD = 0.2
WITHOUT_MEANING = "The search by meaning does not answer now: only names and words were compared."

logger = structlog.get_logger()


class Findings(BaseModel):
    """What a search found, best first, and whether meaning could be compared."""

    entries: list[CatalogEntry]
    degraded: bool = False
    note: str = ""


class CatalogIndex:
    """Keeps the vector store behind the catalog. The catalog is the truth: a hit that it does not show to the tenant is dropped."""

    def __init__(self, catalog: Catalog, vectors: Vectors) -> None:
        self._catalog = catalog
        self._vectors = vectors

    async def sync(self) -> int:
        """Bring the index up to the catalog and return how many entries were behind. Idempotent. Raises Unavailable."""
        done = 0
        while stale := await self._catalog.stale(STALE_MAX):
            await self._vectors.upsert([_document(item.entry) for item in stale if not item.removed])
            for tenant, ids in _by_tenant([item for item in stale if item.removed]).items():
                await self._vectors.delete(tenant, ids)
            await self._catalog.indexed(stale)
            done += len(stale)
        return done

    async def search(self, tenants: list[str], query: str, kind: Kind | None = None, limit: int = 5) -> list[CatalogEntry]:
        """Return the entries that fit the query best. See `find`, which also says whether meaning could be compared."""
        return (await self.find(tenants, query, kind, limit)).entries

    async def find(self, tenants: list[str], query: str, kind: Kind | None = None, limit: int = 5) -> Findings:
        """Search by meaning and by words, and join the ranks; without the vector store or the embeddings by words alone, which is said."""
        lexical = await self._catalog.match(tenants, query, kind, CANDIDATES)
        rankings = [[hit.entry.id for hit in lexical], [hit.entry.id for hit in lexical if hit.exact]]
        note = ""
        try:
            await self.sync()
            hits = await self._vectors.search([*tenants, SHARED], query, CANDIDATES, kind)
            rankings.append([hit.document.id for hit in near(hits)])
        except LineshaftError as error:
            logger.warning("search without meaning", code=error.error_code, reason=error.reason)
            note = WITHOUT_MEANING
        entries = await self._catalog.get_many(fused(rankings)[:CANDIDATES], tenants)
        return Findings(entries=entries[:limit], degraded=bool(note), note=note)


def near(hits: Sequence[Hit]) -> Sequence[Hit]:
    """Leave out what is much farther than the nearest: in a small catalog everything is found, and most of it means something else."""
    return [hit for hit in hits if hit.distance <= hits[0].distance + DISTANCE_SPREAD]


def fused(rankings: Sequence[Sequence[str]]) -> list[str]:
    """Join rankings by reciprocal rank: what several of them place high comes first."""
    scores: defaultdict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] += 1 / (FUSION_CONSTANT + rank)
    return sorted(scores, key=lambda item: (-scores[item], item))


def _document(entry: CatalogEntry) -> Document:
    facts = ", ".join(f"{name} {value}" for name, value in entry.facts.items())
    text = f"{entry.kind} {entry.name}. {entry.description} {facts}".strip()
    return Document(id=entry.id, tenant=entry.tenant, text=text, metadata={"kind": entry.kind, "name": entry.name})


def _by_tenant(items: Sequence[StaleEntry]) -> dict[str, list[str]]:
    grouped: defaultdict[str, list[str]] = defaultdict(list)
    for item in items:
        grouped[item.entry.tenant].append(item.entry.id)
    return grouped

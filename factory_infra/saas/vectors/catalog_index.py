"""Finds catalog entries by meaning and by words at once."""

import asyncio
import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence

import structlog
from pydantic import BaseModel

from factory_infra.errors import LineshaftError, Unavailable
from factory_infra.paas.catalog.models import NO_FILTERS, SHARED, CatalogEntry, Filters, LexicalHit, StaleEntry, Viewer
from factory_infra.paas.catalog.service import Catalog, organisation_audience
from factory_infra.paas.catalog.words import tokens
from factory_infra.saas.vectors.chunks import chunks
from factory_infra.saas.vectors.interface import Document, Embeddings, Hit, Vectors

FUSION_CONSTANT = 20
EXACT_WEIGHT, WORDS_WEIGHT, MEANING_WEIGHT = 1.0, 0.5, 1.0
CANDIDATES = 60
SHOWN = 24
"""So many of the best are read and put into order by what they are."""
FEW = 150
"""So many entries under filters are compared one by one; of more, the nearest of all are filtered."""
CANDIDATES_UNFILTERED = 1_000
"""So many of the nearest are looked at, at most, where entries must fit conditions."""
STALE_MAX = 100
SPARE = 1.4
"""So many times as many are read as would be enough if all were as likely to fit the conditions."""
DISTANCE_SPREAD = 0.3
MEANING_SECONDS_MAX = 2.0
REMEMBERED_MAX = 4_096
AUDIENCES_SECONDS = 2.0
TEXT_MAX = 800
CHUNK = "\x1f"
"""Before the number of a document's part: no id holds it."""
KIND_BONUS, PLATFORM_MALUS = 1.4, 0.7
KIND_WORDS = {
    "service": {"service", "services"},
    "model": {"model", "models"},
    "dataset": {"dataset", "datasets", "data"},
    "feature": {"feature", "features"},
    "pipeline": {"pipeline", "pipelines"},
    "endpoint": {"endpoint", "endpoints"},
    "document": {"document", "documents", "guide", "runbook", "policy", "docs", "documentation"},
    "agent": {"agent", "agents"},
    "tool": {"tool", "tools"},
}
"""Words that name a kind."""
WITHOUT_MEANING = "The search by meaning does not answer now: only names and words were compared."

logger = structlog.get_logger()


class Findings(BaseModel):
    """What a search found, best first, and whether meaning could be compared."""

    entries: list[CatalogEntry]
    degraded: bool = False
    note: str = ""


class CatalogIndex:
    """Keeps the vector store behind the catalog. The catalog is the truth: a hit that it does not show to the viewer is dropped."""

    def __init__(self, catalog: Catalog, vectors: Vectors, embeddings: Embeddings, *, seconds_max: float = MEANING_SECONDS_MAX) -> None:
        self._catalog = catalog
        self._vectors = vectors
        self._embeddings = embeddings
        self.seconds_max = seconds_max
        self._remembered: OrderedDict[str, list[float]] = OrderedDict()
        self._audiences: dict[tuple[str, ...] | None, tuple[float, list[str]]] = {}

    async def sync(self) -> int:
        """Bring the index up to the catalog and return how many entries were behind; what was removed goes first.

        Idempotent. One process does it at a time; another one returns 0 at once. Raises Unavailable.
        """
        done = 0
        async with self._catalog.alone() as alone:
            while alone and (stale := await self._catalog.stale(STALE_MAX)):
                await self._follow(stale)
                await self._catalog.indexed(stale)
                done += len(stale)
        return done

    async def _follow(self, stale: Sequence[StaleEntry]) -> None:
        gone: defaultdict[str, list[str]] = defaultdict(list)
        for item in stale:
            for audience in item.indexed_in if item.entry.kind == "document" else set(item.indexed_in) - set(item.audiences):
                gone[audience].append(item.entry.id)
        for audience, ids in gone.items():
            await self._vectors.delete(audience, ids)
        await self._vectors.upsert([document for item in stale for document in documents(item)])

    async def search(self, viewer: Viewer, query: str, filters: Filters = NO_FILTERS, limit: int = 5) -> list[CatalogEntry]:
        """Return the entries that fit the query best. See `find`, which also says whether meaning could be compared."""
        return (await self.find(viewer, query, filters, limit)).entries

    async def find(self, viewer: Viewer, query: str, filters: Filters = NO_FILTERS, limit: int = 5) -> Findings:
        """Search by meaning and by words, and join the ranks; without the vector store or the embeddings by words alone, which is said."""
        common = filters.anything and self._catalog.share(filters) * CANDIDATES_UNFILTERED >= max(CANDIDATES, 2 * limit)
        found = await self._find(viewer, query, filters, limit, common=common)
        if common and len(found.entries) < limit:  # common among all, and rare among what this viewer sees
            return await self._find(viewer, query, filters, limit, common=False)
        return found

    async def _find(self, viewer: Viewer, query: str, filters: Filters, limit: int, *, common: bool) -> Findings:
        most = max(CANDIDATES, 2 * limit)
        words = asyncio.create_task(self._catalog.match(viewer, query, filters, most))
        note, hits = "", list[Hit]()
        try:
            async with asyncio.timeout(self.seconds_max):
                hits = await self._meant(viewer, query, filters, most, common=common)
        except (LineshaftError, TimeoutError) as error:
            told = error if isinstance(error, LineshaftError) else Unavailable("The search by meaning is slow.")
            logger.warning("search without meaning", code=told.error_code, reason=told.reason)
            note = WITHOUT_MEANING
        scores = scored(await words, hits)
        entries = await self._shown(viewer, filters, sorted(scores, key=lambda item: (-scores[item], item)), max(SHOWN, 2 * limit))
        asked = None if filters.kind is not None else kinds_named(query)
        entries.sort(key=lambda entry: (-scores[entry.id] * fitting(entry, asked), entry.id))
        return Findings(entries=entries[:limit], degraded=bool(note), note=note)

    async def _shown(self, viewer: Viewer, filters: Filters, best: Sequence[str], enough: int) -> list[CatalogEntry]:
        """The best of what the catalog shows under the filters, part by part until there are enough."""
        found: list[CatalogEntry] = []
        size = self._likely(filters, enough, FEW) if filters.anything else enough
        for start in range(0, len(best), size):
            found += await self._catalog.get_many(best[start : start + size], viewer, filters)
            if len(found) >= enough:
                break
        return found

    async def meant(self, viewer: Viewer, query: str, limit: int) -> list[str]:
        """Ids by meaning alone, for who compares; of what the viewer sees. Raises Unavailable."""
        ids = [hit.id.partition(CHUNK)[0] for hit in await self._meant(viewer, query, NO_FILTERS, limit)]
        return [entry.id for entry in await self._catalog.get_many(ids, viewer)]

    async def _meant(self, viewer: Viewer, query: str, filters: Filters, limit: int, *, common: bool = False) -> list[Hit]:
        few = self._catalog.few(viewer, filters, FEW) if filters.anything and not common else _nothing()
        vector, audiences, ids = await asyncio.gather(self._vector(query), self.audiences(viewer), few)
        wide = limit
        if filters.anything and ids is None:
            wide = self._likely(filters, SHOWN if limit <= CANDIDATES else limit, CANDIDATES_UNFILTERED)
        return near(await self._vectors.search(audiences, vector, wide, ids))

    def _likely(self, filters: Filters, enough: int, most: int) -> int:
        """How many of the best are looked at, that enough of them are likely to fit the conditions: the more, the rarer these are."""
        share = self._catalog.share(filters)
        return min(int(enough * SPARE / share), most) if share else most

    async def remember(self, queries: Sequence[str]) -> None:
        """Embed queries at one go, for who will ask many. Raises Unavailable."""
        keys = [" ".join(query.split())[:1000] for query in queries]
        self._remembered.update(zip(keys, await self._embeddings.embed(keys), strict=True))

    async def _vector(self, query: str) -> list[float]:
        key = " ".join(query.split())[:1000]
        known = self._remembered.get(key)
        if known is None:
            known = self._remembered[key] = (await self._embeddings.embed([key]))[0]
            if len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)
        self._remembered.move_to_end(key)
        return known

    async def audiences(self, viewer: Viewer) -> list[str]:
        """The parts of the index that a viewer may search; what it was granted lies in its teams' own."""
        kept = self._audiences.get(viewer.teams)
        if kept is not None and kept[0] > time.monotonic():
            return kept[1]
        teams, groups = await self._catalog.groups(viewer.teams)
        found = [*dict.fromkeys([*teams, *(organisation_audience(group) for group in groups), SHARED])]
        if len(self._audiences) > REMEMBERED_MAX:
            self._audiences.clear()
        self._audiences[viewer.teams] = (time.monotonic() + AUDIENCES_SECONDS, found)
        return found


async def _nothing() -> None:
    """No conditions, no list."""


def near(hits: Sequence[Hit]) -> list[Hit]:
    """Leave out what is much farther than the nearest: in a small catalog everything is found, and most of it means something else."""
    return [hit for hit in hits if hit.distance <= hits[0].distance + DISTANCE_SPREAD]


def scored(lexical: Sequence[LexicalHit], hits: Sequence[Hit]) -> dict[str, float]:
    """Join what words and meanings found; of a document's parts the nearest counts."""
    meant = list(dict.fromkeys(hit.id.partition(CHUNK)[0] for hit in hits))
    exact = [hit.id for hit in lexical if hit.exact]
    words = [hit.id for hit in sorted(lexical, key=lambda hit: (-hit.score, hit.id))]
    return fused([(EXACT_WEIGHT, exact), (WORDS_WEIGHT, words), (MEANING_WEIGHT, meant)])


def fused(rankings: Sequence[tuple[float, Sequence[str]]]) -> dict[str, float]:
    """Join rankings by weighted reciprocal rank (Cormack, Clarke and Büttcher, 2009): what several of them place high comes first."""
    scores: defaultdict[str, float] = defaultdict(float)
    for weight, ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] += weight / (FUSION_CONSTANT + rank)
    return dict(scores)


def kinds_named(query: str) -> set[str]:
    """The kinds that a query names."""
    said = set(tokens(query))
    return {kind for kind, words in KIND_WORDS.items() if words & said}


def fitting(entry: CatalogEntry, asked: set[str] | None) -> float:
    """How well an entry's kind fits the kinds that are named: one of them counts more, the platform's own tools less; None for any."""
    if asked is None:
        return 1.0
    if entry.kind in asked:
        return KIND_BONUS
    return PLATFORM_MALUS if entry.kind in {"tool", "agent"} else 1.0


def documents(item: StaleEntry) -> Iterator[Document]:
    """What the index keeps of an entry, in each part that it belongs into."""
    facts = ", ".join(f"{name} {value}" for name, value in item.entry.facts.items() if isinstance(value, str | int | float))
    entry = item.entry
    about = f"{entry.name}. {entry.description} {' '.join(entry.tags)} {entry.kind}"[:TEXT_MAX]
    texts = [f"{about} {facts}"[:TEXT_MAX], *(f"{entry.name}. {part}" for part in chunks(item.text))]
    for audience in item.audiences:
        for number, words in enumerate(texts):
            yield Document(id=f"{entry.id}{CHUNK}{number}" if number else entry.id, tenant=audience, text=words, entry=entry.id)

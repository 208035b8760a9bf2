"""The search over the catalog: by meaning and by name, and honest when meaning cannot be asked."""

import itertools
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from factory_infra.database import Database
from factory_infra.errors import Unavailable
from factory_infra.paas.catalog.models import SHARED, CatalogEntry, Filters, Kind, Viewer
from factory_infra.paas.catalog.service import Catalog
from factory_infra.saas.vectors.catalog_index import CANDIDATES, CANDIDATES_UNFILTERED, CatalogIndex, fused
from factory_infra.saas.vectors.interface import Document, Embeddings, Hit
from factory_infra.saas.vectors.providers.chroma import ChromaVectors

NAMES = (f"catalog-{number}" for number in itertools.count())


class NoVectors:
    """A vector store that is down."""

    async def upsert(self, documents: list[Document]) -> None:
        raise Unavailable("Chroma does not answer.")

    async def delete(self, tenant: str, entries: list[str]) -> None:
        raise Unavailable("Chroma does not answer.")

    async def search(self, tenants: list[str], vector: list[float], limit: int = 10, entries: list[str] | None = None) -> list[Hit]:
        raise Unavailable("Chroma does not answer.")


class Recorded(NoVectors):
    """A vector store that finds nothing, and notes how many it was to look at."""

    def __init__(self) -> None:
        self.limits: list[int] = []
        self.entries: list[list[str] | None] = []

    async def search(self, tenants: list[str], vector: list[float], limit: int = 10, entries: list[str] | None = None) -> list[Hit]:
        self.limits.append(limit)
        self.entries.append(entries)
        return []


def entry(tenant: str, kind: Kind, name: str, description: str) -> CatalogEntry:
    return CatalogEntry(id=f"{tenant}/{kind}/{name}", kind=kind, tenant=tenant, name=name, description=description)


VISION = Viewer.of("vision")
ENTRIES = [
    entry(SHARED, "dataset", "digits", "Small pictures of handwritten numerals."),
    entry(SHARED, "dataset", "wine", "Chemical analyses of bottles from three growers."),
    entry("vision", "model", "digits-classifier", "Version 1, 98 percent accurate."),
    entry("pricing", "model", "digits-secret", "Reads digits on price tags."),
]


def test_fusion_prefers_what_several_rankings_place_high() -> None:
    scores = fused([(1, ["a", "b", "c"]), (1, ["b", "c"]), (1, ["c", "b", "a"])])
    assert max(scores, key=scores.__getitem__) == "b"
    assert fused([]) == {}


@pytest.mark.stack
class TestCatalogIndex:
    @pytest.fixture
    async def catalog(self, database: Database) -> Catalog:
        catalog = Catalog(database)
        for item in ENTRIES:
            await catalog.put(item)
        return catalog

    @pytest.fixture
    async def index(self, catalog: Catalog, chroma_url: str, embeddings: Embeddings) -> AsyncIterator[CatalogIndex]:
        vectors = ChromaVectors(chroma_url, embeddings, collection=next(NAMES))
        made = CatalogIndex(catalog, vectors, embeddings)
        await made.sync()
        yield made
        await vectors.close()

    async def test_finds_by_meaning_where_no_word_is_shared(self, index: CatalogIndex) -> None:
        assert (await index.search(VISION, "alcoholic drink from grapes", Filters(kind="dataset"), 1))[0].name == "wine"

    async def test_an_exact_name_comes_first(self, index: CatalogIndex) -> None:
        found = await index.search(VISION, "how accurate is the digits classifier?")
        assert found[0].name == "digits-classifier"

    async def test_another_team_is_never_found(self, index: CatalogIndex) -> None:
        for query in ("digits-secret", "Reads digits on price tags."):
            assert "pricing" not in {item.tenant for item in await index.search(VISION, query, limit=20)}
            assert "digits-secret" in {item.name for item in await index.search(Viewer.of("pricing"), query)}

    async def test_sync_indexes_what_changed_once(self, index: CatalogIndex, catalog: Catalog) -> None:
        assert await index.sync() == 0
        await catalog.put(ENTRIES[0])
        assert await index.sync() == 0
        await catalog.put(ENTRIES[0].model_copy(update={"description": "Numerals in grey."}))
        assert await index.sync() == 1

    async def test_what_is_removed_is_gone_at_once_and_from_the_index_after_a_sync(self, index: CatalogIndex, catalog: Catalog) -> None:
        await catalog.remove(ENTRIES[1].id)
        assert "wine" not in {item.name for item in await index.search(VISION, "wine growers")}
        vector = await index._vector("wine growers")
        assert ENTRIES[1].id in {hit.id for hit in await index._vectors.search([SHARED], vector)}
        assert await index.sync() == 1
        assert {hit.id for hit in await index._vectors.search([SHARED], vector)} == {ENTRIES[0].id}

    async def test_without_the_vector_store_words_are_compared_and_that_is_said(self, catalog: Catalog, embeddings: Embeddings) -> None:
        findings = await CatalogIndex(catalog, NoVectors(), embeddings).find(VISION, "Which digits classifier is there?")
        assert findings.entries[0].name == "digits-classifier"
        assert findings.degraded
        assert "meaning" in findings.note
        assert await catalog.stale() != []


@pytest.mark.stack
async def test_the_commoner_a_condition_is_the_fewer_are_looked_at(database: Database, embeddings: Embeddings) -> None:
    catalog, vectors = Catalog(database), Recorded()
    for number in range(400):
        await catalog.put(entry("vision", "dataset" if number % 2 else "model", f"set-{number}", "Rows of a shop."))
    index = CatalogIndex(catalog, vectors, embeddings)
    await index.find(VISION, "rows", Filters(kind="dataset"))
    async with database.reading(whole=True) as connection:
        await connection.execute(text("ANALYZE catalog_entries"))
    index = CatalogIndex(catalog := Catalog(database), vectors, embeddings)
    await catalog.match(VISION, "rows")
    await index.find(VISION, "rows", Filters(kind="dataset"))
    unknown, known = vectors.limits
    assert unknown == CANDIDATES_UNFILTERED and CANDIDATES < known <= 3 * CANDIDATES
    await catalog.put(entry("tiny", "dataset", "only", "Rows of a shop."))
    found = await index.find(Viewer.of("tiny"), "rows", Filters(kind="dataset"))
    assert [each.name for each in found.entries] == ["only"]
    assert vectors.entries[-2:] == [None, ["tiny/dataset/only"]], (
        "common among all, and rare among what this team sees: compared one by one"
    )

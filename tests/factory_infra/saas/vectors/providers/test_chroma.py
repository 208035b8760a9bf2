"""Vectors in a real Chroma server: found by meaning, walled by tenant."""

import itertools
from collections.abc import AsyncIterator

import httpx
import pytest

from factory_infra.errors import Unavailable
from factory_infra.saas.vectors.interface import Document, Embeddings, Hit
from factory_infra.saas.vectors.providers.chroma import COLLECTIONS_PATH, ChromaVectors

pytestmark = pytest.mark.stack

NAMES = (f"test-{number}" for number in itertools.count())
DOCUMENTS = [
    Document(id="digits", tenant="shared", text="Pictures of handwritten digits"),
    Document(id="reader", tenant="vision", text="A model that reads handwritten digits"),
    Document(id="pricer", tenant="pricing", text="A model that reads digits on price tags"),
]


@pytest.fixture
async def vectors(chroma_url: str, embeddings: Embeddings) -> AsyncIterator[ChromaVectors]:
    opened = ChromaVectors(chroma_url, embeddings, collection=next(NAMES))
    await opened.upsert(DOCUMENTS)
    yield opened
    await opened.close()


async def near(vectors: ChromaVectors, tenants: list[str], query: str, limit: int = 10, entries: list[str] | None = None) -> list[Hit]:
    [vector] = await vectors._embeddings.embed([query])
    return await vectors.search(tenants, vector, limit, entries)


async def found(vectors: ChromaVectors, tenants: list[str], query: str = "reads digits", entries: list[str] | None = None) -> list[str]:
    return [hit.id for hit in await near(vectors, tenants, query, entries=entries)]


async def test_finds_by_meaning_nearest_first(vectors: ChromaVectors) -> None:
    hits = await near(vectors, ["vision", "shared"], "classifier of numerals written by hand")
    assert {(hit.tenant, hit.id) for hit in hits} == {("shared", "digits"), ("vision", "reader")}
    assert hits[0].distance <= hits[1].distance
    [same] = await near(vectors, ["vision"], DOCUMENTS[1].text)
    assert same.distance == pytest.approx(0, abs=1e-5)


async def test_a_tenant_sees_only_its_own(vectors: ChromaVectors) -> None:
    assert await found(vectors, ["pricing"]) == ["pricer"]
    assert await found(vectors, ["nobody"]) == []
    assert await found(vectors, []) == []


async def test_rows_are_checked_even_if_the_collection_were_anothers(vectors: ChromaVectors, monkeypatch: pytest.MonkeyPatch) -> None:
    strangers = vectors.name_of("pricing")
    monkeypatch.setattr(ChromaVectors, "name_of", lambda self, tenant: strangers)
    vectors._ids.clear()
    assert await found(vectors, ["vision"]) == []


async def test_entries_narrow(vectors: ChromaVectors) -> None:
    assert await found(vectors, ["vision", "shared"], entries=["digits", "pricer", "never there"]) == ["digits"]
    assert await found(vectors, ["vision", "shared"], entries=[]) == []


async def test_a_search_makes_no_collection(vectors: ChromaVectors, chroma_url: str) -> None:
    assert await found(vectors, ["newcomer"]) == []
    async with httpx.AsyncClient(base_url=chroma_url, trust_env=False) as client:
        assert (await client.get(f"{COLLECTIONS_PATH}/{vectors.name_of('newcomer')}")).status_code == httpx.codes.NOT_FOUND


async def test_the_same_id_replaces_and_other_tenants_keep_theirs(vectors: ChromaVectors) -> None:
    await vectors.upsert([Document(id="reader", tenant="vision", text="Now about weather")])
    await vectors.upsert([Document(id="reader", tenant="pricing", text="A stranger's reader")])
    [hit] = await near(vectors, ["vision"], "Now about weather")
    assert hit.distance == pytest.approx(0, abs=1e-5)


async def test_deletes_its_own_only_and_twice_is_no_error(vectors: ChromaVectors) -> None:
    await vectors.delete("pricing", ["reader", "digits", "never there"])
    assert set(await found(vectors, ["vision", "shared"])) == {"reader", "digits"}
    for _ in range(2):
        await vectors.delete("vision", ["reader"])
    assert await found(vectors, ["vision"]) == []


async def test_a_collection_that_vanished_is_made_again(vectors: ChromaVectors, chroma_url: str) -> None:
    async with httpx.AsyncClient(base_url=chroma_url, trust_env=False) as client:
        (await client.delete(f"{COLLECTIONS_PATH}/{vectors.name_of('vision')}")).raise_for_status()
    assert await found(vectors, ["vision"]) == []
    await vectors.upsert(DOCUMENTS)
    assert await found(vectors, ["vision"]) == ["reader"]


async def test_many_documents_go_in_parts(vectors: ChromaVectors) -> None:
    await vectors.upsert([Document(id=f"d{number}", tenant="many", text=f"note {number}") for number in range(300)])
    assert len(await near(vectors, ["many"], "note 7", 300)) == 300


async def test_nobody_there_is_unavailable(embeddings: Embeddings) -> None:
    with pytest.raises(Unavailable) as caught:
        await ChromaVectors("http://127.0.0.1:9", embeddings).search(["vision"], [0.0] * 384)
    assert caught.value.error_code == "vectors_unavailable"

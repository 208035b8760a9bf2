"""The catalog in PostgreSQL."""

import pytest
from sqlalchemy import text

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.paas.catalog.models import SHARED, CatalogEntry, Filters, Kind, Viewer
from factory_infra.paas.catalog.service import Catalog

pytestmark = pytest.mark.stack


def entry(tenant: str, name: str, kind: Kind = "model", description: str = "A thing.", **facts: str) -> CatalogEntry:
    return CatalogEntry(id=f"{tenant}/{name}", kind=kind, tenant=tenant, name=name, description=description, facts={**facts}, url="/x")


DIGITS = entry(SHARED, "digits", "dataset", "Pictures of numerals.", aliases="handwriting")
READER = entry("vision", "reader-v1", description="Reads numerals with 98 percent accuracy.")
SECRET = entry("pricing", "secret", description="Numerals on tags.")

VISION, MODELS = Viewer.of("vision", actor="ann (1)"), Filters(kind="model")


@pytest.fixture
async def catalog(database: Database) -> Catalog:
    catalog = Catalog(database)
    for item in (DIGITS, READER, SECRET):
        await catalog.put(item)
    return catalog


async def test_gives_back_what_was_put(catalog: Catalog) -> None:
    assert await catalog.get(READER.id, VISION) == READER


async def test_shared_entries_are_seen_by_all_and_others_by_their_own(catalog: Catalog) -> None:
    assert await catalog.list(VISION) == [DIGITS, READER]
    assert await catalog.list(Viewer.of()) == [DIGITS]
    assert await catalog.get_many([SECRET.id, READER.id, DIGITS.id], VISION) == [READER, DIGITS]
    with pytest.raises(NotFound) as hidden:
        await catalog.get(SECRET.id, VISION)
    with pytest.raises(NotFound) as absent:
        await catalog.get("pricing/nothing", VISION)
    assert hidden.value.reason.replace("secret", "nothing") == absent.value.reason


async def test_pages_and_kinds(catalog: Catalog) -> None:
    assert await catalog.list(VISION, MODELS) == [READER]
    assert await catalog.list(VISION, limit=1, offset=1) == [READER]
    for limit, offset in ((0, 0), (501, 0), (1, -1)):
        with pytest.raises(InvalidInput):
            await catalog.list(VISION, limit=limit, offset=offset)


async def test_put_replaces_and_an_equal_one_changes_nothing(catalog: Catalog) -> None:
    await catalog.indexed(await catalog.stale())
    await catalog.put(READER)
    assert await catalog.stale() == []
    better = READER.model_copy(update={"facts": {"accuracy": 0.99}})
    await catalog.put(better)
    assert [item.entry for item in await catalog.stale()] == [better]


async def test_another_tenant_cannot_take_an_id(catalog: Catalog) -> None:
    with pytest.raises(Conflict):
        await catalog.put(SECRET.model_copy(update={"tenant": "vision", "description": "mine"}))
    assert await catalog.get(SECRET.id, Viewer.of("pricing")) == SECRET


async def test_remove_hides_at_once_and_erases_after_the_index(catalog: Catalog) -> None:
    await catalog.indexed(await catalog.stale())
    for _ in range(2):
        await catalog.remove(READER.id)
    assert await catalog.list(VISION, MODELS) == []
    (stale,) = await catalog.stale()
    assert stale.removed
    await catalog.indexed([stale])
    assert await catalog.stale() == []
    await catalog.put(READER)
    assert await catalog.get(READER.id, VISION) == READER


async def test_a_removed_entry_comes_back_by_put(catalog: Catalog) -> None:
    await catalog.remove(READER.id)
    await catalog.put(READER)
    assert await catalog.get(READER.id, VISION) == READER
    assert [item.removed for item in await catalog.stale() if item.entry == READER] == [False]


async def test_what_changes_while_it_is_indexed_stays_stale(catalog: Catalog) -> None:
    seen = await catalog.stale()
    await catalog.put(READER.model_copy(update={"description": "Changed meanwhile."}))
    await catalog.indexed(seen)
    assert [item.entry.description for item in await catalog.stale()] == ["Changed meanwhile."]


@pytest.mark.parametrize(
    ("query", "names", "exact"),
    [
        ("tell me about Reader V1!", ["reader-v1"], [True]),
        ("the digits please", ["digits"], [True]),
        ("handwriting", ["digits"], [False]),
        ("numeral", ["digits", "reader-v1"], [False, False]),
        ("digit", ["digits"], [False]),
        ("the and of", [], []),
        ("'); drop table & | ! <-> :*", [], []),
        ("", [], []),
    ],
)
async def test_matches_names_and_words(catalog: Catalog, query: str, names: list[str], exact: list[bool]) -> None:
    hits = await catalog.match(VISION, query)
    entries = await catalog.get_many([hit.id for hit in hits], VISION)
    assert sorted(entry.name for entry in entries) == sorted(names)
    assert sorted(hit.exact for hit in hits) == sorted(exact)


async def test_what_an_older_version_listed_is_found_by_words_after_the_first_start(catalog: Catalog, database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("UPDATE catalog_entries SET words = '', name_key = ''"))
    assert await catalog.match(VISION, "digits") == []
    assert await catalog.reword() == 3
    assert [hit.exact for hit in await catalog.match(VISION, "digits")] == [True]
    assert await catalog.reword() == 0

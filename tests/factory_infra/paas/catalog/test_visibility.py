"""Who sees which entry: private, team, organisation, shared, granted; the code's condition and PostgreSQL's policies say the same."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import text

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, Forbidden, NotFound
from factory_infra.paas.catalog import service as module
from factory_infra.paas.catalog.access import AccessBook
from factory_infra.paas.catalog.access_models import AccessState, NewAccess
from factory_infra.paas.catalog.models import PLATFORM_VIEW, SHARED, Access, CatalogEntry, Filters, Viewer, Visibility
from factory_infra.paas.catalog.service import Catalog
from factory_infra.second_wall import seen_by

pytestmark = pytest.mark.stack
ANN = "ann (1)"
NEAR, FAR = "near", "far"
"""Teams: one of the owner's organisation, one of another."""


def entry(name: str, visibility: Visibility = "team", access: Access = "open", tenant: str = "vision") -> CatalogEntry:
    return CatalogEntry(
        id=f"model/{tenant}/{name}",
        kind="model",
        tenant=tenant,
        name=name,
        description=f"Reads numerals, {name}.",
        owner=ANN,
        facts={"inside": 1},
        url="/inside",
        visibility=visibility,
        access=access,
    )


ENTRIES = [
    entry("private", "private"),
    entry("team"),
    entry("organisation", "organisation"),
    entry("everybody", "shared"),
    entry("askable", "organisation", "request"),
    entry("platform", tenant=SHARED),
]
SEEN = {
    ("vision", ANN): {"private", "team", "organisation", "everybody", "askable", "platform"},
    ("vision", "bob (2)"): {"team", "organisation", "everybody", "askable", "platform"},
    (NEAR, ANN): {"organisation", "everybody", "askable", "platform"},
    (FAR, ANN): {"everybody", "platform"},
}


@pytest.fixture
async def catalog(database: Database) -> Catalog:
    async with database.transaction() as session:
        for group in ("acme", "other"):
            await session.execute(text("INSERT INTO organisations VALUES (:n, '', 1, now())"), {"n": group})
        for team, group in (("vision", "acme"), (NEAR, "acme"), (FAR, "other")):
            words = "INSERT INTO tenants (name, budget, organisation, created_at) VALUES (:n, 1, :g, now())"
            await session.execute(text(words), {"n": team, "g": group})
    made = Catalog(database)
    for each in ENTRIES:
        await made.put(each)
    return made


async def names(catalog: Catalog, viewer: Viewer) -> set[str]:
    """What every way of reading shows; they must agree."""
    listed = {each.name for each in await catalog.list(viewer)}
    found = {hit.id for hit in await catalog.match(viewer, "reads numerals private team organisation everybody askable platform")}
    known = {each.name for each in await catalog.get_many([each.id for each in ENTRIES], viewer)}
    assert listed == known == {name.rpartition("/")[2] for name in found}
    return listed


@pytest.mark.parametrize(("team", "actor"), SEEN)
async def test_each_sees_what_is_its_own_with_and_without_the_second_wall(catalog: Catalog, team: str, actor: str) -> None:
    viewer = Viewer.of(team, actor=actor)
    assert await names(catalog, viewer) == SEEN[team, actor]
    with seen_by(team):
        assert await names(catalog, viewer) == SEEN[team, actor]


async def test_an_administrator_sees_all(catalog: Catalog) -> None:
    assert await names(catalog, PLATFORM_VIEW) == {each.name for each in ENTRIES}


async def seen_without_the_code(catalog: Catalog, team: str) -> set[str]:
    """What PostgreSQL alone lets a team's transaction see."""
    with seen_by(team):
        return {each.name for each in await catalog.get_many([each.id for each in ENTRIES], PLATFORM_VIEW)}


async def test_the_second_wall_holds_alone_and_agrees(catalog: Catalog) -> None:
    assert await seen_without_the_code(catalog, NEAR) == SEEN[NEAR, ANN]
    assert await seen_without_the_code(catalog, FAR) == SEEN[FAR, ANN]


async def test_control_without_both_walls_everything_is_seen(catalog: Catalog, database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("ALTER TABLE catalog_entries DISABLE ROW LEVEL SECURITY"))
    assert await seen_without_the_code(catalog, FAR) == {each.name for each in ENTRIES}


async def test_control_without_the_condition_of_the_code_only_the_second_wall_is_left(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "visible", lambda viewer: text("true"))
    assert {each.name for each in await catalog.get_many([each.id for each in ENTRIES], Viewer.of(FAR))} == {each.name for each in ENTRIES}
    with seen_by(FAR):
        assert {each.name for each in await catalog.get_many([each.id for each in ENTRIES], Viewer.of(FAR))} == SEEN[FAR, ANN]


async def test_a_team_that_moves_or_closes_takes_its_entries_along(catalog: Catalog, database: Database) -> None:
    await catalog.indexed(await catalog.stale())
    async with database.transaction() as session:
        await session.execute(text("UPDATE tenants SET organisation = 'other' WHERE name = 'vision'"))
    assert await names(catalog, Viewer.of(NEAR)) == {"everybody", "platform"}
    assert await names(catalog, Viewer.of(FAR)) == {"organisation", "everybody", "askable", "platform"}
    assert len(await catalog.stale()) == 5
    async with database.transaction() as session:
        await session.execute(text("UPDATE tenants SET closed_at = now() WHERE name = 'vision'"))
    assert await names(catalog, PLATFORM_VIEW) == {"platform"}


async def test_filters_are_exact_and_no_value_widens_them(catalog: Catalog) -> None:
    viewer = Viewer.of(FAR)
    assert {each.name for each in await catalog.list(viewer, Filters(owner=ANN.upper()))} == {"everybody", "platform"}
    assert await catalog.list(viewer, Filters(owner="ann")) == []
    for value in ("x' | '=k/model", "') OR true --", "\\", "' & !'", "=k/model"):
        assert await catalog.list(viewer, Filters(tag=value)) == []
    assert await catalog.list(viewer, Filters(tenant="vision", kind="model")) == [ENTRIES[3]]
    assert await catalog.few(viewer, Filters(kind="model"), 1) is None


class TestAccess:
    @pytest.fixture
    def book(self, database: Database, catalog: Catalog) -> AccessBook:
        return AccessBook(database, catalog)

    WANTED = NewAccess(entry_id="model/vision/askable", reason="for a test", days=2)
    NEARBY = Viewer.of(NEAR, actor="nia (7)")

    async def test_before_a_grant_only_the_outside_is_seen(self, catalog: Catalog, book: AccessBook) -> None:
        shown = await catalog.get(self.WANTED.entry_id, self.NEARBY)
        assert (shown.facts, shown.url) == ({}, "")
        assert not await catalog.may_use(shown.id, self.NEARBY)
        request = await book.ask(self.NEARBY, NEAR, self.WANTED)
        assert (request.state, request.owner_tenant) == (AccessState.ASKED, "vision")
        assert await book.ask(self.NEARBY, NEAR, self.WANTED) == request
        assert not await catalog.may_use(shown.id, self.NEARBY)
        granted = await book.move(request.id, AccessState.GRANTED, ANN)
        assert await book.move(request.id, AccessState.GRANTED, ANN) == granted
        for whose in (NEAR, "*"):
            with seen_by(whose):
                assert (await catalog.get(shown.id, self.NEARBY)).facts == {"inside": 1}
        await book.move(request.id, AccessState.REVOKED, ANN, "enough")
        assert (await catalog.get(shown.id, self.NEARBY)).facts == {}
        again = await book.ask(self.NEARBY, NEAR, self.WANTED)
        assert again.id != request.id

    async def test_a_grant_ends_by_the_clock_without_any_worker(self, catalog: Catalog, book: AccessBook, database: Database) -> None:
        request = await book.ask(self.NEARBY, NEAR, self.WANTED)
        await book.move(request.id, AccessState.GRANTED, ANN)
        assert await catalog.may_use(self.WANTED.entry_id, self.NEARBY)
        async with database.transaction() as session:
            words = "UPDATE catalog_requests SET expires_at = :past"
            await session.execute(text(words), {"past": utcnow() - timedelta(seconds=1)})
        for whose in (NEAR, "*"):
            with seen_by(whose):
                assert not await catalog.may_use(self.WANTED.entry_id, self.NEARBY)

    async def test_what_cannot_follow_is_refused(self, book: AccessBook) -> None:
        request = await book.ask(self.NEARBY, NEAR, self.WANTED)
        with pytest.raises(Conflict):
            await book.move(request.id, AccessState.REVOKED, ANN)
        await book.move(request.id, AccessState.REFUSED, ANN, "no")
        with pytest.raises(Conflict) as caught:
            await book.move(request.id, AccessState.GRANTED, ANN)
        assert caught.value.error_code == "access_decided"
        with pytest.raises(NotFound):
            await book.move("access-nothing", AccessState.GRANTED, ANN)

    async def test_only_owners_decide_and_others_do_not_learn_that_it_is_there(self, book: AccessBook) -> None:
        request = await book.ask(self.NEARBY, NEAR, self.WANTED)
        await book.check_decider(request, Viewer.of("vision", actor="boss (9)"), approver=True)
        await book.check_decider(request, Viewer.of("vision", actor=ANN), approver=False)
        for viewer, approver in ((Viewer.of("vision", actor="bob (2)"), False), (self.NEARBY, True)):
            with pytest.raises(Forbidden):
                await book.check_decider(request, viewer, approver=approver)
        with pytest.raises(NotFound):
            await book.get(request.id, FAR)
        for whose, known in ((FAR, 0), (NEAR, 1), ("vision", 1)):
            with seen_by(whose):
                assert len(await book.list(None)) == known

    @pytest.mark.parametrize("entry_id", ["model/vision/team", "model/vision/private", "model/vision/nothing"])
    async def test_what_is_not_seen_cannot_be_asked_for(self, book: AccessBook, entry_id: str) -> None:
        with pytest.raises(NotFound):
            await book.ask(self.NEARBY, NEAR, NewAccess(entry_id=entry_id, reason="r"))

    @pytest.mark.parametrize("entry_id", ["model/vision/organisation", "model/shared/platform"])
    async def test_what_is_open_need_not_be_asked_for(self, book: AccessBook, entry_id: str) -> None:
        with pytest.raises(Conflict) as caught:
            await book.ask(self.NEARBY, NEAR, NewAccess(entry_id=entry_id, reason="r"))
        assert caught.value.error_code == "access_not_needed"

    async def test_an_owner_shares_within_its_organisation_only(self, catalog: Catalog, book: AccessBook) -> None:
        owner = Viewer.of("vision", actor=ANN)
        for team in (FAR, "nobody"):
            with pytest.raises(NotFound) as caught:
                await book.share("model/vision/team", owner, team, 1, "r")
            assert caught.value.error_code == "team_unknown"
        await book.share("model/vision/team", owner, NEAR, 1, "r")
        assert "team" in await names(catalog, self.NEARBY)
        with seen_by(NEAR):
            assert "team" in await names(catalog, self.NEARBY)
        [stale] = [each for each in await catalog.stale() if each.entry.name == "team"]
        assert stale.audiences == ["vision", NEAR]
        with pytest.raises(NotFound):
            await book.share("model/vision/organisation", self.NEARBY, FAR, 1, "r")


def test_states_are_closed() -> None:
    kept: Sequence[str] = [state.value for state in AccessState]
    assert len(kept) == 7

"""Caps: whom they bind, how much of them is used, and that a changed one reaches every process."""

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from sqlalchemy import event

from factory_infra.database import Database, utcnow
from factory_infra.errors import LineshaftError
from factory_infra.notices import Callback, Notices
from factory_infra.paas.tenants.models import Role
from factory_infra.paas.tenants.service import Tenants
from factory_infra.saas.metering import limits
from factory_infra.saas.metering.limits import Cap, LimitBook
from factory_infra.saas.metering.uses import add, window_start
from factory_infra.settings import Settings
from tests.parts import factory_with_slots

pytestmark = pytest.mark.stack


class Deaf:
    """News that never come although they are called fresh: a cache without invalidation."""

    fresh = True

    def on(self, channel: str, callback: Callback) -> None:
        return


@pytest.fixture
async def tenants(connected: Settings, database: Database) -> AsyncIterator[Tenants]:
    factory = factory_with_slots(connected, 1)
    for name in ("vision", "language"):
        await factory.tenants.create(name, quota_slots=0, budget=Decimal(20))
    yield factory.tenants
    await factory.close()


@pytest.fixture
async def news(database_url: str) -> AsyncIterator[list[Notices]]:
    """The connections of two processes."""
    opened = [Notices(database_url), Notices(database_url)]
    yield opened
    for each in opened:
        await each.close()


def cap(tenant: str = "vision", resource: str = "tokens", window: str = "minute", amount: str = "100", **whose: str) -> Cap:
    return Cap(tenant=tenant, resource=resource, window=window, cap=Decimal(amount), **whose)


async def ids(book: LimitBook, *place: str) -> list[str]:
    return [limit.id for limit in await book.limits_of(*place)]


async def becomes(book: LimitBook, wanted: Decimal, seconds_max: float = 30.0, project: str = "") -> bool:
    """Whether the second limit of team vision has a cap before long."""
    deadline = time.monotonic() + seconds_max
    while [limit.cap for limit in await book.limits_of("vision", project)][1:] != [wanted]:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.002)
    return True


class TestWhom:
    @pytest.mark.parametrize("together", [200, 0])
    async def test_a_call_is_bound_by_its_team_its_project_and_its_key_and_no_other(
        self, tenants: Tenants, database: Database, monkeypatch: pytest.MonkeyPatch, together: int
    ) -> None:
        monkeypatch.setattr(limits, "TOGETHER_MAX", together)
        book = LimitBook(database)
        key, _ = await tenants.issue_key("vision", "ann", Role.USER)
        for each in (
            cap(),
            cap(project="reader", resource="money", window="month", amount="2.5"),
            cap(project="writer"),
            cap(key_id=key.id, resource="parallel", window="now", amount="4"),
            cap("language"),
        ):
            await book.set(each, by="root")
        team, project, mine = "vision:tokens:minute", "vision:project:reader:money:month", f"vision:key:{key.id}:parallel:now"
        assert await ids(book, "vision") == ["budget/vision", team]
        assert await ids(book, "vision", "reader", key.id) == ["budget/vision", team, project, mine]
        assert await ids(book, "vision", "other", "other") == ["budget/vision", team]
        titles = [limit.title for limit in await book.limits_of("vision", "reader", key.id)]
        assert titles == [
            "budget of team vision",
            "tokens a minute of team vision",
            "money a month of project reader of team vision",
            f"parallel calls of key {key.id}",
        ]

    async def test_a_key_of_another_team_cannot_be_bound_and_an_absent_team_has_no_limits(
        self, tenants: Tenants, database: Database
    ) -> None:
        book = LimitBook(database)
        key, _ = await tenants.issue_key("language", "bob", Role.USER)
        for asked, code in (
            (book.set(cap(key_id=key.id), by="root"), "key_unknown"),
            (book.limits_of("atlantis"), "team_unknown"),
            (book.remove("vision:tokens:minute"), "limit_unknown"),
        ):
            with pytest.raises(LineshaftError) as raised:
                await asked
            assert raised.value.error_code == code

    async def test_the_list_tells_what_is_used_in_the_window_of_now(self, tenants: Tenants, database: Database) -> None:
        book = LimitBook(database)
        for window in ("day", "total"):
            await book.set(cap(window=window), by="root")
        now = utcnow()
        async with database.transaction() as session:
            await add(session, "vision:tokens:day", window_start("day", now), Decimal(7))
            await add(session, "vision:tokens:day", window_start("day", now.replace(year=2020)), Decimal(50))
        changed = await book.set(cap(window="day", amount="9"), by="ann")
        assert (changed.cap, changed.used, changed.set_by) == (Decimal(9), Decimal(7), "ann")
        assert [(each.id, each.used) for each in await book.list("vision")] == [
            ("vision:tokens:day", Decimal(7)),
            ("vision:tokens:total", Decimal(0)),
        ]
        assert await book.list("language") == []
        assert [each.id for each in await book.list(None, limit=1, offset=1)] == ["vision:tokens:total"]


class TestReach:
    async def test_a_changed_cap_and_a_changed_budget_reach_every_process(
        self, tenants: Tenants, database: Database, news: list[Notices]
    ) -> None:
        books = [LimitBook(database, each) for each in news]
        for each in news:
            await each.start()
        for amount in ("100", "50"):
            await books[0].set(cap(amount=amount), by="root")
            assert [await becomes(book, Decimal(amount)) for book in books] == [True, True]
        await books[0].remove("vision:tokens:minute")
        await tenants.change("vision", budget=Decimal(3))
        deadline = time.monotonic() + 30
        while [[limit.cap for limit in await book.limits_of("vision")] for book in books] != [[Decimal(3)], [Decimal(3)]]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.002)

    async def test_control_without_news_an_old_cap_goes_on(self, tenants: Tenants, database: Database) -> None:
        book = LimitBook(database, Deaf())
        await book.set(cap(), by="root")
        await book.limits_of("vision")
        await LimitBook(database).set(cap(amount="50"), by="root")
        assert not await becomes(book, Decimal(50), 0.1)

    async def test_what_is_remembered_asks_nothing_and_without_the_connection_everything_is_asked(
        self, tenants: Tenants, database: Database, news: list[Notices]
    ) -> None:
        statements: list[str] = []
        event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
        book = LimitBook(database, news[0], remembered_max=1)
        await news[0].start()
        first = await book.limits_of("vision", "a")
        asked = len(statements)
        for project in "abcd":
            assert await book.limits_of("vision", project) == first
        assert len(statements) == asked, "a team's limits are remembered together"
        await book.limits_of("language")
        asked = len(statements)
        await book.limits_of("vision", "a")
        assert len(statements) > asked, "more was remembered than may be"
        await news[0].close()
        asked = len(statements)
        await book.limits_of("vision", "a")
        assert len(statements) > asked

    async def test_of_a_team_with_many_limits_each_callers_are_remembered_by_themselves(
        self, tenants: Tenants, database: Database, news: list[Notices], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "TOGETHER_MAX", 1)
        book = LimitBook(database, news[0], remembered_max=2)
        await news[0].start()
        for project in "ab":
            await book.set(cap(project=project), by="root")
        first = await book.limits_of("vision", "a")
        assert [limit.id for limit in first] == ["budget/vision", "vision:project:a:tokens:minute"]
        assert await book.limits_of("vision", "a") is first
        await LimitBook(database).set(cap(project="a", amount="7"), by="root")
        assert await becomes(book, Decimal(7), project="a")

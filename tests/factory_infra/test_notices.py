"""News through PostgreSQL: they come at once, a lost connection is known as such, and what may have changed is not remembered."""

import time
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import text

from factory_infra.database import Database
from factory_infra.notices import EVERYTHING, Notices, Remembered, tell
from tests.waiting import eventually

CHANNEL = "test_news"


class StillNews:
    """A connection that is as fresh as the test says, and hands on what the test tells."""

    def __init__(self) -> None:
        self.fresh = True
        self.callbacks: list[Callable[[str], None]] = []

    def on(self, channel: str, callback: Callable[[str], None]) -> None:
        self.callbacks.append(callback)

    def say(self, payload: str) -> None:
        for each in self.callbacks:
            each(payload)


@pytest.fixture
async def notices(database_url: str) -> AsyncIterator[Notices]:
    opened = Notices(database_url, ping_seconds=0.1)
    yield opened
    await opened.close()


@pytest.mark.stack
class TestNotices:
    async def test_what_is_told_comes_once_committed_and_not_before(self, notices: Notices, database: Database) -> None:
        heard: list[str] = []
        notices.on(CHANNEL, heard.append)
        assert not notices.fresh
        await notices.start()
        assert notices.fresh and heard == [EVERYTHING]
        async with database.transaction() as session:
            await tell(session, CHANNEL, "a")
            await session.execute(text("SELECT pg_sleep(0.05)"))
            assert heard == [EVERYTHING]
        await eventually(lambda: heard == [EVERYTHING, "a"])

    async def test_what_is_rolled_back_was_never_told(self, notices: Notices, database: Database) -> None:
        heard: list[str] = []
        notices.on(CHANNEL, heard.append)
        await notices.start()
        with pytest.raises(ZeroDivisionError):
            async with database.transaction() as session:
                await tell(session, CHANNEL, "never")
                raise ZeroDivisionError
        async with database.transaction() as session:
            await tell(session, CHANNEL, "later")
        await eventually(lambda: "later" in heard)
        assert "never" not in heard

    async def test_a_connection_that_breaks_is_known_at_once_and_made_anew(self, notices: Notices, database: Database) -> None:
        heard: list[str] = []
        states: list[bool] = []

        def note(payload: str) -> None:
            heard.append(payload)
            states.append(notices.fresh)

        notices.on(CHANNEL, note)
        await notices.start()
        async with database.transaction() as session:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            await session.execute(text(others))
        await eventually(lambda: heard == [EVERYTHING, EVERYTHING] and notices.fresh)
        assert states == [False, False], "it said that it was fresh before everything was forgotten"

    async def test_a_connection_without_a_sign_of_life_is_not_fresh(self, notices: Notices, monkeypatch: pytest.MonkeyPatch) -> None:
        notices.on(CHANNEL, lambda payload: None)
        await notices.start()
        assert notices.fresh
        now = time.monotonic()
        monkeypatch.setattr("factory_infra.notices.time.monotonic", lambda: now + 5)
        assert not notices.fresh

    async def test_a_channel_that_is_asked_for_later_is_heard_too(self, notices: Notices, database: Database) -> None:
        notices.on(CHANNEL, lambda payload: None)
        await notices.start()
        heard: list[str] = []
        notices.on("test_more", heard.append)
        assert not notices.fresh
        await eventually(lambda: notices.fresh)
        async with database.transaction() as session:
            await tell(session, "test_more", "a")
        await eventually(lambda: heard == [EVERYTHING, "a"])

    async def test_a_database_that_is_away_holds_nothing_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("factory_infra.notices.START_SECONDS_MAX", 0.05)
        away = Notices("postgresql://nobody@127.0.0.1:9/none")
        away.on(CHANNEL, lambda payload: None)
        await away.start()
        assert not away.fresh
        await away.close()
        await away.close()


class TestRemembered:
    def memory(self, news: StillNews, entries_max: int = 3) -> Remembered[str, int]:
        return Remembered(news, CHANNEL, entries_max=entries_max)

    def keep(self, memory: Remembered[str, int], name: str, value: int = 1) -> None:
        memory.put(name, name, value, memory.mark(name))

    def test_a_notice_forgets_its_group_only(self) -> None:
        memory = self.memory(news := StillNews())
        self.keep(memory, "a")
        self.keep(memory, "b", 2)
        news.say("a")
        assert (memory.get("a", "a"), memory.get("b", "b")) == (None, 2)
        news.say(EVERYTHING)
        assert memory.get("b", "b") is None

    def test_what_changed_while_it_was_read_is_not_kept(self) -> None:
        memory = self.memory(news := StillNews())
        for said in ("a", EVERYTHING):
            mark = memory.mark("a")
            news.say(said)
            memory.put("a", "a", 1, mark)
            assert memory.get("a", "a") is None

    def test_while_the_news_are_not_fresh_nothing_is_known_and_nothing_kept(self) -> None:
        memory = self.memory(news := StillNews())
        self.keep(memory, "a")
        news.fresh = False
        assert memory.get("a", "a") is None
        self.keep(memory, "b")
        news.fresh = True
        assert (memory.get("a", "a"), memory.get("b", "b")) == (1, None)

    def test_the_least_used_is_forgotten_first(self) -> None:
        memory = self.memory(StillNews())
        for name in "abc":
            self.keep(memory, name)
        memory.get("a", "a")
        self.keep(memory, "d")
        assert [memory.get(name, name) for name in "abcd"] == [1, None, 1, 1]
        assert len(memory) == 3

    def test_nothing_is_believed_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        memory = self.memory(StillNews())
        self.keep(memory, "a")
        now = time.monotonic()
        monkeypatch.setattr("factory_infra.notices.time.monotonic", lambda: now + 61)
        assert memory.get("a", "a") is None

    def test_many_notices_take_no_room(self) -> None:
        memory = self.memory(news := StillNews())
        self.keep(memory, "kept")
        for number in range(1_000):
            news.say(str(number))
        assert len(memory._forgotten) <= 3
        assert memory.get("kept", "kept") is None, "what cannot be told apart any more must be forgotten"

"""Records: once per key, in order, walled by team. Each protection is also shown switched off."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import NotFound
from factory_infra.records.models import Event, NewEvent, PlanRecord, Thread
from factory_infra.records.service import Records

pytestmark = pytest.mark.stack

JsonObject = dict[str, JsonValue]


@pytest.fixture
def records(database: Database) -> Records:
    return Records(database)


def happened(key: str, thread: str = "t", **payload: JsonValue) -> NewEvent:
    return NewEvent(key=key, tenant="vision", thread_id=thread, kind="test", payload=payload)


def thread(name: str, tenant: str | None, age_seconds: float = 0.0) -> Thread:
    return Thread(id=name, tenant=tenant, created_by="somebody", title="", created_at=utcnow() - timedelta(seconds=age_seconds))


def plan(name: str, tenant: str, state: str = "proposed", age_seconds: float = 0.0) -> PlanRecord:
    moment = utcnow() - timedelta(seconds=age_seconds)
    return PlanRecord(
        id=name,
        tenant=tenant,
        thread_id="t",
        digest="d",
        state=state,
        document={"title": name},
        outcome={},
        decided_by=None,
        created_at=moment,
        updated_at=moment,
    )


class SlowCommits(Database):
    """Each transaction that writes the event `slow` lingers before it commits; the locks may be switched off."""

    def __init__(self, url: str, *, locked: bool) -> None:
        super().__init__(url)
        self._locked = locked
        self.linger: list[float] = []

    @asynccontextmanager
    async def transaction(self, lock: str | None = None, *, whole: bool = False) -> AsyncIterator[AsyncSession]:
        """A transaction that lingers if it is told to."""
        async with super().transaction(lock if self._locked else None, whole=whole) as session:
            yield session
            if lock is not None and self.linger:
                await asyncio.sleep(self.linger.pop())


async def follow_two_writers(url: str, *, locked: bool) -> list[str]:
    """Let a slow writer begin before a quick one, follow the stream meanwhile as a client does, and return what it saw."""
    database = SlowCommits(url, locked=locked)
    records, seen, position = Records(database), list[Event](), 0
    database.linger = [0.4]
    slow = asyncio.create_task(records.write_event(happened("slow", who="slow")))
    await asyncio.sleep(0.1)
    writers = asyncio.gather(slow, records.write_event(happened("quick", who="quick")))
    while True:
        over = writers.done()
        seen += await records.read_events("t", position)
        position = seen[-1].id if seen else 0
        if over:
            break
        await asyncio.sleep(0.02)
    await database.close()
    return [str(event.payload["who"]) for event in seen]


class TestEvents:
    async def test_the_same_key_is_written_once_and_stays_as_it_was(self, records: Records) -> None:
        await records.write_event(happened("k", say="first"))
        await records.write_event(happened("k", say="second"))
        assert [event.payload for event in await records.read_events("t")] == [{"say": "first"}]

    async def test_side_by_side_each_key_is_written_once(self, records: Records) -> None:
        await asyncio.gather(*(records.write_event(happened(f"k{index % 5}", number=index % 5)) for index in range(40)))
        events = await records.read_events("t")
        assert sorted(str(event.payload["number"]) for event in events) == ["0", "1", "2", "3", "4"]

    async def test_a_stream_resumes_after_what_it_saw(self, records: Records) -> None:
        for number in range(5):
            await records.write_event(happened(f"k{number}", number=number))
        first = await records.read_events("t", limit=2)
        rest = await records.read_events("t", first[-1].id)
        assert [event.payload["number"] for event in [*first, *rest]] == [0, 1, 2, 3, 4]

    async def test_threads_are_apart(self, records: Records) -> None:
        await records.write_event(happened("a", "t"))
        await records.write_event(happened("b", "u"))
        assert len(await records.read_events("t")) == 1

    async def test_a_reader_misses_no_event_of_a_slow_writer(self, database_url: str) -> None:
        assert await follow_two_writers(database_url, locked=True) == ["slow", "quick"]

    async def test_control_without_the_lock_the_slow_event_is_lost(self, database_url: str) -> None:
        assert await follow_two_writers(database_url, locked=False) == ["quick"]


class TestThreads:
    async def test_a_team_sees_its_own_and_an_administrator_all(self, records: Records) -> None:
        await records.create_thread(thread("old", "vision", 60))
        await records.create_thread(thread("new", "vision"))
        await records.create_thread(thread("theirs", "language", 30))
        await records.create_thread(thread("nobodys", None, 90))
        assert [each.id for each in await records.threads("vision")] == ["new", "old"]
        assert [each.id for each in await records.threads(None)] == ["new", "theirs", "old", "nobodys"]
        assert [each.id for each in await records.threads(None, limit=1, offset=1)] == ["theirs"]

    async def test_absent_and_foreign_are_refused_alike(self, records: Records) -> None:
        await records.create_thread(thread("theirs", "language"))
        await records.create_thread(thread("nobodys", None))
        words = []
        for name in ("theirs", "nobodys", "absent"):
            with pytest.raises(NotFound) as raised:
                await records.thread(name, "vision")
            words.append(str(raised.value).replace(name, "X"))
        assert len(set(words)) == 1
        assert (await records.thread("theirs", None)).tenant == "language"

    async def test_created_twice_is_once(self, records: Records) -> None:
        await records.create_thread(thread("t", "vision"))
        await records.create_thread(thread("t", "language"))
        assert (await records.thread("t", "vision")).tenant == "vision"

    async def test_is_named_once_and_shortly(self, records: Records) -> None:
        await records.create_thread(thread("t", "vision"))
        await records.title_thread("t", "a" * 500)
        await records.title_thread("t", "later")
        assert (await records.thread("t", None)).title == "a" * 200


class TestPlans:
    async def test_a_team_sees_its_own_by_state(self, records: Records) -> None:
        await records.save_plan(plan("a", "vision", age_seconds=9))
        await records.save_plan(plan("b", "vision", "done"))
        await records.save_plan(plan("c", "language"))
        assert [each.id for each in await records.plans("vision")] == ["b", "a"]
        assert [each.id for each in await records.plans("vision", "proposed")] == ["a"]
        assert {each.id for each in await records.plans(None, "proposed")} == {"a", "c"}

    async def test_absent_and_foreign_are_refused_alike(self, records: Records) -> None:
        await records.save_plan(plan("theirs", "language"))
        words = []
        for name in ("theirs", "absent"):
            with pytest.raises(NotFound) as raised:
                await records.plan(name, "vision")
            words.append(str(raised.value).replace(name, "X"))
        assert len(set(words)) == 1

    async def test_a_move_keeps_who_decided_and_the_outcome(self, records: Records) -> None:
        await records.save_plan(plan("a", "vision"))
        await records.move_plan("a", "running", decided_by="ann")
        await records.move_plan("a", "done", outcome={"done": ["s"]})
        await records.move_plan("a", "done")
        moved = await records.plan("a", "vision")
        assert (moved.state, moved.decided_by, moved.outcome, moved.document) == ("done", "ann", {"done": ["s"]}, {"title": "a"})

    async def test_a_plan_that_is_kept_again_does_not_move_back(self, records: Records) -> None:
        await records.save_plan(plan("a", "vision"))
        await records.move_plan("a", "running")
        await records.save_plan(plan("a", "vision"))
        assert (await records.plan("a", "vision")).state == "running"

    async def test_an_absent_plan_cannot_move(self, records: Records) -> None:
        with pytest.raises(NotFound):
            await records.move_plan("absent", "done")


class Effect:
    """Counts how often it was done; slow enough that attempts meet."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> JsonObject:
        """Do it."""
        self.times += 1
        mine = self.times
        await asyncio.sleep(0.05)
        return {"time": mine}


class Forgetful(Records):
    """The control: does the effect without lock and journal."""

    async def once(self, key: str, tool: str, tenant: str, effect: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        """Do it each time."""
        return await effect()


class TestOnce:
    async def attempts(self, records: Records, effect: Effect, count: int = 4) -> list[JsonObject]:
        return list(await asyncio.gather(*(records.once("k", "leases.acquire", "vision", effect) for _ in range(count))))

    async def test_attempts_side_by_side_do_it_once(self, records: Records) -> None:
        effect = Effect()
        assert await self.attempts(records, effect) == [{"time": 1}] * 4
        assert effect.times == 1

    async def test_asked_later_the_first_result_is_told(self, records: Records, database_url: str) -> None:
        effect = Effect()
        await self.attempts(records, effect, 1)
        other_process = Database(database_url)
        assert await self.attempts(Records(other_process), effect, 1) == [{"time": 1}]
        assert effect.times == 1
        await other_process.close()

    async def test_control_without_the_journal_it_is_done_each_time(self, database: Database) -> None:
        effect = Effect()
        await self.attempts(Forgetful(database), effect)
        assert effect.times == 4

    async def test_an_effect_that_failed_may_be_tried_again(self, records: Records) -> None:
        async def failing() -> JsonObject:
            raise NotFound("The factory said no.")

        with pytest.raises(NotFound):
            await records.once("k", "leases.acquire", "vision", failing)
        assert await self.attempts(records, Effect(), 1) == [{"time": 1}]

    async def test_other_keys_do_not_wait(self, records: Records) -> None:
        meeting = asyncio.Barrier(2)

        async def meet() -> JsonObject:
            await asyncio.wait_for(meeting.wait(), 5)
            return {}

        await asyncio.gather(*(records.once(key, "t", "vision", meet) for key in ("a", "b")))

    async def test_many_effects_that_use_the_database_do_not_starve_each_other(self, records: Records) -> None:
        async def writing(number: int) -> JsonObject:
            await asyncio.sleep(0.05)
            await records.write_event(happened(f"e{number}"))
            return {"number": number}

        async def one(number: int) -> JsonObject:
            async def effect() -> JsonObject:
                return await writing(number)

            return await records.once(f"k{number}", "t", "vision", effect)

        done = await asyncio.wait_for(asyncio.gather(*(one(number) for number in range(40))), 15)
        assert [each["number"] for each in done] == list(range(40))

"""The queue before the database: nothing waits for it, nothing is lost by it in an orderly end, and it is bounded."""

from collections.abc import Sequence

import pytest
from sqlalchemy.exc import OperationalError

from factory_infra.database import Database
from factory_infra.notices import Callback
from factory_infra.saas.models.transcripts import keeper as module
from factory_infra.saas.models.transcripts.keeper import Keeper
from factory_infra.saas.models.transcripts.models import Kept, Retention
from factory_infra.saas.models.transcripts.seal import Seal
from factory_infra.saas.models.transcripts.service import Transcripts
from tests.waiting import eventually


class Told:
    """News that come when a test says so."""

    fresh = True

    def __init__(self) -> None:
        self.callbacks: list[Callback] = []

    def on(self, channel: str, callback: Callback) -> None:
        self.callbacks.append(callback)


class Written(Transcripts):
    """Stands in for the database: it may be away."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.away = False

    async def keep(self, calls: Sequence[Kept]) -> int:
        if self.away:
            raise OperationalError("", {}, OSError("away"))
        self.calls += [call.id for call in calls]
        return len(calls)


def call(name: str) -> Kept:
    return Kept(id=name, tenant="vision", key_id="k", model="fast", request={}, answer={})


async def test_what_waits_is_written_at_the_end() -> None:
    written = Written()
    keeper = Keeper(written, Told())
    for name in range(120):
        keeper.keep(call(str(name)))
    await keeper.close()
    assert written.calls == [str(name) for name in range(120)]


async def test_it_goes_on_once_the_database_is_back() -> None:
    written = Written()
    written.away = True
    keeper = Keeper(written, Told())
    await keeper.start()
    keeper.keep(call("a"))
    await eventually(lambda: not keeper.idle)
    written.away = False
    await eventually(lambda: keeper.idle)
    await keeper.close()
    assert written.calls == ["a"]


async def test_the_oldest_are_dropped_where_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 3)
    written = Written()
    keeper = Keeper(written, Told())
    for name in "abcde":
        keeper.keep(call(name))
    await keeper.close()
    assert written.calls == ["c", "d", "e"]


async def test_nor_may_they_take_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES_MAX", 1_000)
    written = Written()
    keeper = Keeper(written, Told())
    for name in "abc":
        keeper.keep(call(name).model_copy(update={"request": {"text": "x" * 400}}))
    keeper.keep(call("c").model_copy(update={"request": {"text": "x" * 400}}))  # again: it counts once
    await keeper.close()
    assert written.calls == ["b", "c"]


@pytest.mark.stack
async def test_a_team_that_changes_its_mind_is_heard(database: Database) -> None:
    transcripts, told = Transcripts(database, Seal(b"k" * 32)), Told()
    keeper = Keeper(transcripts, told)
    assert await keeper.wanted("vision") is False
    await transcripts.set_retention("vision", 3, "ann")
    assert await keeper.wanted("vision") is False  # remembered, and the news have not come yet
    told.callbacks[0]("vision")
    assert await keeper.wanted("vision") is True


@pytest.mark.stack
async def test_a_team_that_turned_it_off_meanwhile_is_not_kept(database: Database) -> None:
    transcripts = Transcripts(database, Seal(b"k" * 32))
    await transcripts.set_retention("vision", 3, "ann")
    keeper = Keeper(transcripts, Told())
    keeper.keep(call("a"))
    await transcripts.set_retention("vision", None, "ann")
    await keeper.close()
    assert await transcripts.list("vision") == []


async def test_where_the_database_cannot_say_nothing_is_kept_and_no_call_fails() -> None:
    class Away(Written):
        async def retention(self, tenant: str) -> Retention:
            raise OperationalError("", {}, OSError("away"))

    assert await Keeper(Away(), Told()).wanted("vision") is False

"""Requests are kept by consent, sealed, and gone when they should be."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from factory_infra.database import Database, utcnow
from factory_infra.errors import InvalidInput, NotFound
from factory_infra.paas.deployments.request_log import Consent, RequestLog
from factory_infra.paas.deployments.traffic_tables import RequestRow
from factory_infra.saas.models.transcripts.seal import Seal
from tests.factory_infra.paas.deployments.fakes import FakeServing, Place

pytestmark = pytest.mark.stack
KEEP = Consent(tenant="vision", endpoint="reader", days=30, share=1.0, set_by="ann")


@pytest.fixture
async def place(database: Database, tmp_path: Path) -> AsyncIterator[Place]:
    """An endpoint that answers with version 1."""
    made = Place(database, tmp_path, FakeServing())
    await made.deploy()
    yield made
    await made.deployments.close()


@pytest.fixture
async def log(place: Place) -> AsyncIterator[RequestLog]:
    """The log, connected."""
    made = RequestLog(place.database, Seal(b"secret"))
    place.deployments.traffic.keep = made.keep
    yield made
    await made.close()


async def rows(database: Database) -> list[RequestRow]:
    """What is in the table."""
    async with database.transaction() as session:
        return list(await session.scalars(select(RequestRow)))


async def kept(place: Place, log: RequestLog, times: int) -> int:
    """Ask so often and say how many are in the log then."""
    place.deployments.traffic.routes.forget("vision", "reader")
    await place.ask(times)
    await log.write()
    return len(await log.recent("vision", "reader"))


async def test_nothing_is_kept_until_the_team_says_so_and_nothing_stays_when_it_takes_that_back(place: Place, log: RequestLog) -> None:
    assert await kept(place, log, 5) == 0 and (await log.consent("vision", "reader")).days is None
    assert (await log.set_consent(KEEP)).days == 30
    assert await kept(place, log, 5) == 5
    [first, *_] = await log.recent("vision", "reader", limit=1)
    assert (first.rows, first.labels, first.version) == ([[1.0]], ["right"], 1)
    await log.set_consent(KEEP.model_copy(update={"days": None}))
    assert await kept(place, log, 5) == 0 and await rows(place.database) == []


async def test_what_waits_while_consent_is_taken_back_is_not_kept(place: Place, log: RequestLog) -> None:
    await log.set_consent(KEEP)
    place.deployments.traffic.routes.forget("vision", "reader")
    await place.ask(3)
    await log.set_consent(KEEP.model_copy(update={"days": None}))
    assert await log.write() == 0 and await rows(place.database) == []


async def test_a_share_is_drawn_by_chance(place: Place, log: RequestLog) -> None:
    await log.set_consent(KEEP.model_copy(update={"share": 0.2}))
    assert 10 < await kept(place, log, 300) < 120


async def test_rows_are_sealed_and_another_team_finds_nothing(place: Place, log: RequestLog) -> None:
    await log.set_consent(KEEP)
    await kept(place, log, 1)
    [row] = await rows(place.database)
    assert b"right" not in row.sealed and b"1.0" not in row.sealed
    for act in (log.recent, log.consent):
        with pytest.raises(NotFound):
            await act("language", "reader")


async def test_past_its_day_a_request_is_not_shown_and_then_removed(place: Place, log: RequestLog) -> None:
    await log.set_consent(KEEP)
    await kept(place, log, 2)
    async with place.database.transaction() as session:
        await session.execute(update(RequestRow).values(expires_at=utcnow() - timedelta(seconds=1)))
    assert await log.recent("vision", "reader") == [] and await log.expire() == 2


@pytest.mark.parametrize("change", [{"days": 0}, {"days": 366}, {"share": 0.0}, {"share": 1.1}])
async def test_days_and_shares_that_cannot_be_are_refused(log: RequestLog, change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        await log.set_consent(KEEP.model_copy(update=change))

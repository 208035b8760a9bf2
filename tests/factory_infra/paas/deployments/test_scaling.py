"""Servers grow with the load, shrink when it goes, and sleep when nobody asks; whoever asks then waits for one start."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from factory_infra.database import Database, utcnow
from factory_infra.errors import EffectFailed, NotFound
from factory_infra.paas.deployments import scaling as module
from factory_infra.paas.deployments.rollout_models import RolloutState
from factory_infra.paas.deployments.scaling import NewScaling, Scaler
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.deployments.tally import LIVE, Side
from factory_infra.paas.deployments.traffic_tables import CountRow, ScalingRow
from tests.factory_infra.paas.deployments.fakes import FakeServing, Place

pytestmark = pytest.mark.stack
IDLE = NewScaling(idle_seconds=60)


@pytest.fixture
async def place(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """An endpoint that answers with version 1, and a world without waiting."""
    monkeypatch.setattr(module, "DRAIN_SECONDS", -1.0)
    monkeypatch.setattr(module, "COOL_SECONDS", -1.0)
    made = Place(database, tmp_path, FakeServing())
    await made.deploy()
    yield made
    await made.deployments.close()


@pytest.fixture
def scaler(place: Place) -> Scaler:
    """What scales it."""
    return Scaler(place.database, place.deployments)


async def busy(place: Place, parallel: float) -> None:
    """Count so many requests at one time over the last moments."""
    place.deployments.traffic.tally.of(Side("vision", "reader", LIVE)).busy_ms = parallel * 30 * 1000
    await place.deployments.traffic.tally.write()


async def long_ago(place: Place) -> None:
    """Let nobody have asked for an hour."""
    async with place.database.transaction() as session:
        hour = utcnow() - timedelta(hours=1)
        await session.execute(update(EndpointRow).values(updated_at=hour))
        await session.execute(update(ScalingRow).values(set_at=hour, moved_at=hour))
        await session.execute(update(CountRow).values(window_at=hour))


async def turn(place: Place, scaler: Scaler, times: int = 1) -> int:
    """Take turns; return how many servers may be asked."""
    for _ in range(times):
        await scaler.turn("vision", "reader")
    return (await scaler.get("vision", "reader")).servers


async def test_servers_grow_with_the_load_and_shrink_when_it_goes(place: Place, scaler: Scaler) -> None:
    await scaler.set("vision", "reader", NewScaling(servers_max=3, parallel_target=4), "k")
    assert await turn(place, scaler) == 1
    await busy(place, 9.0)
    assert [await turn(place, scaler) for _ in range(3)] == [2, 3, 3]
    assert len(place.serving.up) == 3 and (await place.ask(10)) == {1: 10}
    async with place.database.transaction() as session:
        await session.execute(update(CountRow).values(busy_ms=0))
    assert await turn(place, scaler, 6) == 1
    assert len(place.serving.up) == 1 and (await place.ask(5)) == {1: 5}


async def test_requests_are_spread_and_a_replica_that_dies_is_missed_by_nobody(place: Place, scaler: Scaler) -> None:
    await scaler.set("vision", "reader", NewScaling(servers_max=2, parallel_target=1), "k")
    await busy(place, 2.0)
    assert await turn(place, scaler, 2) == 2
    place.serving.slow = {1: 0.01}
    await asyncio.gather(*(place.ask() for _ in range(10)))
    dead = list(place.serving.up)[-1]
    del place.serving.up[dead]
    place.serving.stopped.append(dead)
    assert sum([(await place.ask())[1] for _ in range(10)]) == 10
    assert (await scaler.health("vision", "reader")).state == "degraded"
    assert await turn(place, scaler, 3) == 2
    assert (await scaler.health("vision", "reader")).state == "healthy"


async def test_one_that_nobody_asks_sleeps_and_wakes_once_for_all_who_ask(place: Place, scaler: Scaler) -> None:
    await scaler.set("vision", "reader", IDLE, "k")
    assert await turn(place, scaler) == 1
    await long_ago(place)
    assert await turn(place, scaler) == 0 and place.serving.up == {}
    assert (await scaler.health("vision", "reader")).state == "asleep"
    starts, place.serving.start_seconds = place.serving.starts, 0.1
    answers = await asyncio.gather(*(place.deployments.predict("vision", "reader", [[1.0]]) for _ in range(60)))
    assert {each.version for each in answers} == {1} and place.serving.starts == starts + 1
    assert await turn(place, scaler) == 1


async def test_two_processes_that_wake_it_at_once_start_one_server(place: Place, scaler: Scaler) -> None:
    await scaler.set("vision", "reader", IDLE, "k")
    await long_ago(place)
    await turn(place, scaler)
    other = place.another()
    place.serving.start_seconds = 0.05
    asked = [each.predict("vision", "reader", [[1.0]]) for each in (place.deployments, other) for _ in range(5)]
    assert {each.version for each in await asyncio.gather(*asked)} == {1} and len(place.serving.up) == 1
    await other.close()


async def test_a_start_that_fails_is_told_to_all_who_wait_and_the_next_one_may_wake_it(place: Place, scaler: Scaler) -> None:
    await scaler.set("vision", "reader", IDLE, "k")
    await long_ago(place)
    await turn(place, scaler)
    place.serving.unhealthy = {1}
    told = await asyncio.gather(*(place.deployments.predict("vision", "reader", [[1.0]]) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(each, EffectFailed) for each in told)
    place.serving.unhealthy = set()
    assert (await place.ask(3)) == {1: 3}


async def test_one_in_a_rollout_does_not_sleep_and_a_new_version_takes_its_replicas_over(place: Place, scaler: Scaler) -> None:
    await scaler.set("vision", "reader", NewScaling(servers_max=2, parallel_target=1, idle_seconds=60), "k")
    begun = await place.begin(strategy="blue_green")
    await place.turn(begun.id)
    await long_ago(place)
    await turn(place, scaler)
    assert set(place.serving.up.values()) == {1, 2}
    await busy(place, 2.0)
    assert await turn(place, scaler, 2) == 2
    place.deployments.traffic.routes.forget("vision", "reader")
    assert (await place.until_ended(begun.id)).state is RolloutState.PROMOTED
    await busy(place, 2.0)
    await turn(place, scaler, 5)
    await place.deployments.tidy("vision", "reader")
    assert sorted(each for each in place.serving.up.values() if each == 2) == [2, 2] and await turn(place, scaler) == 2


async def test_the_same_key_changes_nothing_and_unknown_endpoints_are_not_found(place: Place, scaler: Scaler) -> None:
    await scaler.set("vision", "reader", NewScaling(servers_max=3), "k")
    assert (await scaler.set("vision", "reader", NewScaling(servers_max=5), "k")).servers_max == 3
    assert (await scaler.set("vision", "reader", NewScaling(servers_max=5), "l")).servers_max == 5
    assert await scaler.places() == [("vision", "reader")]
    for act in (scaler.get, scaler.health):
        with pytest.raises(NotFound):
            await act("language", "reader")
    await place.deployments.retire("vision", "reader", "r")
    with pytest.raises(NotFound):
        await scaler.get("vision", "reader")
    await scaler.turn("vision", "reader")
    assert place.serving.up == {}

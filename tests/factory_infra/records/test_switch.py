"""The switch: one for the installation, seen by every process at its next effect."""

import asyncio

import pytest

from factory_infra.database import Database
from factory_infra.errors import EffectsStopped
from factory_infra.records.switch import Switch

pytestmark = pytest.mark.stack


async def test_at_first_effects_may_happen(database: Database) -> None:
    switch = Switch(database)
    await switch.check()
    assert (await switch.state()).stopped is False


async def test_it_is_told_by_whom_and_why_until_it_is_turned_back(database: Database) -> None:
    here, there = Switch(database), Switch(database)
    await here.turn(stopped=True, actor="root (1)", reason="Smoke.")
    with pytest.raises(EffectsStopped, match=r"root \(1\): Smoke\."):
        await there.check()
    await there.turn(stopped=False, actor="ann (2)")
    await here.check()
    state = await here.state()
    assert (state.stopped, state.actor) == (False, "ann (2)")


async def test_who_turned_it_first_is_kept(database: Database) -> None:
    switch = Switch(database)
    first = await switch.turn(stopped=True, actor="root (1)", reason="Smoke.")
    assert await switch.turn(stopped=True, actor="ann (2)", reason="Fire.") == first


async def test_side_by_side_it_is_turned_once(database: Database) -> None:
    switches = [Switch(database) for _ in range(6)]
    states = await asyncio.gather(*(each.turn(stopped=True, actor=f"a{number}") for number, each in enumerate(switches)))
    assert len({state.actor for state in states}) == 1

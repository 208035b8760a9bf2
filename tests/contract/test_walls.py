"""What every provider of walls must do: hold, tell the truth about what stands, and be found out where a wall is missing."""

import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, cast, get_args

import pytest
import pytest_asyncio

from factory_infra.iaas.isolation.interface import Walls
from factory_infra.iaas.isolation.models import Attempt, Door, Wall
from factory_infra.iaas.isolation.registry import PROVIDERS
from tests.contract.houses import NotHere

pytestmark = pytest.mark.stack

DOORS: tuple[Door, ...] = get_args(Door)


class WallsHouse(Protocol):
    """An engine with two tenants, for the time of a session."""

    walls: Walls
    attacker: str
    victim: str
    lacks: dict[str, str]
    """Doors that the engine has not at all → reason."""

    @property
    def removable(self) -> Sequence[str]:
        """Walls that can be taken down on purpose."""
        ...

    def without(self, name: str) -> AbstractAsyncContextManager[Walls]:
        """The same engine with one of the victim's walls down."""
        ...

    async def __aenter__(self) -> "WallsHouse":
        """Start the engine. Raises NotHere."""
        ...

    async def __aexit__(self, *exception: object) -> None:
        """End it."""
        ...


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=list(PROVIDERS))
async def walls_house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WallsHouse]:
    """Each provider's house in turn; skipped, with the reason, where its engine is not here."""
    provider, name = request.param, f"tests.contract.{request.param}_walls"
    try:
        opened = cast("WallsHouse", importlib.import_module(name).WallsHouse(tmp_path_factory.mktemp(f"{provider}-walls")))
        house = await opened.__aenter__()
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        pytest.skip(f"{provider} is not here: tests/contract/{provider}_walls.py does not exist yet")
    except NotHere as error:
        pytest.skip(f"{provider} is not here: {error}")
    try:
        yield house
    finally:
        await opened.__aexit__(None, None, None)


async def both_up(house: WallsHouse) -> None:
    for tenant in (house.attacker, house.victim):
        await house.walls.ensure(tenant)


def wrong(attempts: list[Attempt]) -> list[Attempt]:
    """What was not refused, or was refused by nobody."""
    return [each for each in attempts if not each.refused or not each.by]


def fallen(walls: list[Wall]) -> list[str]:
    return [wall.name for wall in walls if wall.state in {"missing", "broken"}]


class TestWalls:
    async def test_stand_or_say_why_they_cannot(self, walls_house: WallsHouse) -> None:
        for tenant in (walls_house.attacker, walls_house.victim):
            walls = await walls_house.walls.ensure(tenant)
            assert walls
            assert fallen(walls) == []
            assert [wall.name for wall in walls if wall.state == "not_available" and not wall.note] == []

    async def test_are_put_up_once_and_checked_without_a_change(self, walls_house: WallsHouse) -> None:
        first = await walls_house.walls.ensure(walls_house.victim)
        checked = await walls_house.walls.check(walls_house.victim)
        again = await walls_house.walls.ensure(walls_house.victim)
        states = [sorted((wall.name, wall.state) for wall in walls) for walls in (first, checked, again)]
        assert states[0] == states[1] == states[2]

    async def test_refuse_every_door_by_name(self, walls_house: WallsHouse) -> None:
        await both_up(walls_house)
        attempts = await walls_house.walls.attack(walls_house.attacker, walls_house.victim)
        assert wrong(attempts) == []
        assert {each.door for each in attempts} == set(DOORS) - set(walls_house.lacks)

    async def test_an_attack_leaves_nothing_that_the_next_trips_on(self, walls_house: WallsHouse) -> None:
        await both_up(walls_house)
        again = await walls_house.walls.attack(walls_house.attacker, walls_house.victim)
        assert wrong(again) == []
        assert fallen(await walls_house.walls.check(walls_house.victim)) == []

    async def test_one_removed_on_purpose_is_found(self, walls_house: WallsHouse) -> None:
        """The control: a test of walls that finds nothing when there are none tests nothing."""
        await both_up(walls_house)
        unseen = []
        for name in walls_house.removable:
            async with walls_house.without(name) as walls:
                through = [each for each in await walls.attack(walls_house.attacker, walls_house.victim) if not each.refused]
                if not through and not fallen(await walls.check(walls_house.victim)):
                    unseen.append(name)
        await both_up(walls_house)
        assert unseen == []

    async def test_of_a_tenant_that_is_gone_are_taken_down_once(self, walls_house: WallsHouse) -> None:
        await walls_house.walls.ensure(walls_house.victim)
        for _ in range(2):
            await walls_house.walls.remove(walls_house.victim)
        assert fallen(await walls_house.walls.ensure(walls_house.victim)) == []


def test_house_is_told_by_its_folder(tmp_path: Path) -> None:
    """Every provider that the registry names is asked."""
    assert set(PROVIDERS) == {"local", "slurm", "kubernetes", "aws", "twin"}

"""A roll-out with real servers under load, its turner killed on the way: every request is answered, and one server is left."""

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from factory_infra.database import Database
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.deployments.rollout_models import NewRollout, Rollout, RolloutPlan, RolloutState
from factory_infra.paas.deployments.rollouts import Rollouts
from tests.factory_infra.paas.deployments.test_local import kill_server
from tests.factory_infra.paas.deployments.turner import deployments_at
from tests.tiny_onnx import FRAGILE

pytestmark = pytest.mark.stack
ASKERS = 4
ROW = [99.0, 1.0]


@dataclass
class Load:
    """Requests without a pause."""

    deployments: LocalDeployments
    seen: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    async def ask(self) -> None:
        """Ask for ever."""
        while True:
            try:
                answer = await self.deployments.predict("vision", "reader", [ROW])
                self.seen[answer.version if answer.labels == ["high"] else -1] += 1
            except Exception as error:  # noqa: BLE001 - any failure is a request that was lost
                self.lost.append(f"{type(error).__name__}: {error}")


@asynccontextmanager
async def load(deployments: LocalDeployments) -> AsyncIterator[Load]:
    """Ask while the block runs."""
    made = Load(deployments)
    tasks = [asyncio.create_task(made.ask()) for _ in range(ASKERS)]
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@contextmanager
def turner(database_url: str, home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that turns roll-outs."""
    command = [sys.executable, "-m", "tests.factory_infra.paas.deployments.turner", database_url, str(home)]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@dataclass
class Place:
    """What a test acts on."""

    deployments: LocalDeployments
    rollouts: Rollouts
    url: str
    home: Path

    async def begin(self, version: int, **plan: object) -> str:
        """Begin a roll-out."""
        fields = {"step_seconds": 0.3, "requests_min": 20, **plan}
        wanted = NewRollout(
            tenant="vision",
            endpoint="reader",
            model_name="digits",
            version=version,
            key=f"k/{version}",
            plan=RolloutPlan.model_validate(fields),
        )
        return (await self.rollouts.start(wanted)).id

    async def until(self, name: str, holds: Callable[[Rollout], bool]) -> Rollout:
        """Wait for a roll-out to be so."""
        deadline = time.monotonic() + 60
        while not holds(found := await self.rollouts.get(name, None)):
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.02)
        return found

    async def servers(self) -> list[str]:
        """Jobs of servers that run."""
        return [job.id for job in await LocalJobs(self.home / "jobs").list("vision") if not job.state.final]

    async def one_server(self) -> bool:
        """Wait until all others are stopped."""
        deadline = time.monotonic() + 30
        while len(await self.servers()) > 1 and time.monotonic() < deadline:  # noqa: ASYNC110 - processes end by themselves
            await asyncio.sleep(0.1)
        return len(await self.servers()) == 1


@pytest.fixture
async def place(database: Database, database_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    """An endpoint that answers with version 1."""
    deployments = deployments_at(database, tmp_path)
    await deployments.deploy("vision", "reader", "digits", 1, "deploy/1")
    yield Place(deployments, Rollouts(database, deployments), database_url, tmp_path)
    await deployments.close()
    await asyncio.to_thread(stop_all, tmp_path / "jobs")


async def test_a_killed_turner_loses_no_request_and_another_one_goes_on(place: Place) -> None:
    async with load(place.deployments) as asked:
        name = await place.begin(2, shares=[0.1, 0.5])
        with turner(place.url, place.home) as first:
            await place.until(name, lambda found: found.state is RolloutState.RUNNING)
            first.send_signal(signal.SIGKILL)
        with turner(place.url, place.home):
            ended = await place.until(name, lambda found: found.state.ended)
            assert ended.state is RolloutState.PROMOTED
            assert await place.one_server()
    assert asked.lost == [] and asked.seen[1] > 20 and asked.seen[2] > 20 and asked.seen[-1] == 0


async def test_a_version_that_fails_on_what_it_is_asked_goes_back_and_nobody_notices(place: Place) -> None:
    async with load(place.deployments) as asked:
        with turner(place.url, place.home):
            name = await place.begin(FRAGILE, shares=[0.05, 0.5])
            ended = await place.until(name, lambda found: found.state.ended)
        assert (ended.state, ended.code, ended.step) == (RolloutState.ROLLED_BACK, "error_rate", 0)
    assert asked.lost == [] and set(asked.seen) == {1}


async def test_servers_that_are_killed_are_missed_by_nobody(place: Place) -> None:
    async with load(place.deployments) as asked:
        [live] = await place.servers()
        await asyncio.to_thread(kill_server, place.home / "jobs" / "vision" / live)
        before = asked.seen.total()
        await eventually_more(lambda: asked.seen.total() > before + 50)
    assert asked.lost == []


async def eventually_more(holds: Callable[[], bool]) -> None:
    """Wait for more answers."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)

"""Seeded fault programs: what a client asks of clusters, what goes wrong meanwhile, and what must be true afterwards.

The driver knows clusters only through `Door`, so that whatever hands machines out can be put in its place.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from factory_infra.errors import CapacityExceeded, Conflict, LineshaftError, NotFound
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.providers.aws import AwsClusters
from factory_infra.foundation.pools.aws import Client
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.settings import Settings
from tests.emulators.aws.faults import FaultKind
from tests.emulators.aws.server import Emulator

MACHINE, OTHER = "g5.xlarge", "g6.xlarge"
TENANT = "vision"
ASKED_MAX = 12
"""So often a client asks again for the same thing before the program is a failure."""
FAULTS_MAX = 2
"""So many faults, restarts included, befall one intent: each may cost one more call, which makes three at most."""
CALLS_MAX = 3
AT_ONCE = 4
CHANGING = ("CreateLaunchTemplate", "CreateFleet", "TerminateInstances", "CreateTags", "DeleteLaunchTemplate")
FAULTS: tuple[FaultKind, ...] = ("throttled", "internal", "dropped", "dropped_before")


Ask = Callable[[], Coroutine[object, object, int]]


class Door(Protocol):
    """What a program asks: a provider of clusters, or what stands before it."""

    @property
    def moves(self) -> Sequence[str]:
        """What it can be asked."""
        ...

    async def differences(self, asked: Collection[str], held: Collection[str]) -> list[str]:
        """What its own books say otherwise than they must, at the end, of the keys that were asked for and those that are held."""
        ...

    def cluster(self, key: str) -> str:
        """The cluster of a key."""
        ...

    async def acquire(self, key: str, count: int) -> int:
        """Machines under a key; how many were granted."""
        ...

    async def scale(self, key: str, count: int, effect: str) -> int:
        """Another number."""
        ...

    async def replace(self, key: str, effect: str, machine: str) -> int:
        """Another machine for one."""
        ...

    async def machines(self, key: str) -> list[str]:
        """What it has now."""
        ...

    async def release(self, key: str) -> None:
        """Nothing any more."""
        ...


CLIENTS: dict[str, dict[tuple[str, int, float], Client]] = {}


class ClustersDoor:
    """Clusters themselves, through a provider that may be new each time."""

    moves: Sequence[str] = ("acquire", "scale", "replace", "release")

    def __init__(self, pool: AwsPool, settings: Settings) -> None:
        self._clusters = AwsClusters(pool, settings)
        # A client of botocore remembers nothing of its calls, and takes as long to make as several of them.
        self._clusters.access._clients = CLIENTS.setdefault(str(pool.endpoint_url), {})

    def cluster(self, key: str) -> str:
        """See Door."""
        return cluster_id(key)

    async def acquire(self, key: str, count: int) -> int:
        """See Door."""
        wanted = ClusterSpec(key=key, tenant=TENANT, lease_id=key, machine=MACHINE, alternatives=(OTHER,), count=count, price_class="spot")
        return self._count(await self._clusters.provision(wanted))

    async def scale(self, key: str, count: int, effect: str) -> int:
        """See Door."""
        return self._count(await self._clusters.scale(cluster_id(key), TENANT, count, effect))

    async def replace(self, key: str, effect: str, machine: str) -> int:
        """See Door."""
        return self._count(await self._clusters.replace(cluster_id(key), TENANT, machine, effect))

    async def machines(self, key: str) -> list[str]:
        """See Door."""
        found = await self._clusters.get(cluster_id(key), TENANT)
        return [each.id for each in found.machines]

    async def release(self, key: str) -> None:
        """See Door."""
        await self._clusters.release(cluster_id(key), TENANT)

    async def differences(self, asked: Collection[str], held: Collection[str]) -> list[str]:
        """It keeps no books."""
        return []

    @staticmethod
    def _count(cluster: Cluster) -> int:
        return len(cluster.machines)


@dataclass
class Book:
    """What a client believes: how many machines each key has. This is the ledger of the program."""

    held: dict[str, int] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    refused: int = 0


@dataclass
class Verdict:
    """What a program left."""

    seed: int
    differences: list[str]
    strays: int
    calls_worst: int
    intents: int
    refused: int

    @property
    def held(self) -> bool:
        """Whether everything is as it must be."""
        return not self.differences and self.strays == 0 and self.calls_worst <= CALLS_MAX


Opening = Callable[[AwsPool, Settings], Door]
"""A door as a process that knows nothing opens it."""


class Program:
    """One program of a seed against one fresh account."""

    def __init__(self, emulator: Emulator, seed: int, settings: Settings, door: Opening = ClustersDoor) -> None:
        self._emulator, self._seed, self._settings = emulator, seed, settings
        self._make = door
        self._random = random.Random(seed)  # noqa: S311 - a seed is the point
        self._pool = AwsPool.model_validate(
            {"name": "aws", "region": "us-east-1", "endpoint_url": emulator.address, "settle_seconds": 0.06}
        )
        self._door = self._make(self._pool, settings)
        self._book = Book()
        self._worst = 0
        self._intents = 0

    async def run(self, steps: int = 5) -> Verdict:
        """Play it, and look at what is left."""
        world = self._emulator.fresh()
        world.seen_after_seconds = self._random.choice([0.0, 0.0, 0.04])
        world.end_seconds = self._random.choice([0.0, 0.03])
        world.boot_seconds = self._random.choice([0.0, 0.03])
        world.capacity = {(MACHINE, ""): self._random.randint(2, 8), (OTHER, ""): self._random.randint(0, 3)}
        for _ in range(steps):
            await self._step()
        if self._random.random() < 0.5:
            for key in list(self._book.held):
                await self._release(key)
        await asyncio.sleep(world.seen_after_seconds + world.end_seconds)
        return self._look(await self._door.differences(self._book.asked, self._book.held))

    async def _step(self) -> None:
        held = list(self._book.held)
        choice = self._random.choice(self._door.moves if held else ["acquire"])
        key = self._random.choice(held) if held else ""
        if choice == "acquire":
            await self._acquire(f"p{self._seed}/{self._intents}")
        elif choice == "scale":
            await self._scale(key)
        elif choice == "replace":
            await self._replace(key)
        else:
            await self._release(key)

    async def _acquire(self, key: str) -> None:
        count = self._random.randint(1, 4)
        self._book.asked.add(key)
        if await self._asked(lambda: self._door.acquire(key, count)):
            self._book.held[key] = count
        else:
            self._book.refused += 1

    async def _scale(self, key: str) -> None:
        count, effect = self._random.randint(1, 5), f"scale-{self._intents}"
        if await self._asked(lambda: self._door.scale(key, count, effect)):
            self._book.held[key] = count

    async def _replace(self, key: str) -> None:
        effect = f"replace-{self._intents}"
        machines = await self._door.machines(key)
        if machines:
            machine = self._random.choice(sorted(machines))
            await self._asked(lambda: self._door.replace(key, effect, machine))

    async def _release(self, key: str) -> None:
        async def release() -> int:
            await self._door.release(key)
            return 0

        await self._asked(release)
        del self._book.held[key]

    async def _asked(self, ask: Ask) -> bool:
        """One intent: asked again, by a new process or the same, until it is answered. False where it was refused."""
        self._intents += 1
        faults = self._random.randint(0, FAULTS_MAX)
        restarts = self._random.randint(0, faults)
        for _ in range(faults - restarts):
            self._emulator.faults.add(self._random.choice(FAULTS), self._random.choice(CHANGING), skip=self._random.randint(0, 1))
        before = self._emulator.world.changes()
        try:
            return await self._insist(ask, restarts)
        finally:
            self._emulator.faults.faults.clear()
            made: Counter[tuple[str, str]] = self._emulator.world.changes() - before
            self._worst = max([self._worst, *made.values()])

    async def _insist(self, ask: Ask, restarts: int) -> bool:
        for _ in range(ASKED_MAX):
            asked = asyncio.ensure_future(ask())
            if restarts and self._random.random() < 0.7:
                restarts -= 1
                await self._killed(asked)
                continue
            try:
                await asked
            except (CapacityExceeded, Conflict, NotFound) as error:
                if not isinstance(error, CapacityExceeded):
                    raise
                return False
            except LineshaftError as error:
                if not error.retryable:
                    raise
                continue
            return True
        raise AssertionError(f"seed {self._seed}: never answered")

    async def _killed(self, asked: "asyncio.Future[int]") -> None:
        """Our process dies in the middle: what it asked AWS for goes on; a new one knows nothing."""
        await asyncio.wait([asked], timeout=self._random.uniform(0.0, 0.05))
        asked.cancel()
        await asyncio.wait([asked])
        if not asked.cancelled():
            asked.exception()
        self._door = self._make(self._pool, self._settings)

    def _look(self, told: list[str]) -> Verdict:
        """Compare the account itself, not what a describe shows, with the book."""
        world = self._emulator.world
        alive = machines_of(world.account)
        differences = [
            f"{key}: {alive.get(self._door.cluster(key), 0)} machines, {count} in the book"
            for key, count in self._book.held.items()
            if alive.get(self._door.cluster(key), 0) != count
        ]
        known = {self._door.cluster(key) for key in self._book.held}
        strays = sum(count for cluster, count in alive.items() if cluster not in known)
        return Verdict(self._seed, differences + told + world.broken, strays, self._worst, self._intents, self._book.refused)


async def play(seeds: Sequence[int], settings: Settings, door: Opening = ClustersDoor, *, until_broken: bool = False) -> list[Verdict]:
    """Play programs, some beside each other with an account each; on request no further than the first that does not hold."""
    left, verdicts = list(reversed(seeds)), list[Verdict]()

    async def worker(emulator: Emulator) -> None:
        while left and not (until_broken and any(not each.held for each in verdicts)):
            verdicts.append(await Program(emulator, left.pop(), settings, door).run())

    emulators = [Emulator() for _ in range(AT_ONCE)]
    for emulator in emulators:
        emulator.start()
    try:
        await asyncio.gather(*(worker(emulator) for emulator in emulators))
    finally:
        for emulator in emulators:
            emulator.stop()
    return verdicts


def machines_of(account: str, region: str = "us-east-1") -> Counter[str]:
    """How many machines of each cluster live in an account, read from moto's own state."""
    from moto.ec2.models import ec2_backends  # noqa: PLC0415 - heavy

    found: Counter[str] = Counter()
    for reservation in ec2_backends[account][region].reservations.values():
        for machine in reservation.instances:
            if machine.__dict__["_real"].name not in {"terminated"}:
                tags = {tag["key"]: tag["value"] for tag in machine.get_tags()}
                found[tags.get("lineshaft:cluster", "?")] += 1
    return found

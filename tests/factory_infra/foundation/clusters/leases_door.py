"""Fault programs over leases: what a team asks for is granted by the pool, reserved in the ledger and made by AWS, or none of it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from decimal import Decimal

import yaml
from pydantic import SecretStr

from factory_infra.errors import Conflict, NotFound
from factory_infra.factory import Factory, connect
from factory_infra.foundation.accelerators.pools import PooledAccelerators
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.registry import ClusterPools
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.leases.rows import lease_id
from factory_infra.iaas.leases.service import Leases
from factory_infra.saas.metering.service import Metering
from factory_infra.settings import Settings
from tests.factory_infra.foundation.clusters.programs import CLIENTS, TENANT, Door
from tests.parts import NOWHERE
from tools import leases
from tools.spec import ToolContext


class LeasesDoor:
    """Leases through the tools over them, in a process that knows nothing but the database."""

    moves: Sequence[str] = ("acquire", "release", "acquire")

    def __init__(self, factory: Factory, pool: AwsPool, settings: Settings) -> None:
        name = str(pool.endpoint_url).rstrip("/").rpartition(":")[2]
        path = settings.home / f"pools-{name}.yaml"
        settings.home.mkdir(parents=True, exist_ok=True)
        spec = pool.model_copy(update={"name": f"east-{name}", "instance_types": ("g5.xlarge",), "price_class": "spot"})
        path.write_text(yaml.safe_dump({"pools": [spec.model_dump(mode="json", exclude_defaults=True) | {"provider": "aws"}]}))
        self._pool = spec.name
        book = PoolBook(path)
        clusters = ClusterPools(book, settings)
        clusters.of(spec.name).access._clients = CLIENTS.setdefault(str(pool.endpoint_url), {})  # type: ignore[attr-defined]
        accelerators = PooledAccelerators(book, settings)
        made = Leases(factory.database, accelerators, clusters)
        metering = Metering(factory.database, factory.metering.prices, made)
        self._factory = replace(factory, pools=book, clusters=clusters, accelerators=accelerators, leases=made, metering=metering)

    def _context(self, key: str) -> ToolContext:
        return ToolContext(factory=self._factory, tenant=TENANT, actor="program", key=self._key(key))

    def _key(self, key: str) -> str:
        return f"{self._pool}/{key}"

    def cluster(self, key: str) -> str:
        """See Door."""
        return cluster_id(lease_id(self._key(key)))

    async def acquire(self, key: str, count: int) -> int:
        """See Door."""
        arguments = leases.AcquireArguments(slots=count, pool=self._pool, seconds=3600)
        return (await leases.acquire(self._context(key), arguments)).slots

    async def scale(self, key: str, count: int, effect: str) -> int:
        """A lease has one size."""
        raise Conflict("A lease is not scaled.")

    async def replace(self, key: str, effect: str, machine: str) -> int:
        """A lease's machines are replaced by the reliability tools."""
        raise Conflict("A lease's machine is not replaced here.")

    async def machines(self, key: str) -> list[str]:
        """See Door."""
        return (await self._factory.leases.get(TENANT, lease_id(self._key(key)))).machines

    async def release(self, key: str) -> None:
        """See Door."""
        name = lease_id(self._key(key))
        await leases.release(self._context(f"{key}/release"), leases.ReleaseArguments(lease_id=name))

    async def differences(self, asked: Collection[str], held: Collection[str]) -> list[str]:
        """Leases that are held against machines that they name, and against what is reserved for them."""
        wrong, reserved = [], set(await self._factory.metering.open_reservations("lease/"))
        for key in asked:
            name = lease_id(self._key(key))
            if (f"lease/{name}" in reserved) != (key in held):
                wrong.append(f"{name} is {'' if key in held else 'not '}held, and the ledger says otherwise")
            try:
                lease = await self._factory.leases.get(TENANT, name)
            except NotFound:
                wrong += [f"{name} is not there"] if key in held else []
                continue
            if lease.state.held != (key in held):
                wrong.append(f"{name} is {lease.state}")
            if key in held:
                wrong += await self._machines_differ(name, set(lease.machines))
        return wrong

    async def _machines_differ(self, name: str, named: set[str]) -> list[str]:
        there = {each.id for each in (await self._factory.clusters.of(self._pool).get(cluster_id(name), TENANT)).machines}
        return [] if there == named else [f"{name} names {len(named)} machines, {len(there)} are there"]


async def opening(settings: Settings) -> tuple[Factory, Callable[[AwsPool, Settings], Door]]:
    """A factory with a team that has money, and how its doors are opened. The caller closes the factory."""
    known = {"mlflow_url": NOWHERE, "chroma_url": NOWHERE, "model_server_url": NOWHERE, "model_server_key": SecretStr("k")}
    factory = connect(settings.model_copy(update=known))
    await factory.tenants.create(TENANT, quota_slots=100_000, budget=Decimal(10_000_000))
    return factory, lambda pool, chosen: LeasesDoor(factory, pool, chosen)

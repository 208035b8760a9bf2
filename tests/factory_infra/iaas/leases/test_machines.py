"""Leases for which machines are made: exact whatever is cut off, with the ledger, and nothing of theirs left."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from factory_infra.database import Database, utcnow
from factory_infra.errors import CapacityExceeded, Conflict, InvalidInput, LineshaftError, NotFound, QuotaExceeded, Unavailable
from factory_infra.foundation.accelerators.models import MachineType, Pool, Slot
from factory_infra.foundation.clusters.interface import Clusters
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec, ClusterState, Machine
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.iaas.leases.models import Lease, LeaseRequest, LeaseState
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.leases.tables import LeaseRow

pytestmark = pytest.mark.stack
GRANTING_SECONDS = 60


class Makers:
    """Makes machines in memory; `faults` are raised one after the other, before or after the effect."""

    def __init__(self) -> None:
        self.made: dict[str, Cluster] = {}
        self.calls = 0
        self.before: list[LineshaftError] = []
        self.after: list[LineshaftError] = []

    def of(self, pool: str) -> Clusters:
        return self

    async def provision(self, wanted: ClusterSpec) -> Cluster:
        if self.before:
            raise self.before.pop(0)
        if wanted.key not in self.made:
            self.calls += 1
            machines = [Machine(id=f"i-{wanted.key[-4:]}-{number}", type=wanted.machine, state="running") for number in range(wanted.count)]
            self.made[wanted.key] = Cluster(
                id=cluster_id(wanted.key),
                pool="west",
                tenant=wanted.tenant,
                lease_id=wanted.lease_id,
                state=ClusterState.READY,
                wanted=wanted.count,
                machines=machines,
            )
        if self.after:
            raise self.after.pop(0)
        return self.made[wanted.key]

    async def get(self, cluster_id: str, tenant: str) -> Cluster:
        found = [each for each in self.made.values() if each.id == cluster_id]
        if not found:
            raise NotFound(f"There is no cluster {cluster_id}.")
        return found[0]

    async def list(self, tenant: str | None = None) -> list[Cluster]:
        return [each for each in self.made.values() if tenant in (None, each.tenant)]

    async def scale(self, cluster_id: str, tenant: str, count: int, key: str = "") -> Cluster:
        return await self.get(cluster_id, tenant)

    async def release(self, cluster_id: str, tenant: str) -> Cluster:
        gone = await self.get(cluster_id, tenant)
        self.made = {key: each for key, each in self.made.items() if each.id != cluster_id}
        return gone


class West:
    """A pool in which two kinds of machines are made, 24 slots at most."""

    async def pool(self, name: str = "") -> Pool:
        slots = [Slot(index=index, kind="gpu", name="H100", memory_gib=80, accelerator="H100") for index in range(24)]
        machines = [
            MachineType(name="p5.48xlarge", kind="gpu", accelerator="H100", slots=8),
            MachineType(name="p5.4xlarge", kind="gpu", accelerator="H100", slots=1),
        ]
        return Pool(name="west", slots=slots, placement="machines", machines=machines)


@pytest.fixture
def makers() -> Makers:
    return Makers()


@pytest.fixture
async def leases(database: Database, makers: Makers) -> Leases:
    service = Leases(database, West(), makers)
    await service.set_quota("vision", 16)
    return service


def asking(slots: int = 8, *, key: str = "k", **fields: object) -> LeaseRequest:
    return LeaseRequest.model_validate({"tenant": "vision", "slots": slots, "key": key, "pool": "west", **fields})


class TestAcquire:
    async def test_a_lease_has_every_slot_of_its_machines(self, leases: Leases, makers: Makers) -> None:
        lease = await leases.acquire(asking(9))
        assert (len(lease.slots), lease.machine, len(lease.machines)) == (16, "p5.48xlarge", 2)
        assert lease.state is LeaseState.ACTIVE
        assert (await leases.quote(asking(9, key="other"))).slots == 16

    async def test_the_smallest_machine_that_holds_it_is_made(self, leases: Leases) -> None:
        lease = await leases.acquire(asking(1, accelerator="h100"))
        assert (lease.machine, len(lease.slots), lease.accelerator) == ("p5.4xlarge", 1, "H100")

    @pytest.mark.parametrize(
        ("request_", "error"),
        [
            (asking(17), QuotaExceeded),
            (asking(25), CapacityExceeded),
            (asking(9, topology="node"), CapacityExceeded),
            (asking(1, accelerator="B200"), InvalidInput),
        ],
    )
    async def test_what_cannot_be_makes_nothing(
        self, leases: Leases, makers: Makers, request_: LeaseRequest, error: type[LineshaftError]
    ) -> None:
        with pytest.raises(error):
            await leases.acquire(request_)
        assert makers.calls == 0
        assert await leases.list() == []

    async def test_an_answer_that_was_lost_makes_no_second_machine(self, leases: Leases, makers: Makers) -> None:
        makers.after = [Unavailable("The answer was lost.")]
        with pytest.raises(Unavailable):
            await leases.acquire(asking())
        assert (await leases.list())[0].state is LeaseState.GRANTING
        lease = await leases.acquire(asking())
        assert (makers.calls, lease.state) == (1, LeaseState.ACTIVE)

    async def test_many_at_once_under_one_key_are_one(self, leases: Leases, makers: Makers) -> None:
        granted = await asyncio.gather(*(leases.acquire(asking()) for _ in range(8)))
        assert {each.id for each in granted} == {granted[0].id}
        assert makers.calls == 1

    async def test_what_cannot_be_had_costs_nothing_and_holds_nothing(self, leases: Leases, makers: Makers) -> None:
        makers.before = [CapacityExceeded("None are left.")]
        with pytest.raises(CapacityExceeded):
            await leases.acquire(asking())
        (refused,) = await leases.list(active=False)
        assert (refused.state, refused.slot_seconds) == (LeaseState.REFUSED, 0.0)
        assert (await leases.usage("vision", "west")).slots_free == 24
        with pytest.raises(Conflict):
            await leases.acquire(asking())

    async def test_one_that_was_ended_while_it_was_made_leaves_no_machine(self, leases: Leases, makers: Makers, database: Database) -> None:
        makers.after = [Unavailable("The answer was lost.")]
        with pytest.raises(Unavailable):
            await leases.acquire(asking())
        (granting,) = await leases.list()
        await leases.release("vision", granting.id)
        assert makers.made == {}
        with pytest.raises(Conflict):
            await leases.acquire(asking())
        assert makers.made == {}


class TestEnd:
    async def test_released_machines_are_gone(self, leases: Leases, makers: Makers) -> None:
        lease = await leases.acquire(asking())
        released = await leases.release("vision", lease.id)
        assert makers.made == {}
        assert released.slot_seconds > 0
        assert await leases.release("vision", lease.id) == released

    async def test_what_ran_out_is_swept(self, leases: Leases, makers: Makers, database: Database) -> None:
        lease = await leases.acquire(asking())
        async with database.transaction() as session:
            await session.execute(update(LeaseRow).values(expires_at=utcnow() - timedelta(seconds=1)))
        await leases.held()
        assert [each.id for each in await leases.sweep(GRANTING_SECONDS)] == [lease.id]
        assert makers.made == {}
        assert await leases.sweep(GRANTING_SECONDS) == []

    async def test_a_grant_that_nobody_goes_on_with_is_given_up(self, leases: Leases, makers: Makers, database: Database) -> None:
        makers.after = [Unavailable("The answer was lost.")]
        with pytest.raises(Unavailable):
            await leases.acquire(asking())
        assert await leases.sweep(GRANTING_SECONDS) == []  # it is still young
        async with database.transaction() as session:
            await session.execute(update(LeaseRow).values(granted_at=utcnow() - timedelta(seconds=GRANTING_SECONDS + 1)))
        await leases.sweep(GRANTING_SECONDS)
        assert makers.made == {}
        async with database.transaction() as session:
            row = (await session.scalars(select(LeaseRow))).one()
        assert (row.state, Lease.model_validate(row).slot_seconds) == (LeaseState.REFUSED.value, 0.0)


class TestRenew:
    async def test_once_for_each_key(self, leases: Leases) -> None:
        lease = await leases.acquire(asking(seconds=100))
        renewed = await leases.renew("vision", lease.id, 50, "r1")
        assert await leases.renew("vision", lease.id, 50, "r1") == renewed
        assert renewed.expires_at == lease.expires_at + timedelta(seconds=50)
        assert (renewed.terms, len(renewed.renewals)) == ([100, 50], 1)

    async def test_one_that_has_ended_is_not(self, leases: Leases) -> None:
        lease = await leases.acquire(asking())
        await leases.release("vision", lease.id)
        with pytest.raises(Conflict):
            await leases.renew("vision", lease.id, 50, "r1")


class SpotWest(West):
    """The same, where machines are spot unless a lease says otherwise."""

    async def pool(self, name: str = "") -> Pool:
        return (await super().pool(name)).model_copy(update={"price_class": "spot"})


class TestPriceClass:
    @pytest.mark.parametrize(("asked", "paid"), [(None, "spot"), ("on_demand", "on_demand"), ("reserved", "reserved")])
    async def test_what_names_none_has_its_pools_own(self, database: Database, makers: Makers, asked: str | None, paid: str) -> None:
        leases = Leases(database, SpotWest(), makers)
        await leases.set_quota("vision", 16)
        request = asking(8, price_class=asked)
        assert (await leases.quote(request)).price_class == paid
        assert (await leases.acquire(request)).price_class == paid
        assert (await leases.quote(request)).price_class == paid

"""Leases that wait: granted in order, once, exactly, whoever asks beside whom; and every way in which a wait ends."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update

from factory_infra.database import Database, utcnow
from factory_infra.errors import CapacityExceeded, InvalidInput, QuotaExceeded
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.iaas.leases.granting import foretold_of
from factory_infra.iaas.leases.models import Lease, LeaseRequest, LeaseState
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.iaas.scheduling.policy import QuotaTree, SchedulingPolicy, read_quotas
from factory_infra.iaas.scheduling.rules import SchedulingRules

pytestmark = pytest.mark.stack
TEAMS = ("vision", "language", "speech")


class GpuPools:
    """Pools of two nodes with four GPUs each, whatever they are called."""

    async def pool(self, name: str = "") -> Pool:
        slots = [Slot(index=index, kind="gpu", name="H100", memory_gib=80, accelerator="H100", node=f"n{index // 4}") for index in range(8)]
        return Pool(name=name or "local", slots=slots)


class Rules(SchedulingRules):
    """What a test says."""

    def __init__(self, policy: SchedulingPolicy | None = None, quotas: QuotaTree | None = None) -> None:
        super().__init__()
        self._policy = policy or SchedulingPolicy()
        self._quotas = quotas or QuotaTree()

    def policy(self, pool: str) -> SchedulingPolicy:
        return self._policy

    def quotas(self) -> QuotaTree:
        return self._quotas


def asking(slots: int, key: str, tenant: str = "vision", wait: int = 600, **fields: object) -> LeaseRequest:
    base = {"tenant": tenant, "slots": slots, "key": key, "wait_seconds": wait, "seconds": 600}
    return LeaseRequest.model_validate(base | fields)


async def over(database: Database, rules: Rules | None = None) -> Leases:
    """Leases of three teams that may hold eight slots each."""
    made = Leases(database, GpuPools(), rules=rules)
    for team in TEAMS:
        await made.set_quota(team, 8)
    return made


@pytest.fixture
async def leases(database: Database) -> Leases:
    return await over(database)


async def states(leases: Leases) -> dict[str, str]:
    return {lease.id: lease.state.value for lease in await leases.list(active=False)}


class TestWaiting:
    async def test_what_is_free_is_granted_at_once(self, leases: Leases) -> None:
        lease = await leases.acquire(asking(8, "a"))
        assert (lease.state, lease.slots, lease.asked_at) == (LeaseState.ACTIVE, list(range(8)), None)

    async def test_what_is_not_free_waits_holds_nothing_and_says_why(self, leases: Leases) -> None:
        await leases.acquire(asking(6, "a"))
        lease = await leases.acquire(asking(4, "b", "language"))
        assert (lease.state, lease.slots, lease.slots_wanted) == (LeaseState.QUEUED, [], 4)
        assert lease.waiting is not None and lease.waiting.reason
        assert (await leases.usage("language")).quota_slots_used == 0
        assert await leases.acquire(asking(4, "b", "language")) == lease

    async def test_it_is_granted_by_a_pass_once_others_end(self, leases: Leases) -> None:
        first = await leases.acquire(asking(6, "a"))
        waiting = await leases.acquire(asking(4, "b", "language"))
        assert (await leases.grant_waiting()).leases == []
        await leases.release("vision", first.id)
        (granted,) = (await leases.grant_waiting()).leases
        assert (granted.id, granted.state, len(granted.slots), granted.waiting) == (waiting.id, LeaseState.ACTIVE, 4, None)
        assert granted.expires_at - granted.granted_at == timedelta(seconds=600)

    async def test_how_far_a_forecast_was_off_is_kept_when_it_begins(self, leases: Leases, database: Database) -> None:
        first = await leases.acquire(asking(6, "a"))
        waiting = await leases.acquire(asking(4, "b", "language"))
        await leases.release("vision", first.id)
        await leases.grant_waiting()
        async with database.transaction() as session:
            row = await session.get_one(LeaseRow, waiting.id)
            told = foretold_of(row)
        assert told is not None
        assert told[1] == pytest.approx(first.expires_at.timestamp(), abs=2.0), "it was to begin when the first lease's term is over"
        assert told[0] <= row.granted_at.timestamp() < told[1]

    async def test_a_pass_of_one_who_asks_grants_to_whom_it_is_due(self, database: Database) -> None:
        leases = await over(database, Rules(SchedulingPolicy(order="fifo")))
        first = await leases.acquire(asking(6, "a"))
        waiting = await leases.acquire(asking(8, "b", "language"))
        await leases.release("vision", first.id)
        with pytest.raises(CapacityExceeded):
            await leases.acquire(asking(1, "c", "speech", wait=0))
        last = await leases.acquire(asking(1, "d", "speech"))
        assert last.state is LeaseState.QUEUED
        assert (await leases.get("language", waiting.id)).state is LeaseState.ACTIVE

    async def test_who_does_not_wait_does_not_pass_the_head_of_the_line(self, database: Database) -> None:
        leases = await over(database, Rules(SchedulingPolicy(order="fifo")))
        await leases.acquire(asking(6, "a"))
        await leases.acquire(asking(8, "b", "language"))
        with pytest.raises(CapacityExceeded):
            await leases.acquire(asking(2, "c", "speech", wait=0, seconds=1200))
        assert len(await leases.list()) == 2

    async def test_a_short_one_that_delays_nobody_goes_before(self, leases: Leases) -> None:
        await leases.acquire(asking(6, "a"))
        await leases.acquire(asking(8, "b", "language"))
        assert (await leases.acquire(asking(2, "c", "speech", seconds=60))).state is LeaseState.ACTIVE

    async def test_its_own_queue_is_charged(self, database: Database) -> None:
        tree = read_quotas("queues: [{name: org, limit: {gpus: 6}}, {name: org/vision}, {name: org/vision/labels, limit: {gpus: 2}}]")
        leases = await over(database, Rules(quotas=tree))
        with pytest.raises(InvalidInput) as raised:
            await leases.acquire(asking(1, "x", "language", queue="org/vision/labels"))
        assert raised.value.error_code == "queue_unknown"
        first = await leases.acquire(asking(2, "a", queue="org/vision/labels"))
        assert (first.state, first.queue) == (LeaseState.ACTIVE, "org/vision/labels")
        second = await leases.acquire(asking(1, "b", queue="org/vision/labels"))
        assert second.state is LeaseState.QUEUED and second.waiting is not None and "quota" in second.waiting.binding
        with pytest.raises(QuotaExceeded):
            await leases.acquire(asking(5, "c", wait=0))
        assert (await leases.acquire(asking(4, "d"))).queue == "org/vision"

    async def test_a_teams_slots_are_over_all_pools(self, leases: Leases) -> None:
        asked = [leases.acquire(asking(4, f"k{index}", wait=0, pool=f"pool-{index}")) for index in range(4)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(each, Lease) for each in answers) == 2
        assert [type(each) for each in answers if not isinstance(each, Lease)] == [QuotaExceeded] * 2

    async def test_one_over_its_slots_waits_for_its_own_and_holds_up_nobody(self, leases: Leases) -> None:
        await leases.set_quota("vision", 4)
        own = await leases.acquire(asking(4, "a"))
        waiting = await leases.acquire(asking(2, "b"))
        assert waiting.waiting is not None and waiting.waiting.binding == "quota"
        assert (await leases.acquire(asking(4, "c", "language"))).state is LeaseState.ACTIVE
        await leases.release("vision", own.id)
        assert [lease.id for lease in (await leases.grant_waiting()).leases] == [waiting.id]
        with pytest.raises(QuotaExceeded):
            await leases.acquire(asking(5, "d"))

    async def test_it_may_begin_with_fewer(self, leases: Leases) -> None:
        await leases.acquire(asking(5, "a"))
        with pytest.raises(CapacityExceeded):
            await leases.acquire(asking(4, "b", "language", wait=0))
        less = await leases.acquire(asking(4, "c", "language", wait=0, slots_min=2))
        assert (less.state, len(less.slots), less.slots_wanted) == (LeaseState.ACTIVE, 3, 4)

    async def test_its_reason_names_nobody_elses_lease(self, database: Database) -> None:
        leases = await over(database, Rules(SchedulingPolicy(order="fifo")))
        await leases.acquire(asking(6, "a"))
        head = await leases.acquire(asking(8, "b", "language"))
        assert head.waiting is not None
        assert head.waiting.reason == "2 of the 8 slots of pool local that would do are free, and it needs 8"
        assert head.waiting.reserved
        behind = await leases.acquire(asking(2, "c", "speech", seconds=1200))
        assert behind.waiting is not None and behind.waiting.binding == "reservation"
        assert "another lease" in behind.waiting.reason and head.id not in behind.waiting.reason
        with pytest.raises(CapacityExceeded, match="would delay another lease"):
            await leases.acquire(asking(2, "d", "speech", wait=0, seconds=1200))


class TestEnds:
    async def test_patience_ends(self, leases: Leases, database: Database) -> None:
        await leases.acquire(asking(8, "a"))
        waiting = await leases.acquire(asking(1, "b", "language"))
        assert waiting.id in await leases.held()
        async with database.transaction() as session:
            await session.execute(update(LeaseRow).where(LeaseRow.id == waiting.id).values(give_up_at=utcnow()))
        assert waiting.id not in await leases.held()
        ended = await leases.get("language", waiting.id)
        assert (ended.state, ended.slot_seconds) == (LeaseState.REFUSED, 0.0)

    async def test_a_withdrawn_one_is_not_granted(self, leases: Leases) -> None:
        first = await leases.acquire(asking(8, "a"))
        waiting = await leases.acquire(asking(1, "b", "language"))
        assert (await leases.release("language", waiting.id)).state is LeaseState.REFUSED
        await leases.release("vision", first.id)
        assert (await leases.grant_waiting()).leases == []

    async def test_withdrawn_and_granted_at_one_time_is_one_of_both(self, leases: Leases) -> None:
        for turn in range(5):
            first = await leases.acquire(asking(8, f"a{turn}"))
            waiting = await leases.acquire(asking(8, f"b{turn}", "language"))
            await leases.release("vision", first.id)
            passed, ended = await asyncio.gather(leases.grant_waiting(), leases.release("language", waiting.id))
            assert not (await leases.get("language", waiting.id)).state.open
            assert ended.state is (LeaseState.RELEASED if passed.leases else LeaseState.REFUSED)
            assert (await leases.usage("vision")).slots_free == 8


class TestPreemption:
    async def test_only_who_agreed_gives_way_and_only_when_reclaimed(self, database: Database) -> None:
        rules = Rules(SchedulingPolicy(preemption="any", guaranteed_seconds=0))
        leases = await over(database, rules)
        firm = await leases.acquire(asking(4, "a"))
        soft = await leases.acquire(asking(4, "b", preemptible=True))
        urgent = await leases.acquire(asking(4, "c", "language", priority=10))
        assert urgent.state is LeaseState.QUEUED
        passed = await leases.grant_waiting()
        assert (passed.leases, passed.to_preempt) == ([], [soft.id])
        assert (await leases.get("vision", soft.id)).state is LeaseState.ACTIVE
        await leases.reclaim("vision", soft.id)
        assert [lease.id for lease in (await leases.grant_waiting()).leases] == [urgent.id]
        assert (await leases.get("vision", firm.id)).state is LeaseState.ACTIVE


class TestSeveralPools:
    """A lease that may lie in one of several pools."""

    async def test_it_lies_where_there_is_room_now(self, leases: Leases) -> None:
        await leases.acquire(asking(6, "a", pool="first"))
        lease = await leases.acquire(asking(4, "b", "language", wait=0, pool="first", or_pools=["second"]))
        assert (lease.pool, len(lease.slots)) == ("second", 4)

    async def test_it_waits_for_whichever_has_room_sooner(self, leases: Leases) -> None:
        first = await leases.acquire(asking(8, "a", pool="first"))
        second = await leases.acquire(asking(8, "b", "language", pool="second"))
        waiting = await leases.acquire(asking(4, "c", "speech", pool="first", or_pools=["second"]))
        assert (waiting.state, waiting.pool) == (LeaseState.QUEUED, "first")
        await leases.release("language", second.id)
        (granted,) = (await leases.grant_waiting()).leases
        assert (granted.id, granted.pool, granted.state) == (waiting.id, "second", LeaseState.ACTIVE)
        await leases.release("vision", first.id)
        assert (await leases.grant_waiting()).leases == []

    async def test_pools_that_are_not_alike_are_refused(self, database: Database) -> None:
        rules = Rules()
        leases = await over(database, rules)
        rules.policy = lambda pool: SchedulingPolicy(order="fifo" if pool == "second" else "fair")  # type: ignore[method-assign]
        with pytest.raises(InvalidInput) as raised:
            await leases.acquire(asking(4, "a", pool="first", or_pools=["second"]))
        assert raised.value.error_code == "pools_differ"
        assert await leases.list() == []

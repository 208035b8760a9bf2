"""Over real tables: what stood and was held and used, who is shown it, what is found and decided, and what is foreseen."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, NotFound, Unavailable
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.telemetry.models import GpuReading, Reading
from factory_infra.iaas.jobs.models import Job, JobState
from factory_infra.iaas.jobs.tables import JobRow
from factory_infra.iaas.leases.pool_quotas import PoolQuotaRow
from factory_infra.iaas.leases.tables import LeaseRow, QuotaRow
from factory_infra.paas.optimization.budgets import Budgets
from factory_infra.paas.optimization.capacity import Capacity, CapacityAsk
from factory_infra.paas.optimization.finding_book import Findings
from factory_infra.paas.optimization.findings import ReleaseLease
from factory_infra.paas.optimization.looking import Lookout, told
from factory_infra.paas.optimization.mix import Mixes
from factory_infra.paas.optimization.mix_models import Load, MixAsk
from factory_infra.paas.optimization.models import SMALLEST, IdleRule
from factory_infra.paas.optimization.service import Optimization, Owner
from factory_infra.paas.optimization.tables import ActivityRow, CapacityRow, FindingRow
from factory_infra.paas.tenants.tables import TenantRow
from factory_infra.records.tables import EventRow
from factory_infra.saas.metering.invoices import Period
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.metering.spent import SpentBook
from factory_infra.saas.metering.tables import UseRow
from factory_infra.saas.metering.uses import EPOCH
from factory_infra.second_wall import seen_by

pytestmark = pytest.mark.stack
DAY = datetime(2026, 11, 10, tzinfo=UTC)
PERIOD = Period(date(2026, 11, 10), date(2026, 11, 12))
EVERYBODY = Owner(None)
HOUR = Decimal("2.50")


class Hardware:
    """Pools as they are told; one that is not there does not answer."""

    def __init__(self, *pools: Pool) -> None:
        self.pools = {pool.name: pool for pool in pools}
        self.busy: list[float] = []

    async def pool(self, name: str = "") -> Pool:
        """A pool."""
        if name not in self.pools:
            raise Unavailable(f"Pool {name} does not answer.")
        return self.pools[name]

    async def read(self) -> Reading:
        """The gauges of this host."""
        gpus = [GpuReading(index=index, name="H100", busy_percent=percent) for index, percent in enumerate(self.busy)]
        sizes: dict[str, Any] = dict.fromkeys(("load_1m", "load_5m", "load_15m", "memory_total_gib", "memory_available_gib"), 0)
        sizes |= dict.fromkeys(("swap_used_gib", "disk_total_gib", "disk_free_gib", "files_open_max", "cores", "busy_percent"), 0)
        return Reading(at=utcnow(), gpus=gpus, **sizes)


def pool_of(slots: int, name: str = "local", **more: Any) -> Pool:
    kinds = {"kind": "gpu", "name": "H100", "memory_gib": 80, "accelerator": "H100"}
    return Pool(name=name, slots=[Slot.model_validate({"index": index, **kinds}) for index in range(slots)], **more)


def lease(name: str, team: str, slots: Sequence[int], begin: datetime, end: datetime, **more: Any) -> LeaseRow:
    told: dict[str, Any] = {
        "id": name,
        "key": name,
        "tenant": team,
        "pool": "local",
        "slot_kind": "gpu",
        "accelerator": "H100",
        "purpose": "",
    }
    ended = {"state": "released", "granted_at": begin, "expires_at": end, "ended_at": end}
    return LeaseRow(**{**told, "slots": [*slots], "plan_id": "", **ended, **more})


def job(name: str, lease_id: str, begin: datetime, end: datetime | None, team: str = "vision") -> JobRow:
    state = JobState.RUNNING if end is None else JobState.SUCCEEDED
    last = Job(id=name, tenant=team, name=name, state=state, started_at=begin, finished_at=end).model_dump(mode="json")
    places = {"tenant": team, "pool": "local", "lease_id": lease_id, "name": name}
    return JobRow(id=name, final=end is not None, asked_at=begin, ended_at=end, last=last, **places)


def stands(slots: int, begin: datetime, end: datetime, pool: str = "local", **more: str) -> CapacityRow:
    return CapacityRow(
        **{"pool": pool, "slot_kind": "gpu", "accelerator": "H100", **more}, slots=[*range(slots)], since=begin, seen_until=end
    )


async def keep(database: Database, *rows: Any) -> None:
    async with database.transaction() as session:
        session.add_all(rows)


def ledger(database: Database) -> SpentBook:
    return SpentBook(database, PriceBook.load())


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


async def a_day_of_use(database: Database) -> Optimization:
    """Four slots for ten hours; vision held two for five hours and used two of them, language one for ten."""
    await keep(
        database,
        stands(4, DAY, DAY + hours(10)),
        stands(1, DAY, DAY + hours(10), "elsewhere"),
        lease("lease-1", "vision", [0, 1], DAY, DAY + hours(5), project="maps"),
        lease("lease-2", "language", [2], DAY - hours(3), DAY + hours(30)),
        lease("lease-3", "vision", [3], DAY, DAY + hours(1), state="refused"),
        job("job-1", "lease-1", DAY + hours(1), DAY + hours(2)),
        job("job-2", "lease-1", DAY + hours(1.5), DAY + hours(3)),
        QuotaRow(tenant="vision", slots_max=4),
        QuotaRow(tenant="language", slots_max=2),
        PoolQuotaRow(tenant="vision", pool="elsewhere", accelerator="", slots_max=1),
    )
    return Optimization(database, ledger(database))


class TestIdle:
    async def test_what_stood_and_nobody_held_and_what_was_held_and_not_used(self, database: Database) -> None:
        found = await (await a_day_of_use(database)).idle(PERIOD, EVERYBODY)
        local = next(line for line in found.unleased if line.pool == "local")
        assert local.slot_seconds == 40 * 3600 and local.leased_slot_seconds == 20 * 3600
        assert local.idle_slot_seconds == 20 * 3600 and local.amount == 20 * HOUR
        unused = {line.lease_id: line for line in found.unused}
        assert unused["lease-1"].unused_slot_seconds == 2 * 3 * 3600 and unused["lease-1"].amount == 6 * HOUR
        assert unused["lease-1"].project == "maps" and unused["lease-2"].unused_slot_seconds == 30 * 3600
        assert found.rule == "platform" and found.shares == [] and found.unleased_total == 30 * HOUR
        assert (found.observed_hours, found.period_hours) == (10, 48)

    @pytest.mark.parametrize(
        ("rule", "local"), [("use", {"language": 15, "vision": 5}), ("quota", {"language": Decimal(20) / 3, "vision": Decimal(40) / 3})]
    )
    async def test_shares_go_by_the_rule_and_add_up(self, database: Database, rule: IdleRule, local: dict[str, Decimal]) -> None:
        optimization = await a_day_of_use(database)
        found = await optimization.idle(PERIOD, EVERYBODY, rule)
        for pool, whole in (("local", 20 * HOUR), ("elsewhere", 10 * HOUR)):
            shares = {share.team: share.amount for share in found.shares if share.pool == pool}
            if rule == "use" and pool == "elsewhere":
                assert shares == {}  # nobody used it: it stays with the platform
                continue
            assert sum(shares.values()) == whole
            if pool == "local":
                assert all(abs(shares[team] - part * HOUR) < SMALLEST for team, part in local.items())
        own = await optimization.idle(PERIOD, Owner("vision"), rule)
        assert own.unleased == [] and {share.team for share in own.shares} == {"vision"}
        assert {line.team for line in own.unused} == {"vision"}

    async def test_a_team_behind_the_second_wall_is_shown_the_same(self, database: Database) -> None:
        """Free slots are counted over all teams, whoever asks; what is told is the team's own."""
        optimization = await a_day_of_use(database)
        with seen_by("vision"):
            walled = await optimization.idle(PERIOD, Owner("vision"), "use")
        assert walled.shares == (await optimization.idle(PERIOD, Owner("vision"), "use")).shares != []


class TestLooking:
    async def test_what_changes_begins_anew_and_what_was_not_seen_is_a_gap(self, database: Database, tmp_path: Path) -> None:
        hardware = Hardware(pool_of(2))
        hardware.busy = [50.0, 0.0]
        lookout = Lookout(database, PoolBook(tmp_path / "none.yaml"), hardware, hardware)
        for _ in range(2):
            assert (await lookout.look()).slots_measured == 2
        hardware.pools["local"] = pool_of(3)
        await lookout.look()
        async with database.transaction() as session:
            rows = list(await session.scalars(select(CapacityRow).order_by(CapacityRow.id)))
            busy = {row.slot: row for row in await session.scalars(select(ActivityRow))}
        assert [len(row.slots) for row in rows] == [2, 3] and rows[0].seen_until == rows[1].since > rows[0].since
        assert (busy[0].looks, busy[0].busy_percent_sum, busy[1].busy_percent_max) == (3, 150.0, 0.0)
        async with database.transaction() as session:
            for row in await session.scalars(select(CapacityRow)):
                row.since, row.seen_until = row.since - hours(1), row.seen_until - hours(1)
        await lookout.look()
        del hardware.pools["local"]
        assert (await lookout.look()).silent == ["local"]
        async with database.transaction() as session:
            assert len(list(await session.scalars(select(CapacityRow)))) == 3
        await lookout.forget()

    async def test_machines_that_are_made_for_leases_do_not_stand(self, database: Database, tmp_path: Path) -> None:
        hardware = Hardware(pool_of(2, placement="machines"))
        await Lookout(database, PoolBook(tmp_path / "none.yaml"), hardware, hardware).look()
        async with database.transaction() as session:
            assert list(await session.scalars(select(CapacityRow))) == []

    def test_nodes_gauges_go_by_the_order_of_their_slots(self) -> None:
        slots = [Slot(index=index, kind="gpu", name="g", memory_gib=1, node=node) for index, node in enumerate("aabb")]
        assert told(slots, {"a": {0: 5.0, 1: 6.0}, "b": {1: 7.0}}) == {0: 5.0, 1: 6.0, 3: 7.0}


class TestFindings:
    async def test_from_an_idle_lease_to_its_plan_and_back(self, database: Database) -> None:
        now = utcnow()
        active = {"state": "active", "ended_at": None}
        await keep(
            database,
            lease("lease-1", "vision", [0, 1], now - hours(2), now + hours(4), **active),
            lease("lease-2", "vision", [2], now - hours(2), now + hours(4), **active),
            lease("lease-3", "language", [3], now - hours(2), now + hours(4), **active),
            job("job-1", "lease-2", now - hours(1), None),
        )
        book = Findings(database, ledger(database), Hardware())
        (found,) = await book.list(Owner("vision"))
        assert (found.subject, found.remedy, found.saving_hourly) == ("lease-1", ReleaseLease(lease_id="lease-1"), 2 * HOUR)
        assert len(await book.list(EVERYBODY)) == 2
        attempt = await book.attempt(found.id, Owner("vision"))
        assert attempt.plan_id == f"plan-{found.id}-1"
        await book.fixing(attempt, "ann")
        assert (await book.get(found.id, Owner("vision"))).state == "fixing"
        assert (await book.attempt(found.id, Owner("vision"))).plan_id == attempt.plan_id
        assert not await book.reopened(found.id, "running") and await book.reopened(found.id, "refused")
        assert (await book.attempt(found.id, Owner("vision"))).plan_id == f"plan-{found.id}-2"
        for owner in (Owner("language"), Owner("nobody")):
            with pytest.raises(NotFound) as raised:
                await book.get(found.id, owner)
            assert raised.value.error_code == "finding_unknown"

    async def test_a_dismissed_one_is_left_out_for_its_time(self, database: Database) -> None:
        now = utcnow()
        await keep(database, lease("lease-1", "vision", [0], now - hours(2), now + hours(4), state="active", ended_at=None))
        book = Findings(database, ledger(database), Hardware())
        (found,) = await book.list(Owner("vision"))
        assert (await book.dismiss(found.id, Owner("vision"), "it is kept warm", 1, "ann")).state == "dismissed"
        assert await book.list(Owner("vision")) == [] and len(await book.list(Owner("vision"), every=True)) == 1
        async with database.transaction() as session:
            row = (await session.execute(select(FindingRow))).scalar_one()
            row.until = now - hours(1)
        assert [each.state for each in await book.list(Owner("vision"))] == ["open"]

    async def test_slots_that_did_nothing_are_found_and_blocked_while_jobs_run(self, database: Database) -> None:
        now = utcnow()
        this_hour = now.replace(minute=0, second=0, microsecond=0)
        looks = [
            ActivityRow(pool="local", slot=slot, hour=this_hour - hours(back), looks=60, busy_percent_sum=60 * busy, busy_percent_max=busy)
            for slot, busy in ((0, 90.0), (1, 0.5))
            for back in (1, 2, 3)
        ]
        await keep(
            database,
            *looks,
            lease("lease-1", "vision", [0, 1], now - hours(6), now + hours(4), state="active", ended_at=None),
            job("job-1", "lease-1", now - hours(5), None),
        )
        book = Findings(database, ledger(database), Hardware())
        (found,) = await book.list(Owner("vision"))
        assert (found.kind, found.saving_hourly) == ("lease_oversized", HOUR)
        with pytest.raises(Conflict) as raised:
            await book.attempt(found.id, Owner("vision"))
        assert raised.value.error_code == "finding_blocked"


class TestBudgets:
    async def test_a_mark_is_told_once_for_each_budget(self, database: Database) -> None:
        limit = {"limit_id": "budget/vision", "window_start": EPOCH, "used": Decimal(85)}
        await keep(database, TenantRow(name="vision", budget=Decimal(100)), TenantRow(name="language", budget=Decimal(10)), UseRow(**limit))
        budgets = Budgets(database, ledger(database))
        vision, language = await budgets.list(EVERYBODY)
        assert (vision.team, vision.percent, vision.mark, vision.left) == ("vision", 85.0, 80, Decimal(15))
        assert language.mark == 0 and language.ends_at is None
        assert [each.team for each in await budgets.list(Owner("language"))] == ["language"]
        assert [await budgets.alert() for _ in range(2)] == [2, 2]
        async with database.transaction() as session:
            told = list(await session.scalars(select(EventRow).where(EventRow.kind == "budget.reached")))
            (await session.get_one(TenantRow, "vision")).budget = Decimal(170)
        assert sorted(str(row.payload["percent"]) for row in told) == ["50", "80"] and {row.tenant for row in told} == {"vision"}
        assert await budgets.alert() == 1


class TestForeseeing:
    async def test_a_pool_that_grows_is_full_when_it_is_and_a_team_sees_its_own(self, database: Database, tmp_path: Path) -> None:
        now = utcnow()
        days = [now - timedelta(days=back) for back in range(60, 0, -1)]
        leases = [
            lease(f"lease-{team}-{number}", team, range(each), day, day + hours(20))
            for number, day in enumerate(days)
            for team, each in (("vision", 1 + number // 10), ("language", 1))
        ]
        await keep(database, *leases, stands(9, now - hours(1), now))
        capacity = Capacity(database, PoolBook(tmp_path / "none.yaml"), ledger(database), models=("drift",))
        found = await capacity.plan(CapacityAsk(horizon=60, reserved_share=0.5), EVERYBODY)
        assert found.enough and (found.capacity, found.bucket, found.history) == (9, "day", 60) and found.model == "drift"
        assert found.fills is not None and found.fills.expected is not None and found.fills.earliest is not None
        assert found.fills.earliest <= found.fills.expected < now + timedelta(days=45)
        assert found.backtest is not None and found.backtest.error <= found.backtest.error_naive
        for step, point in enumerate(found.total):
            assert sum(line.points[step].mean for line in found.teams) == pytest.approx(point.mean, abs=1e-4)
        assert found.reserving is not None and found.reserving.hourly_cost <= found.reserving.hourly_cost_on_demand
        own = await capacity.plan(CapacityAsk(horizon=60, reserved_share=0.5), Owner("vision"))
        assert [line.team for line in own.teams] == ["vision"] and own.others is not None and own.reserving is None
        assert own.made_at == found.made_at and "language" not in own.model_dump_json()

    async def test_too_little_of_the_past_is_said_and_no_number_shown(self, database: Database, tmp_path: Path) -> None:
        capacity = Capacity(database, PoolBook(tmp_path / "none.yaml"), ledger(database))
        nothing = await capacity.plan(CapacityAsk(), EVERYBODY)
        assert not nothing.enough and nothing.total == [] and "Too little" in nothing.words
        with pytest.raises(NotFound):
            await capacity.plan(CapacityAsk(pool="nowhere"), EVERYBODY)


class TestMix:
    async def test_made_up_work_costs_less_on_spot_and_says_that_it_is_simulated(self, database: Database, tmp_path: Path) -> None:
        mixes = Mixes(database, PoolBook(tmp_path / "none.yaml"), ledger(database))
        load = Load(jobs_an_hour=0.5, slots=4, hours=2, sigma=0.2)
        found = await mixes.compare(MixAsk(load=load, days=1, slots_a_machine=4, seeds=1, interruptions_hourly=0.01), EVERYBODY)
        lines = {line.name: line for line in found.lines}
        assert found.simulated and found.words.startswith("Simulated") and lines["on demand"].saved_percent == 0
        assert lines["spot"].saved_percent > 30 and lines[found.best].good_enough
        assert lines[found.best].cost == min(line.cost for line in found.lines if line.good_enough)

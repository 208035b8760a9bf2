"""Tools over leases: money is reserved before slots are taken, settled after, and freed when nothing was granted."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from factory_infra.errors import BudgetExceeded, CapacityExceeded, InvalidInput, NotFound, PostconditionFailed, QuotaExceeded, Unavailable
from factory_infra.factory import Factory
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.iaas.leases.choice import Quote
from factory_infra.iaas.leases.models import LeaseState
from factory_infra.saas.metering.prices import PriceBook
from tools import leases
from tools.leases import AcquireArguments, ReleaseArguments
from tools.spec import Raw, ToolContext
from tools.toolbox import tool_named

pytestmark = pytest.mark.stack


def test_the_price_of_simulated_machines_says_so(tmp_path: Path) -> None:
    book = tmp_path / "pools.yaml"
    book.write_text("pools:\n- {name: here, provider: local}\n- {name: twin-hall, provider: twin, nodes: 2}\n", encoding="utf-8")
    context = cast("ToolContext", SimpleNamespace(factory=SimpleNamespace(pools=PoolBook(book))))
    assert leases.marked(context, "b", {""}) == "b"
    assert leases.marked(context, "b", {"here", "twin-hall"}) == "b; simulated machines in twin-hall"


async def open_reservations(factory: Factory) -> list[str]:
    return await factory.metering.open_reservations()


class TestAcquire:
    async def test_grants_reserves_and_verifies(self, context: ToolContext) -> None:
        arguments = AcquireArguments(slots=2, seconds=600)
        granted = await leases.acquire(context, arguments)
        await leases.verify_acquire(context, arguments, granted)
        assert (granted.slots, granted.slot_indices) == (2, [0, 1])
        assert await open_reservations(context.factory) == [f"lease/{granted.lease_id}"]
        cost = await context.factory.metering.cost(plan_id="plan-1")
        assert cost.reserved == Decimal("0.048") * 1200 / 3600
        assert (await context.factory.metering.reconcile()).equal

    async def test_twice_under_one_key_is_once(self, context: ToolContext) -> None:
        arguments = AcquireArguments(slots=2)
        assert await leases.acquire(context, arguments) == await leases.acquire(context, arguments)
        assert len(await context.factory.leases.list("vision")) == 1
        assert len(await open_reservations(context.factory)) == 1

    @pytest.mark.parametrize(("slots", "error"), [(4, QuotaExceeded), (5, CapacityExceeded)])
    async def test_a_refused_lease_leaves_no_reservation(self, context: ToolContext, slots: int, error: type[Exception]) -> None:
        with pytest.raises(error):
            await leases.acquire(context, AcquireArguments(slots=slots))
        assert await open_reservations(context.factory) == []
        assert (await context.factory.metering.cost(tenant="vision")).reserved == 0

    async def test_without_money_no_slot_is_taken(self, context: ToolContext) -> None:
        await context.factory.tenants.change("vision", budget=Decimal("0.01"))
        with pytest.raises(BudgetExceeded):
            await leases.acquire(context, AcquireArguments(slots=3, seconds=604_800))
        assert await context.factory.leases.list("vision") == []

    async def test_a_lost_answer_keeps_the_reservation_for_the_retry(self, context: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
        async def lost(request: object) -> None:
            raise Unavailable("The database does not answer.")

        with monkeypatch.context() as patched:
            patched.setattr(context.factory.leases, "acquire", lost)
            with pytest.raises(Unavailable):
                await leases.acquire(context, AcquireArguments(slots=1))
        granted = await leases.acquire(context, AcquireArguments(slots=1))
        await leases.verify_acquire(context, AcquireArguments(slots=1), granted)

    async def test_verify_fails_when_the_lease_was_taken_away(self, context: ToolContext) -> None:
        arguments = AcquireArguments(slots=1)
        granted = await leases.acquire(context, arguments)
        await context.factory.leases.release("vision", granted.lease_id)
        with pytest.raises(PostconditionFailed):
            await leases.verify_acquire(context, arguments, granted)

    async def test_verify_fails_when_the_lease_is_smaller(self, context: ToolContext) -> None:
        granted = await leases.acquire(context, AcquireArguments(slots=1))
        with pytest.raises(PostconditionFailed):
            await leases.verify_acquire(context, AcquireArguments(slots=2), granted)

    async def test_verify_fails_when_nothing_is_reserved(self, context: ToolContext) -> None:
        arguments = AcquireArguments(slots=1)
        granted = await leases.acquire(context, arguments)
        await context.factory.metering.release(f"lease/{granted.lease_id}")
        with pytest.raises(PostconditionFailed):
            await leases.verify_acquire(context, arguments, granted)

    async def test_verify_fails_when_it_is_another_teams(self, context: ToolContext) -> None:
        arguments = AcquireArguments(slots=1)
        granted = await leases.acquire(replace(context, tenant="language"), arguments)
        with pytest.raises(NotFound):
            await leases.verify_acquire(context, arguments, granted)

    async def test_undo_gives_back_and_settles(self, context: ToolContext) -> None:
        arguments = AcquireArguments(slots=1)
        granted = await leases.acquire(context, arguments)
        assert granted.lease_id in await leases.undo_acquire(context, arguments, granted)
        await leases.undo_acquire(context, arguments, granted)
        assert (await context.factory.leases.get("vision", granted.lease_id)).state is LeaseState.RELEASED
        assert await open_reservations(context.factory) == []


class Hours:
    """A price book that knows what is asked here."""

    def hour(self, subject: str) -> Decimal:
        return {"gpu:H100": Decimal(3), "gpu:H100:spot": Decimal(1), "gpu:A100": Decimal(2)}[subject]

    @property
    def now(self) -> "Hours":
        return self


def test_of_several_pools_the_dearest_is_reserved() -> None:
    quotes = [Quote(8, "gpu", "A100", "", "on_demand"), Quote(8, "gpu", "H100", "", "on_demand"), Quote(8, "gpu", "H100", "", "spot")]
    assert leases.dearest(quotes, cast(PriceBook, Hours())) == quotes[1]


class TestRelease:
    async def test_settles_what_was_used(self, context: ToolContext) -> None:
        granted = await leases.acquire(context, AcquireArguments(slots=2))
        arguments = ReleaseArguments(lease_id=granted.lease_id)
        released = await leases.release(context, arguments)
        await leases.verify_release(context, arguments, released)
        assert released.slot_seconds > 0
        assert await leases.release(context, arguments) == released
        cost = await context.factory.metering.cost(plan_id="plan-1")
        assert [cost.reserved, cost.lines[0].quantity] == [Decimal(0), Decimal(str(round(released.slot_seconds, 6)))]

    async def test_verify_fails_while_it_is_held(self, context: ToolContext) -> None:
        granted = await leases.acquire(context, AcquireArguments(slots=2))
        told = leases.Released(lease_id=granted.lease_id, slot_seconds=1, amount="1", currency="USD")
        with pytest.raises(PostconditionFailed):
            await leases.verify_release(context, ReleaseArguments(lease_id=granted.lease_id), told)

    async def test_another_teams_lease_is_not_there(self, context: ToolContext) -> None:
        granted = await leases.acquire(replace(context, tenant="language", key="theirs"), AcquireArguments(slots=1))
        with pytest.raises(NotFound):
            await leases.release(context, ReleaseArguments(lease_id=granted.lease_id))
        assert await open_reservations(context.factory) == [f"lease/{granted.lease_id}"]


class TestForesee:
    @pytest.mark.parametrize(
        ("slots", "code"), [(1, ""), (3, ""), (4, "quota_exceeded"), (5, "capacity_exceeded"), (0, "invalid_input"), (-3, "invalid_input")]
    )
    async def test_the_dry_run_says_what_the_effect_would(self, context: ToolContext, slots: int, code: str) -> None:
        foreseen = await leases.dry_run_acquire(context, {"slots": slots})
        assert (foreseen.feasible, foreseen.code) == (not code, code)
        assert foreseen.reason
        assert bool(foreseen.remedy) == bool(code)
        if slots > 0 and code:
            with pytest.raises((QuotaExceeded, CapacityExceeded)):
                await leases.acquire(context, AcquireArguments(slots=slots))

    async def test_slots_of_others_count(self, context: ToolContext) -> None:
        await leases.acquire(replace(context, tenant="language"), AcquireArguments(slots=3))
        foreseen = await leases.dry_run_acquire(context, {"slots": 2})
        assert (foreseen.feasible, foreseen.code) == (False, "capacity_exceeded")

    async def test_nothing_is_done(self, context: ToolContext) -> None:
        await leases.dry_run_acquire(context, {"slots": 2})
        await leases.price_acquire(context, {"slots": 2})
        assert await context.factory.leases.list() == []
        assert await context.factory.metering.entries() == []

    async def test_the_highest_price_is_what_is_reserved(self, context: ToolContext) -> None:
        price = await leases.price_acquire(context, {"slots": 2, "seconds": 900})
        await leases.acquire(context, AcquireArguments(slots=2, seconds=900))
        assert 0 < price.low < price.high == (await context.factory.metering.cost(plan_id="plan-1")).reserved

    @pytest.mark.parametrize("slots", ["3", 3.0, True, None])
    def test_a_count_that_the_price_could_not_read_is_refused(self, slots: object) -> None:
        with pytest.raises(InvalidInput, match="slots"):
            tool_named("leases.acquire").parse({"slots": slots})  # type: ignore[dict-item]

    @pytest.mark.parametrize("name", ["slots", "seconds"])
    async def test_a_count_from_an_earlier_step_has_no_price_and_is_refused(self, context: ToolContext, name: str) -> None:
        raw: Raw = {name: {"from_step": "show", "field": "slots_total"}}
        foreseen = await leases.dry_run_acquire(context, raw)
        assert (foreseen.feasible, foreseen.code) == (False, "invalid_input")
        assert (await leases.price_acquire(context, raw)).high == 0

    async def test_a_release_names_a_lease_that_is_there(self, context: ToolContext) -> None:
        foreseen = await leases.dry_run_release(context, {"lease_id": "lease-nowhere"})
        assert (foreseen.feasible, foreseen.code) == (False, "not_found")
        assert (await leases.dry_run_release(context, {"lease_id": {"from_step": "lease", "field": "lease_id"}})).feasible

"""The gateway over the real meter: whatever happens to calls, the ledger says what the upstreams know."""

import asyncio
import random
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from factory_infra.database import Database
from factory_infra.errors import BudgetExceeded, LineshaftError, Unavailable
from factory_infra.saas.metering.meter import Meter
from factory_infra.saas.metering.models import Limit, Usage
from factory_infra.saas.metering.tables import EntryRow
from factory_infra.saas.metering.uses import budget_limit
from factory_infra.saas.models.calls import Call
from factory_infra.saas.models.routing.answers import Asker
from factory_infra.saas.models.routing.attempts import Attempt
from factory_infra.saas.models.routing.gateway import Gateway, Wiring
from tests.factory_infra.saas.models.routing.world import Recalling, Stub, World, asker, caller, chat, down, world

pytestmark = pytest.mark.stack
CALLS = 300


class Shaky(Recalling):
    """An upstream that fails now and then, before or in an answer, and knows what it produced."""

    chance = random.Random(11)  # noqa: S311 - not for secrets

    def _begin(self, call: Call) -> None:
        self.errors = [Unavailable("busy", code="model_unavailable")] if self.chance.random() < 0.2 else []
        self.breaks = Unavailable("cut", code="model_stream_broken") if self.chance.random() < 0.2 else None
        super()._begin(call)


@pytest_asyncio.fixture
async def meter(database: Database, tmp_path: Path) -> AsyncIterator[Meter]:
    made = Meter(database, tmp_path / "journals")
    await made.start()
    yield made
    await made.close()


def over(meter: Meter, *stubs: Stub, drain: bool = False, cache_seconds: int = 0) -> World:
    """A gateway that meters for real, in real time."""
    retries = {"backoff_seconds": 0.001, "budget_ratio": 1.0}
    made = world(*stubs, drain=drain, breaker={"calls_min": 100_000}, retries=retries, cache_seconds=cache_seconds)
    made.gateway = Gateway(made.targets, meter, Wiring(clock=asyncio.get_running_loop().time))
    return made


def limited(*limits: Limit) -> Asker:
    known = asker()
    return Asker(caller(), limits, known.call_id)


async def settled(database: Database) -> dict[str, Usage]:
    """Each settlement of the ledger; the sum of everything that is still reserved must be nothing."""
    async with database.transaction() as session:
        rows = (await session.scalars(select(EntryRow).where(EntryRow.action == "settle"))).all()
        into = await session.scalar(select(func.sum(EntryRow.amount)).where(EntryRow.credit == "reserved"))
        out = await session.scalar(select(func.sum(EntryRow.amount)).where(EntryRow.debit == "reserved"))
    assert into == out
    assert len({row.reservation for row in rows}) == len(rows)
    return {row.reservation: Usage(int(row.quantity), int(row.quantity_out)) for row in rows}


async def one(each: World, chance: random.Random) -> None:
    """One call of one of four kinds: whole, streamed, left by closing, left by a cancellation."""
    kind, who = chance.randrange(4), limited(budget_limit("vision", Decimal(1000)))
    try:
        if kind == 0:
            await each.gateway.complete(who, chat())
            return
        stream = each.gateway.stream(who, chat(stream=True))
        if kind == 1:
            async for _ in stream:
                pass
        elif kind == 2:
            for _ in range(chance.randrange(1, 5)):
                await anext(stream)
            await stream.aclose()
        else:
            async with asyncio.timeout(chance.random() * 0.02):
                async for _ in stream:
                    pass
    except (LineshaftError, TimeoutError):
        pass


async def many(each: World) -> None:
    chance = random.Random(5)  # noqa: S311 - not for secrets
    for _ in range(CALLS // 30):
        await asyncio.gather(*(one(each, chance) for _ in range(30)))


def truth_of(each: World) -> dict[str, Usage]:
    return {call: usage for stub in each.stubs.values() for call, usage in stub.truth.items() if usage.tokens_out}


@pytest.mark.parametrize("drain", [False, True])
async def test_the_ledger_says_what_the_upstreams_know(meter: Meter, database: Database, drain: bool) -> None:
    each = over(meter, *(Shaky(name, first_seconds=0.002, word_seconds=0.002) for name in "ab"), drain=drain)
    await many(each)
    await each.quiet()
    await meter.posted()
    found, truth = await settled(database), truth_of(each)
    attempts = {call.id for stub in each.stubs.values() for call in stub.calls}
    assert set(found) == attempts
    assert len(attempts) > CALLS * 0.9
    assert [name for name in attempts if name.endswith("/2")]
    assert {name: usage for name, usage in found.items() if usage.tokens_out} == truth


async def test_control_without_asking_the_upstream_the_ledger_differs(
    meter: Meter, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is charged for a call that was left is then nothing, as in other gateways."""
    monkeypatch.setattr(Attempt, "left", lambda self, *_: self.failed())
    monkeypatch.setattr(Attempt, "_produced", Usage())
    each = over(meter, *(Stub(name, first_seconds=0.002, word_seconds=0.002) for name in "ab"))
    await many(each)
    await each.quiet()
    await meter.posted()
    found = await settled(database)
    assert {name: usage for name, usage in found.items() if usage.tokens_out} != truth_of(each)


async def test_a_budget_is_hard_over_many_calls(meter: Meter, database: Database) -> None:
    each = over(meter, Stub("a", first_seconds=0.001, word_seconds=0.0))
    rate = each.targets.rates.of("m")
    worst = rate.worst(200, 9)
    cap = budget_limit("vision", worst * 3)

    async def asked() -> bool:
        try:
            await each.gateway.complete(limited(cap), chat(max_tokens=9))
        except BudgetExceeded:
            return False
        return True

    answers = await asyncio.gather(*(asked() for _ in range(40)))
    await meter.posted()
    assert 1 <= sum(answers) < 40
    assert len(each.stubs["a"].calls) == sum(answers)
    async with database.transaction() as session:
        spent = await session.scalar(select(func.sum(EntryRow.amount)).where(EntryRow.credit == "spent"))
    assert spent is not None
    assert 0 < spent <= cap.cap


async def test_a_hit_is_one_row_without_an_amount(meter: Meter, database: Database) -> None:
    each = over(meter, Stub("a", first_seconds=0.001, word_seconds=0.0), cache_seconds=60)
    budget = budget_limit("vision", Decimal(10))
    for _ in range(2):
        await each.gateway.complete(limited(budget), chat())
    await meter.posted()
    async with database.transaction() as session:
        rows = (await session.scalars(select(EntryRow).where(EntryRow.outcome == "cached"))).all()
    assert [(row.amount, row.quantity, row.backend, row.tenant) for row in rows] == [(Decimal(0), Decimal(0), "a", "vision")]


async def test_the_ledger_tells_by_its_code_why_an_attempt_failed(meter: Meter, database: Database) -> None:
    each = over(meter, Stub("a", errors=[down()]), Stub("b", first_seconds=0.0, word_seconds=0.0))
    await each.gateway.complete(limited(budget_limit("vision", Decimal(1000))), chat())
    await meter.posted()
    async with database.transaction() as session:
        rows = await session.scalars(select(EntryRow).order_by(EntryRow.id))
        told = {(row.backend, row.action, row.outcome, row.reason) for row in rows if row.action != "reserve"}
    assert told == {
        ("a", "settle", "failed", "model_unavailable"),
        ("a", "release", "failed", "model_unavailable"),
        ("b", "settle", "done", ""),
        ("b", "release", "done", ""),
    }


async def test_a_call_that_is_more_than_a_whole_limit_is_told_the_currency_and_not_to_wait(meter: Meter, database: Database) -> None:
    each = over(meter, Stub("a"))
    with pytest.raises(BudgetExceeded, match=r"The budget of 0\.000000001 USD of team vision is smaller than the 0\.\d+ that") as caught:
        await each.gateway.complete(limited(budget_limit("vision", Decimal("0.000000001"))), chat())
    assert not caught.value.retryable

"""The process beside: orders one after another, refusals as they were meant, a death that is survived."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from factory_infra.errors import Conflict, Unavailable
from factory_infra.paas.features.providers import feast_process
from factory_infra.paas.features.providers.feast_process import FeastProcess
from factory_infra.paas.features.wire import Order, Setup


@pytest_asyncio.fixture
async def process(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FeastProcess]:
    monkeypatch.setattr(feast_process, "PROGRAM", "tests.factory_infra.paas.features.stand_in")
    made = FeastProcess(Setup(database_url="postgresql://secret@nowhere/", features_url="f", scratch="s"))
    yield made
    await made.close()


def order(target: str = "") -> Order:
    return Order(kind="join", sources=[], target=target)


async def test_many_orders_are_one_process_and_a_death_is_another(process: FeastProcess) -> None:
    replies = await asyncio.gather(*(process.ask(order()) for _ in range(5)))
    [first] = {reply.entities for reply in replies}
    with pytest.raises(Conflict) as refused:
        await process.ask(order("refuse"))
    assert (refused.value.error_code, refused.value.reason, refused.value.remedy) == ("feature_part_changed", "r", "m")
    with pytest.raises(Unavailable) as silent:
        await process.ask(order("die"))
    assert silent.value.error_code == "feast_unavailable"
    assert (await process.ask(order())).entities != first


async def test_an_order_that_was_given_up_is_not_taken_for_the_next_ones_answer(process: FeastProcess) -> None:
    await process.ask(order())
    given_up = asyncio.create_task(process.ask(order("refuse")))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    assert (await process.ask(order())).trouble is None


async def test_a_program_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feast_process, "PROGRAM", "no.such.program")
    made = FeastProcess(Setup(database_url="d", features_url="f", scratch="s"))
    with pytest.raises(Unavailable):
        await made.ask(order())
    await made.close()

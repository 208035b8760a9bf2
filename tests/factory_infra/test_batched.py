"""Look-ups that are asked for together."""

import asyncio
from collections.abc import Sequence

import pytest

from factory_infra.batched import Batched
from factory_infra.errors import Unavailable
from tests.waiting import eventually


class Server:
    """Knows even numbers, and answers when a test lets it."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.go_on = asyncio.Event()
        self.fails = False

    async def ask(self, keys: Sequence[int]) -> dict[int, str]:
        self.asked.append(sorted(keys))
        await self.go_on.wait()
        if self.fails:
            raise Unavailable("away")
        return {key: f"n{key}" for key in keys if key % 2 == 0}


async def test_who_asks_meanwhile_shares_the_next_question() -> None:
    server = Server()
    batched = Batched(server.ask)
    first = asyncio.create_task(batched.get(2))
    await eventually(lambda: server.asked)
    others = [asyncio.create_task(batched.get(key)) for key in (4, 5, 4, 6)]
    await asyncio.sleep(0)
    server.go_on.set()
    assert [await each for each in (first, *others)] == ["n2", "n4", None, "n4", "n6"]
    assert server.asked == [[2], [4, 5, 6]]


async def test_an_answer_is_never_older_than_its_question() -> None:
    """A key that is asked for while the same key is under way is asked for again: the first answer may be of before a change."""
    server = Server()
    batched = Batched(server.ask)
    first = asyncio.create_task(batched.get(2))
    await eventually(lambda: server.asked)
    second = asyncio.create_task(batched.get(2))
    await asyncio.sleep(0)
    server.go_on.set()
    await asyncio.gather(first, second)
    assert server.asked == [[2], [2]]


async def test_an_error_reaches_its_askers_and_the_next_question_is_asked_all_the_same() -> None:
    server = Server()
    server.fails = True
    batched = Batched(server.ask)
    first = asyncio.create_task(batched.get(2))
    await eventually(lambda: server.asked)
    second = asyncio.create_task(batched.get(4))
    await asyncio.sleep(0)
    server.go_on.set()
    with pytest.raises(Unavailable):
        await first
    with pytest.raises(Unavailable):
        await second
    server.fails = False
    assert await batched.get(6) == "n6"


async def test_a_question_that_hangs_ends_and_the_next_is_asked() -> None:
    server = Server()
    batched = Batched(server.ask, seconds_max=0.05)
    first = asyncio.create_task(batched.get(2))
    await eventually(lambda: server.asked)
    second = asyncio.create_task(batched.get(4))
    for each in (first, second):
        with pytest.raises(TimeoutError):
            await each
    server.go_on.set()
    assert await batched.get(6) == "n6"


async def test_one_that_is_cancelled_disturbs_no_other() -> None:
    server = Server()
    batched = Batched(server.ask)
    first, second = asyncio.create_task(batched.get(2)), asyncio.create_task(batched.get(4))
    await eventually(lambda: server.asked)
    first.cancel()
    server.go_on.set()
    assert await second == "n4"

"""Blocks: all or nothing, hard across processes whatever is taken, ended, moved or killed, and equal to the sum at the end."""

import asyncio
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text

from factory_infra.database import Database
from factory_infra.saas.metering import draws
from factory_infra.saas.metering.blocks import Block, Blocks, Swept
from factory_infra.saas.metering.drawing import Drawer
from factory_infra.saas.metering.models import Limit
from factory_infra.saas.metering.records import Charged
from tests.factory_infra.saas.metering.meters import ZERO, limit, used
from tests.factory_infra.saas.metering.meters import blocks as rows_of

TOKENS, REQUESTS = limit("tokens", 100, "minute"), limit("requests", 10, "minute")
FIVE = Decimal(5)


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def filled(blocks: Blocks, of: Limit, amount: int) -> Block:
    [(block, _)] = blocks.needs([of], {of.resource: ZERO})
    blocks.credit(block, block.drawn + amount, Decimal(amount), Decimal(amount))
    return block


def swept(blocks: Blocks, posted: int) -> Swept:
    return blocks.sweep(blocks.warm(), posted)


class TestTake:
    def test_all_limits_or_none(self) -> None:
        blocks = Blocks()
        tokens = filled(blocks, TOKENS, 5)
        needs = blocks.needs([TOKENS, REQUESTS], {"tokens": FIVE, "requests": Decimal(1)})
        assert not blocks.take(needs)
        assert [tokens.free, tokens.open] == [5, 0]
        filled(blocks, REQUESTS, 1)
        assert blocks.take(needs)
        assert [tokens.free, tokens.open] == [0, 1]
        assert not blocks.take(needs)

    def test_what_was_not_used_is_free_again(self) -> None:
        blocks = Blocks()
        tokens = filled(blocks, TOKENS, 5)
        assert blocks.take([(tokens, FIVE)])
        blocks.put_back(tokens, Decimal(3), 7)
        assert [tokens.free, tokens.open, tokens.settled] == [3, 0, 7]


class TestWindow:
    def test_a_block_ends_with_its_window(self) -> None:
        clock = Clock()
        blocks = Blocks(clock)
        old = filled(blocks, TOKENS, 5)
        clock.now += 60
        assert not blocks.take(blocks.needs([TOKENS], {"tokens": FIVE}))
        assert blocks.present(TOKENS.id) is not old
        found = swept(blocks, 0)
        assert found.surplus == [old]
        assert [old.free, old.drawn] == [0, 0]
        assert found.empty == [old]

    def test_a_limit_that_changes_its_window_and_back_keeps_its_block(self) -> None:
        blocks = Blocks(Clock())
        block = filled(blocks, TOKENS, 5)
        blocks.needs([limit("tokens", 100, "day")], {"tokens": FIVE})
        assert blocks.present(TOKENS.id) is not block
        assert blocks.needs([TOKENS], {"tokens": FIVE}) == [(block, FIVE)]

    def test_a_call_that_outlives_its_window_charges_that_one(self) -> None:
        clock = Clock()
        blocks = Blocks(clock)
        old = filled(blocks, TOKENS, 5)
        blocks.take([(old, FIVE)])
        clock.now += 60
        swept(blocks, 0)
        blocks.put_back(old, Decimal(2), 9)
        assert old not in swept(blocks, 8).empty, "its settlement is not in the ledger yet"
        assert old.drawn == 3
        assert old in swept(blocks, 9).empty

    def test_standing_tells_rest_and_reset(self) -> None:
        clock = Clock()
        clock.now -= clock.now % 60 - 15
        blocks = Blocks(clock)
        filled(blocks, TOKENS, 40)
        blocks.take(blocks.needs([TOKENS], {"tokens": FIVE}))
        tokens, requests = blocks.standing([TOKENS, REQUESTS])
        assert [tokens.remaining, tokens.reset_seconds] == [95, 45]
        assert [requests.remaining, requests.reset_seconds] == [10, 45]


class TestSweep:
    def test_what_was_not_needed_goes_and_what_was_stays(self) -> None:
        blocks = Blocks()
        block = filled(blocks, TOKENS, 20)
        assert swept(blocks, 0).surplus == []
        blocks.take([(block, FIVE)])
        blocks.put_back(block, FIVE)
        assert swept(blocks, 0).surplus == [block]
        assert block.free == 5

    def test_a_block_is_forgotten_with_its_row_or_where_it_never_had_one(self) -> None:
        blocks = Blocks()
        block = filled(blocks, TOKENS, 5)
        blocks.needs([REQUESTS], {"requests": ZERO})
        swept(blocks, 0)
        assert swept(blocks, 0).surplus == [block]
        assert blocks.warm() == [block]
        block.asked = True
        blocks.forget(block)
        assert blocks.knows(block), "a draw is on its way"
        block.asked = False
        blocks.forget(block)
        assert not blocks.knows(block)
        assert blocks.warm() == []

    def test_a_lower_cap_calls_back_what_was_drawn_under_the_old_one(self) -> None:
        blocks = Blocks()
        block = filled(blocks, TOKENS, 20)
        lower = limit("tokens", 10, "minute")
        assert not blocks.take(blocks.needs([lower], {"tokens": FIVE}))
        assert [block.free, block.limit.cap] == [0, 10]

    def test_an_answer_that_was_lost_is_found_in_the_row(self) -> None:
        blocks = Blocks()
        block = filled(blocks, TOKENS, 5)
        blocks.credit(block, Decimal(17), Decimal(5), Decimal(17))
        assert [block.free, block.drawn] == [17, 17]


CAP = 40
Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["reserve", "reserve", "reserve", "settle", "sweep", "ask", "die"]), st.integers(0, 2), st.integers(1, 12)),
    min_size=5,
    max_size=30,
)


class Actor:
    """One process as the limit sees it: blocks, a drawer, and a poster of one line."""

    def __init__(self, database: Database, name: str) -> None:
        self.database = database
        self.name = name
        self.blocks = Blocks()
        self.drawer = Drawer(database, name, self.blocks)
        self.drawer.siblings.ask = self._nobody  # type: ignore[method-assign]
        self.held: list[tuple[Block, Decimal]] = []
        self.charged = ZERO
        self.task = asyncio.create_task(self.drawer.run())

    @staticmethod
    async def _nobody(place: object) -> bool:
        return False

    async def reserve(self, of: Limit, amount: Decimal) -> bool:
        amounts = {"tokens": amount}
        needs = self.blocks.needs([of], amounts)  # type: ignore[arg-type]
        if not self.blocks.take(needs):
            try:
                needs = await self.drawer.take((of,), amounts)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - whichever refusal
                assert "would reserve" in str(error)
                return False
        self.held += needs
        return True

    async def settle(self, actual: int) -> None:
        if self.held:
            block, amount = self.held.pop()
            part = min(Decimal(actual), amount)
            async with self.database.transaction() as session:
                await draws.charge(session, self.name, Charged({block.place: part}, {}))
            self.blocks.put_back(block, amount - part, 1)
            self.charged += part

    async def die(self) -> None:
        """Lose all memory; somebody returns what was drawn and not charged."""
        self.task.cancel()
        async with self.database.transaction() as session:
            await draws.empty(session, self.name)


async def play(url: str, run: int, steps: list[Step]) -> tuple[list[bool], Decimal, Decimal]:
    """Play steps; return whether the cap held after each, the sum that was charged, and what is used at the end."""
    database, of = Database(url), limit("tokens", CAP, name=f"limit/{run}")
    actors = [Actor(database, f"{run}-{number}-0") for number in range(3)]
    every = list(actors)
    kept = []
    for kind, who, number in steps:
        actor = actors[who]
        match kind:
            case "reserve":
                await actor.reserve(of, Decimal(number))
            case "settle":
                await actor.settle(number)
            case "sweep":
                await actor.drawer.give_back(1)
            case "ask":
                actor.drawer.siblings.hear(f"ask other {of.id}")
                await actor.drawer.answer()
            case _:
                await actor.die()
                actors[who] = Actor(database, f"{run}-{who}-{len(every)}")
                every.append(actors[who])
        open_ = sum((amount for each in actors for _, amount in each.held), ZERO)
        spent = sum((each.charged for each in every), ZERO)
        taken = await used(database, of.id)
        held = sum((row.drawn - row.charged for row in await rows_of(database) if row.limit_id == of.id), ZERO)
        kept.append(open_ + spent <= taken <= CAP and taken == spent + held)
    for actor in actors:
        await actor.die()
    result = kept, sum((each.charged for each in every), ZERO), await used(database, of.id)
    await database.close()
    return result


@pytest.mark.stack
class TestHard:
    @pytest.fixture(scope="class")
    def runs(self) -> list[int]:
        return [0]

    @hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps=STEPS)
    def test_the_cap_holds_at_every_step_and_the_end_is_the_sum(self, database_url: str, runs: list[int], steps: list[Step]) -> None:
        runs[0] += 1
        with asyncio.Runner() as runner:
            kept, charged, taken = runner.run(play(database_url, runs[0], steps))
        assert all(kept)
        assert charged == taken

    def test_without_the_condition_it_would_not(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The control: limits that grant whatever is asked."""
        lax = str(draws._DRAW).replace("u.used + excluded.used <=", "0 <=")
        monkeypatch.setattr(draws, "_DRAW", text(lax))
        monkeypatch.setattr("factory_infra.saas.metering.drawing.size", lambda block, missing: missing)
        steps: list[Step] = [("reserve", number % 3, 12) for number in range(6)]
        with asyncio.Runner() as runner:
            kept, _, _ = runner.run(play(database_url, 0, steps))
        assert not all(kept)

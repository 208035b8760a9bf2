"""Drawing blocks from PostgreSQL and giving them back: one task a process, so that what is drawn is known without a lock."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database
from factory_infra.errors import QuotaExceeded, Unavailable
from factory_infra.notices import tell
from factory_infra.saas.metering import draws
from factory_infra.saas.metering.blocks import Amounts, Block, Blocks, Needs
from factory_infra.saas.metering.draws import Drawn
from factory_infra.saas.metering.models import Limit
from factory_infra.saas.metering.prices import ONE, SMALLEST
from factory_infra.saas.metering.records import ZERO, Place
from factory_infra.saas.metering.refusals import too_little_left, too_small
from factory_infra.saas.metering.siblings import CHANNEL, Siblings

log = structlog.get_logger("metering")

AWAY = (SQLAlchemyError, OSError, TimeoutError)
"""What a database raises that is not there."""
ANSWER_SECONDS_MAX = 5.0
BUSY_SECONDS = 0.3
"""Who draws again within this time draws twice as much."""
REFUSED_SECONDS = 0.1
SHARE_OF_REST = 8
"""A block is at most this part of what is left, so that a limit near its end goes call by call."""
TRIES = 3
SWEEP_BLOCKS_MAX = 200
"""So many are swept at once; calls get their turn in between."""


@dataclass(slots=True, eq=False)
class _Waiter:
    limits: tuple[Limit, ...]
    amounts: Amounts
    served: asyncio.Future[Needs]


@dataclass(slots=True)
class _Wish:
    block: Block
    missing: Decimal = ZERO
    """What all that wait for it need beyond what is free."""
    least: Decimal | None = None
    """The same of the one that needs least."""


class Exhausted(Exception):
    """A limit has not so much left."""

    def __init__(self, block: Block, amount: Decimal) -> None:
        super().__init__(block.limit.id)
        self.block = block
        self.amount = amount


class Drawer:
    """Fills the blocks of one process when they do not suffice, and returns what is not needed."""

    def __init__(self, database: Database, process_id: str, blocks: Blocks) -> None:
        self._database = database
        self._process_id = process_id
        self._blocks = blocks
        self.siblings = Siblings(database, process_id)
        self.exclusive = asyncio.Lock()
        """Held while rows of this process's blocks and of limits are locked together."""
        self._waiting: list[_Waiter] = []
        self._batch: list[_Waiter] = []
        self._ended = False
        self._untrimmed: dict[Block, None] = {}
        self._wake = asyncio.Event()

    async def take(self, limits: tuple[Limit, ...], amounts: Amounts, currency: str = "") -> Needs:
        """Hold what is asked once it is drawn; `currency` is how money is named to who is refused.

        Raises QuotaExceeded for what never fits, RateLimited for what will later, BudgetExceeded for money, and Unavailable while
        PostgreSQL is away.
        """
        asked: set[str] = set()
        while True:
            for block, amount in self._blocks.needs(limits, amounts):
                if amount > block.limit.cap:
                    raise too_small(block.limit, amount, currency)
                if block.free < amount and block.refuses(amount, time.monotonic()):
                    raise self._refusal(block, amount, currency)
            try:
                return await self._queue(limits, amounts)
            except Exhausted as exhausted:
                block, amount = exhausted.block, exhausted.amount
                again = block.limit.id not in asked and await self.siblings.ask(block.place)
                asked.add(block.limit.id)
                if not again:
                    block.refused, block.refused_until = amount, time.monotonic() + REFUSED_SECONDS
                    raise self._refusal(block, amount, currency) from None

    async def run(self) -> None:
        """Draw for whoever waits; never returns. Ended, it leaves nobody waiting."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._round()
        finally:
            self._ended = True
            for waiter in [*self._batch, *self._waiting]:
                self._end(waiter, ended())

    async def give_back(self, posted: int) -> None:
        """Return what was not needed of late, and remove rows that nothing hangs on. What does not succeed is done the next time."""
        warm = self._blocks.warm()
        for first in range(0, len(warm), SWEEP_BLOCKS_MAX):
            swept = self._blocks.sweep(warm[first : first + SWEEP_BLOCKS_MAX], posted)
            self._untrimmed |= dict.fromkeys(swept.surplus)
            if self._untrimmed:
                await self._trim([])
            empty = [block for block in swept.empty if block not in self._untrimmed]
            if empty:
                await self._drop(empty)

    async def answer(self) -> None:
        """Return at once what others asked for."""
        asked = self.siblings.asked()
        for limit_id in asked:
            self._let_go(self._blocks.present(limit_id))
        if asked:
            await self._trim(asked)

    def recap(self) -> None:
        """Let go of all that is free: limits were changed, and it is asked for again under the new caps."""
        for block in self._blocks.all_present():
            self._let_go(block)

    def _let_go(self, block: Block | None) -> None:
        if block is not None and self._blocks.shrink(block):
            self._untrimmed[block] = None

    async def _queue(self, limits: tuple[Limit, ...], amounts: Amounts) -> Needs:
        if self._ended:
            raise ended()
        waiter = _Waiter(limits, amounts, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._wake.set()
        try:
            return await waiter.served
        except asyncio.CancelledError:
            served = waiter.served
            if served.done() and not served.cancelled() and served.exception() is None:
                for block, amount in served.result():
                    self._blocks.put_back(block, amount)
            raise

    async def _round(self) -> None:
        """Draw once for all that wait, and serve them in the order in which they came."""
        batch = self._batch = self._serve(self._waiting)
        self._waiting = []
        wishes = self._wishes(batch)
        for wish in wishes:
            wish.block.asked = True
        try:
            refused = await self._draw(wishes) if wishes else set()
        except AWAY as error:
            log.warning("limits cannot be drawn from", error=type(error).__name__)
            for wish in wishes:  # an answer may have been lost: their rows say too much then
                wish.block.row = True
                self._untrimmed[wish.block] = None
            refused = set()
            for waiter in batch:
                self._end(waiter, Unavailable("The limits cannot be asked now.", remedy="Try again in a moment."))
        for wish in wishes:
            wish.block.asked = False
        self._waiting = self._after(batch, refused) + self._waiting

    def _serve(self, waiting: list[_Waiter]) -> list[_Waiter]:
        """Serve whoever can be; return the others."""
        rest = []
        for waiter in waiting:
            if waiter.served.done():
                continue
            needs = self._blocks.needs(waiter.limits, waiter.amounts)
            if self._blocks.take(needs):
                waiter.served.set_result(needs)
            else:
                rest.append(waiter)
        return rest

    def _after(self, batch: list[_Waiter], refused: set[Place]) -> list[_Waiter]:
        """Serve after a draw; whoever needs more of a refused limit than is free is told so, the others wait for the next round."""
        rest = []
        for waiter in self._serve(batch):
            needs = self._blocks.needs(waiter.limits, waiter.amounts)
            lacking = next(((block, amount) for block, amount in needs if block.free < amount and block.place in refused), None)
            if lacking is None:
                rest.append(waiter)
            else:
                self._end(waiter, Exhausted(*lacking))
        return rest

    def _end(self, waiter: _Waiter, error: Exception) -> None:
        if not waiter.served.done():
            waiter.served.set_exception(error)

    def _wishes(self, batch: list[_Waiter]) -> list[_Wish]:
        wishes: dict[Block, _Wish] = {}
        for waiter in batch:
            for block, amount in self._blocks.needs(waiter.limits, waiter.amounts):
                wish = wishes.setdefault(block, _Wish(block, -block.free))
                wish.missing += amount
                if amount > block.free:
                    wish.least = min(amount - block.free, wish.least or amount)
        return [wish for wish in wishes.values() if wish.missing > 0]

    async def _draw(self, wishes: list[_Wish]) -> set[Place]:
        """Draw what is wished for, or less where a limit nears its end; return the limits of which nothing was drawn."""
        blocks = {wish.block.place: wish.block for wish in wishes}
        async with asyncio.timeout(ANSWER_SECONDS_MAX), self.exclusive, self._database.transaction() as session:
            await session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})  # each statement is whole: two trips less
            granted, used = await self._grant(session, wishes)
        for place, (amount, drawn) in granted.items():
            self._blocks.credit(blocks[place], drawn.row, amount, drawn.used)
        for place in blocks.keys() - granted.keys():
            blocks[place].used = used.get(place, ZERO)
        return blocks.keys() - granted.keys()

    async def _grant(self, session: AsyncSession, wishes: list[_Wish]) -> tuple[dict[Place, tuple[Decimal, Drawn]], dict[Place, Decimal]]:
        """Draw from the limits. Returns what was granted, and what is used of those of which less was left than was wished for."""
        granted: dict[Place, tuple[Decimal, Drawn]] = {}
        used: dict[Place, Decimal] = {}
        caps = {wish.block.place: wish.block.limit.cap for wish in wishes}
        wanted = {wish.block.place: size(wish.block, wish.missing) for wish in wishes}
        least = {wish.block.place: wish.least or wish.missing for wish in wishes}
        for _ in range(TRIES):
            drawn = await draws.draw(session, self._process_id, wanted, caps)
            granted |= {place: (wanted.pop(place), each) for place, each in drawn.items()}
            if not wanted:
                break
            known = dict.fromkeys(wanted, ZERO) | await draws.used(session, wanted)
            used |= known
            wanted = {place: caps[place] - known[place] for place in wanted if caps[place] - known[place] >= least[place]}
            if not wanted:
                break
        return granted, used

    async def _trim(self, asked: Iterable[str]) -> None:
        """Make rows say what is known here, and answer whoever asked, in one transaction."""
        blocks, self._untrimmed = self._untrimmed, {}
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX), self.exclusive, self._database.transaction() as session:
                keep = {block.place: block.drawn for block in blocks if self._blocks.knows(block)}
                if keep:
                    await draws.trim(session, self._process_id, keep)
                for limit_id in asked:
                    await tell(session, CHANNEL, self.siblings.gave(limit_id))
        except AWAY as error:
            log.warning("blocks cannot be given back", error=type(error).__name__)
            self._untrimmed |= blocks

    async def _drop(self, blocks: list[Block]) -> None:
        places = {block.place: block for block in blocks}
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX), self.exclusive, self._database.transaction() as session:
                gone = await draws.drop(session, self._process_id, places)
        except AWAY as error:
            log.warning("blocks cannot be removed", error=type(error).__name__)
            return
        for place in gone:
            self._blocks.forget(places[place])

    def _refusal(self, block: Block, amount: Decimal, currency: str) -> QuotaExceeded:
        """Of a block that was drawn in vain a moment ago, so that it knows what is used."""
        left = max(block.limit.cap - block.used, ZERO) + block.free
        return too_little_left(block.limit, amount, left, self._blocks.ends_in(block.limit.window), currency)


def size(block: Block, missing: Decimal) -> Decimal:
    """How much to draw at once: twice as much as before where it was soon used up, half where it was not; a part of what is left."""
    soon = time.monotonic() - block.drawn_at < BUSY_SECONDS
    grown = block.size * 2 if soon else block.size / 2
    block.size = min(max(grown, missing), block.limit.cap)
    step = SMALLEST if block.limit.resource == "money" else ONE
    rest = (block.limit.cap - block.used) / SHARE_OF_REST
    return max(min(block.size, rest).quantize(step, rounding=ROUND_FLOOR), missing)


def ended() -> Unavailable:
    """What whoever waits is told when the meter ends."""
    return Unavailable("The meter of this process has ended.", remedy="Try again in a moment.")

"""Metering of calls without asking PostgreSQL: limits from blocks that were drawn before, reservations and settlements by a journal."""

import asyncio
import os
import secrets
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from pathlib import Path

import structlog
from sqlalchemy import update

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, Unavailable
from factory_infra.notices import Notices
from factory_infra.saas.metering.blocks import Amounts, Blocks, Needs
from factory_infra.saas.metering.drawing import AWAY, Drawer
from factory_infra.saas.metering.journal import Journal
from factory_infra.saas.metering.models import Attribution, Limit, Outcome, Standing, Usage
from factory_infra.saas.metering.options import MeterOptions
from factory_infra.saas.metering.poster import Poster
from factory_infra.saas.metering.prices import ONE, SMALLEST, Rate
from factory_infra.saas.metering.records import ZERO, Reserved, Served, Settled, Share, sound, used_of
from factory_infra.saas.metering.recovery import Recall, Recovery, remove_process
from factory_infra.saas.metering.tables import ProcessRow

log = structlog.get_logger("metering")

LIMITS_CHANNEL = "ledger_limits"
NAME_CHARACTERS_MAX = 120
SEEN_SECONDS = 10.0
CLOSE_SECONDS_MAX = 15.0


@dataclass(frozen=True, slots=True)
class Ask:
    """What one attempt at one backend may use at most, and whom it belongs to."""

    name: str
    """The reservation's, unique: CALL/ATTEMPT."""
    whose: Attribution
    limits: tuple[Limit, ...]
    """All that bind it, the team's budget included. A later attempt of the same call is bound by money and tokens, and by parallel
    calls once the attempt before it has ended."""
    backend: str
    subject: str
    """The model as the price book names it."""
    rate: Rate
    tokens_in_max: int
    """No prompt of this text has more: this is reserved."""
    tokens_in_estimated: int
    """What the prompt has by our own count: charged where nobody can tell."""
    tokens_out_max: int
    money_floor: Decimal = ZERO
    """The least to reserve, for speech: its price goes by characters or seconds."""
    currency: str = ""
    """How money is named where it is refused."""


@dataclass(slots=True, eq=False)
class Hold:
    """One reservation of this process."""

    ask: Ask
    record: Reserved
    needs: Needs
    written_at: float
    settled: bool = False
    charged: Decimal = ZERO

    @property
    def amount(self) -> Decimal:
        """The money that is reserved."""
        return self.record.amount


class Meter:
    """Reserves before a call and settles after it, hard and exactly, in some ten microseconds each.

    One a process. What it promises: no cap is passed by what any number of processes reserve; every reservation is on this host's
    journal before `reserve` returns, every settlement before `settle` does; each is in the ledger exactly once, soon; a process that is
    killed is ended by any other of the same host and folder.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        *,
        recall: Recall | None = None,
        notices: Notices | None = None,
        options: MeterOptions | None = None,
    ) -> None:
        """Prepare; nothing is opened.

        Args:
            database: where limits and ledger are.
            folder: of the journals of this host; processes that share it recover one another.
            recall: asks an upstream what a call used that a crash cut off.
            notices: news of limits and of siblings; without, the meter listens by a connection of its own.
            options: how it is tuned.
        """
        self._options = options or MeterOptions()
        self.process_id = f"{os.getpid()}-{int(time.time() * 1000):x}-{secrets.token_hex(4)}"
        self._database = database
        self._own_notices = notices is None
        self._notices = notices or Notices(database.engine.url.render_as_string(hide_password=False))
        self._journal = Journal(folder, self.process_id, self._options.host)
        self._blocks = Blocks(self._options.clock)
        self._drawer = Drawer(database, self.process_id, self._blocks)
        self._poster = Poster(database, self.process_id, self._journal, self._options)
        self._poster.still_open = lambda: [hold.record for hold in self._open.values()]
        self._poster.exclusive = self._drawer.exclusive
        self.recovery = Recovery(database, self._journal.path, recall, self._options)
        self._open: dict[str, Hold] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._refusal = "The meter has not started."

    @property
    def ailment(self) -> str:
        """Why nothing can be metered here; empty while all is well."""
        return self._refusal

    async def start(self) -> None:
        """Open the journal, enter the process into the database and begin. Raises StorageFull, and what the database raises."""
        self._journal.open()
        with ExitStack() as undo:
            undo.callback(self._journal.close, remove=True)
            async with self._database.transaction() as session:
                session.add(ProcessRow(id=self.process_id, host=self._options.host))
            undo.pop_all()
        self._drawer.siblings.listen(self._notices)
        self._notices.on(LIMITS_CHANNEL, self._recap)
        if self._own_notices:
            await self._notices.start()
        for name, work in self._work().items():
            task = asyncio.create_task(work, name=f"meter {name}")
            task.add_done_callback(self._ended)
            self._tasks.append(task)
        self._refusal = ""

    async def close(self) -> None:
        """Post everything, return the blocks, remove the process. With calls still open, or without PostgreSQL, the journal stays: any
        process of this host ends what is left. Closed twice is no error."""
        if self._refusal == "closed":
            return
        self._refusal = "closed"
        whole = await self._posted_in_time()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.recovery.close()
        if self._own_notices:
            await self._notices.close()
        self._journal.close(remove=whole and not self._open and self._poster.idle and await self._removed())

    async def reserve(self, ask: Ask) -> Hold:
        """Set aside the worst case of an attempt: of all its limits, or of none. Nothing is asked of PostgreSQL while blocks suffice.

        Raises BudgetExceeded (money), RateLimited (another limit of a window, with the seconds until it begins anew), QuotaExceeded
        (another limit that never does, or is smaller than what is asked), StorageFull and Unavailable (cannot be metered now), Conflict
        (a name of an open reservation).
        """
        self._check(ask)
        amount = ask.rate.worst(ask.tokens_in_max, ask.tokens_out_max)
        if ask.money_floor > amount:
            amount = ask.money_floor.quantize(SMALLEST, rounding=ROUND_CEILING)
        tokens = Decimal(ask.tokens_in_max + ask.tokens_out_max)
        amounts: Amounts = {"money": amount, "tokens": tokens, "requests": ONE, "parallel": ONE}
        needs = self._blocks.needs(ask.limits, amounts)
        if not self._blocks.take(needs):
            needs = await self._drawer.take(ask.limits, amounts, ask.currency)
        hold = None
        try:
            hold = self._hold(ask, amount, needs)
            return hold
        finally:
            if hold is None:
                for block, part in needs:
                    self._blocks.put_back(block, part)

    def progress(self, hold: Hold, usage: Usage) -> None:
        """Note how far an open call is, for the case that this process dies. Written once a second at most; cheap otherwise."""
        now = time.monotonic()
        if now - hold.written_at >= self._options.progress_seconds and not hold.settled:
            hold.written_at = now
            self._journal.progress(hold.record, sound(usage))

    def settle(self, hold: Hold, usage: Usage, outcome: Outcome, reason: str = "") -> Decimal:
        """End a reservation: charge what was used, free the rest. Again, it changes nothing. Returns what is charged, in either case.

        `reason` stands in the ledger beside the outcome: of a failure the error's code, and no words of anybody.
        It never raises: the call has been made. Where even the journal is full, the settlement is kept in memory and posted from there.
        """
        if hold.settled:
            return hold.charged
        usage = sound(usage)
        record = Settled(0, self._options.clock(), hold.record, usage, outcome, hold.ask.rate.cost(usage), reason)
        self._journal.settle(record)
        hold.settled, hold.charged = True, record.amount
        del self._open[hold.ask.name]
        for (block, amount), share in zip(hold.needs, hold.record.shares, strict=True):
            self._blocks.put_back(block, max(amount - used_of(share, usage, record.amount), ZERO), record.number)
        self._poster.add(record)
        return record.amount

    def hit(self, whose: Attribution, subject: str, backend: str, saved: Usage) -> None:
        """Note that a cache of answers served a call: one row without an amount."""
        name = f"hit/{self.process_id}/{self._journal.number + 1}"
        record = Served(0, self._options.clock(), name, whose, backend, subject, sound(saved))
        self._journal.serve(record)
        self._poster.add(record)

    def standing(self, limits: tuple[Limit, ...]) -> list[Standing]:
        """How much of each limit is left, as far as this process knows: what others took since it last drew is not in it."""
        return self._blocks.standing(limits)

    async def posted(self) -> None:
        """Return when everything that was journalled so far is in the ledger. Raises Unavailable when it never will be from here."""
        await self._poster.drained()

    def _check(self, ask: Ask) -> None:
        if self._refusal:
            raise Unavailable(f"Nothing is metered here: {self._refusal}", remedy="Try again in a moment.")
        if ask.name in self._open:
            raise Conflict(f"There is an open reservation '{ask.name}'.")
        whole = ask.tokens_in_max >= 0 and ask.tokens_out_max >= 0 and ask.backend
        if not whole or len(ask.name) > NAME_CHARACTERS_MAX or not ask.name.isprintable():
            raise InvalidInput(f"The reservation '{ask.name[:NAME_CHARACTERS_MAX]}' has a name, backend or quantity that is none.")
        self._poster.check()

    def _hold(self, ask: Ask, amount: Decimal, needs: Needs) -> Hold:
        if self._refusal or ask.name in self._open:
            self._check(ask)  # the world went on while blocks were drawn
        shares = tuple(Share(block.limit.id, block.start, block.limit.resource, part) for block, part in needs)
        record = Reserved(
            number=0,
            at=self._options.clock(),
            name=ask.name,
            whose=ask.whose,
            backend=ask.backend,
            subject=ask.subject,
            rate=ask.rate,
            tokens_in_max=ask.tokens_in_max,
            tokens_in_estimated=ask.tokens_in_estimated,
            tokens_out_max=ask.tokens_out_max,
            amount=amount,
            shares=shares,
        )
        self._journal.reserve(record)
        self._poster.add(record)
        hold = self._open[ask.name] = Hold(ask, record, needs, time.monotonic())
        return hold

    def _work(self) -> dict[str, Coroutine[None, None, None]]:
        work = {"draws": self._drawer.run(), "posts": self._poster.run(), "sweeps": self._sweep(), "answers": self._answer()}
        return work | ({"recovers": self.recovery.run()} if self._options.recover else {})

    async def _sweep(self) -> None:
        seen_at = time.monotonic()
        while True:
            await asyncio.sleep(self._options.sweep_seconds)
            await self._drawer.give_back(self._poster.posted)
            if time.monotonic() - seen_at > SEEN_SECONDS:
                seen_at = time.monotonic()
                await self._seen()

    async def _answer(self) -> None:
        while True:
            await self._drawer.siblings.wake.wait()
            await self._drawer.answer()

    async def _seen(self) -> None:
        try:
            async with self._database.transaction() as session:
                await session.execute(update(ProcessRow).where(ProcessRow.id == self.process_id).values(seen_at=utcnow()))
        except AWAY as error:
            log.warning("the process cannot be seen", error=type(error).__name__)

    async def _posted_in_time(self) -> bool:
        try:
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await self._poster.drained()
        except (TimeoutError, Unavailable) as error:
            log.warning("the journal is left to others", error=type(error).__name__)
            return False
        return True

    async def _removed(self) -> bool:
        try:
            async with self._database.transaction() as session:
                await remove_process(session, self.process_id)
        except AWAY as error:
            log.warning("the journal is left to others", error=type(error).__name__)
            return False
        return True

    def _recap(self, _: str) -> None:
        """Limits were changed: what is free is asked for again, under the new caps."""
        self._drawer.recap()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part that ends by itself is a fault; without it nothing more may be promised."""
        if not task.cancelled() and not self._refusal:
            self._refusal = f"the {task.get_name()} ended."
            log.critical("a part of the meter ended", part=task.get_name(), error=repr(task.exception()))

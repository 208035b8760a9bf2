"""Bringing a journal into the ledger: in batches, behind the calls, each record exactly once."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from itertools import islice

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, Unavailable
from factory_infra.saas.metering import draws
from factory_infra.saas.metering.drawing import AWAY
from factory_infra.saas.metering.journal import Journal
from factory_infra.saas.metering.options import MeterOptions
from factory_infra.saas.metering.posting import post
from factory_infra.saas.metering.records import Record, Reserved, Settled, charged, transfers
from factory_infra.saas.metering.tables import EntryRow, ProcessRow

log = structlog.get_logger("metering")

PAUSE_SECONDS_MAX = 2.0
POST_SECONDS_MAX = 30.0


async def post_records(
    database: Database, process_id: str, posted: int, records: Sequence[Record], exclusive: asyncio.Lock | None = None
) -> int:
    """Post records of a process and say so in its row, in one transaction; return up to where the ledger now goes.

    A name that is in the ledger already, which no call of ours should have, gets a name of its own: what was used is charged.

    Args:
        database: where the ledger is.
        process_id: whose records they are.
        posted: up to where the caller believes the ledger to go. Raises Conflict, and posts nothing, where that is not so.
        records: by their numbers.
        exclusive: held while limits are charged beyond what was reserved, for a living process may be giving back at that moment.
    """
    try:
        return await _post(database, process_id, posted, records, exclusive)
    except IntegrityError:
        if not await _rename(database, process_id, records):
            raise
        return await _post(database, process_id, posted, records, exclusive)


async def _post(database: Database, process_id: str, posted: int, records: Sequence[Record], exclusive: asyncio.Lock | None) -> int:
    upto = records[-1].number
    moves = [move for record in records for move in transfers(record)]
    sums = charged(records)
    guard = exclusive if exclusive is not None and sums.above else nullcontext()
    async with guard, asyncio.timeout(POST_SECONDS_MAX), database.transaction() as session:
        row = update(ProcessRow).where(ProcessRow.id == process_id, ProcessRow.posted == posted)
        advanced = await session.scalar(row.values(posted=upto, seen_at=utcnow()).returning(ProcessRow.posted))
        if advanced is None:
            raise Conflict(f"The ledger does not go up to record {posted} of process {process_id}.", code="posted_elsewhere")
        await post(session, moves)
        await draws.charge(session, process_id, sums)
    return upto


async def _rename(database: Database, process_id: str, records: Iterable[Record]) -> bool:
    """Give records whose entry is in the ledger already another name; whether there were any."""
    keys: dict[tuple[str, str], Record] = {}
    twice = []
    for record in records:
        key = _key(record)
        if key in keys:
            twice.append(_give_name(record, process_id))
        keys[_key(record)] = record
    async with database.transaction() as session:
        query = select(EntryRow.reservation, EntryRow.action).where(EntryRow.reservation.in_({name for name, _ in keys}))
        known = [(name, action) for name, action in await session.execute(query) if (name, action) in keys]
    named = twice + [_give_name(keys[key], process_id) for key in known]
    if named:
        log.error("reservations had the names of others", count=len(named), posted_as=named[0])
    return bool(named)


def _key(record: Record) -> tuple[str, str]:
    name = record.reserved.title if isinstance(record, Settled) else record.title
    return name, "reserve" if isinstance(record, Reserved) else "settle"


def _give_name(record: Record, process_id: str) -> str:
    held = record.reserved if isinstance(record, Settled) else record
    held.posted_as = f"{held.name}~{process_id}.{held.number}"
    return held.posted_as


async def posted_of(session: AsyncSession, process_id: str) -> int | None:
    """Up to which record a process's journal is in the ledger; None where the process has no row."""
    found: int | None = await session.scalar(select(ProcessRow.posted).where(ProcessRow.id == process_id))
    return found


class Poster:
    """Posts what one living process journals, a moment later."""

    def __init__(self, database: Database, process_id: str, journal: Journal, options: MeterOptions) -> None:
        self._database = database
        self._process_id = process_id
        self._journal = journal
        self._options = options
        self.posted = 0
        """Every record up to this number is in the ledger."""
        self.still_open: Callable[[], Iterable[Record]] = tuple
        """What a new file must hold besides what is not posted."""
        self.exclusive: asyncio.Lock | None = None
        self._queue: deque[Record] = deque()
        self._batch: list[Record] = []
        self._last = 0
        self._bytes = 0
        self._behind_since: float | None = None
        self._fenced = False
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._rotate_at = options.rotate_bytes

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be posted."""
        return not self._queue

    def add(self, record: Record) -> None:
        """Take over a record that is in the journal."""
        self._queue.append(record)
        self._last = record.number
        self._bytes += len(record.line)
        self._wake.set()
        if len(self._queue) >= self._options.batch_records_max:
            self._full.set()

    def check(self) -> None:
        """Raise Unavailable where so much waits to be posted that no more should be promised."""
        late = self._behind_since is not None and time.monotonic() - self._behind_since > self._options.unposted_seconds_max
        if late or self._fenced or self._bytes > self._options.unposted_bytes_max:
            raise Unavailable("The ledger is too far behind: nothing more is metered.", remedy="See to PostgreSQL and try again.")

    async def drained(self) -> None:
        """Return when all that was added so far is in the ledger. Raises Unavailable when it never will be by this process."""
        if self._fenced:
            raise Unavailable("The ledger has been written by another under this process's name.", remedy="Start the process again.")
        if self.posted < self._last:
            done = asyncio.get_running_loop().create_future()
            self._waiting.append((self._last, done))
            self._full.set()
            await done

    async def run(self) -> None:
        """Post for as long as the process lives; never returns."""
        pause = 0.05
        while True:
            await self._batch_is_due()
            try:
                while self._queue:
                    await self._post_batch()
                    pause = 0.05
            except AWAY as error:
                self._behind_since = self._behind_since or time.monotonic()
                log.warning("the ledger cannot be posted to", error=type(error).__name__, records=len(self._queue))
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_SECONDS_MAX)
                self._wake.set()

    async def _batch_is_due(self) -> None:
        await self._wake.wait()
        if not self._waiting:
            try:
                async with asyncio.timeout(self._options.batch_seconds):
                    await self._full.wait()
            except TimeoutError:
                pass
        self._wake.clear()
        self._full.clear()

    async def _post_batch(self) -> None:
        # A batch whose answer was lost is tried again as it was: only so it can be told whether it is in the ledger.
        batch = self._batch = self._batch or list(islice(self._queue, self._options.batch_records_max))
        if self._options.sync:
            await asyncio.to_thread(self._journal.sync)
        try:
            self.posted = await post_records(self._database, self._process_id, self.posted, batch, self.exclusive)
        except Conflict:
            await self._find_out(batch[-1].number)
        for record in batch:
            self._queue.popleft()
            self._bytes -= len(record.line)
        self._batch = []
        self._behind_since = None
        self._tell()
        if self._journal.bytes > self._rotate_at:
            self._journal.rotate([*self.still_open(), *self._queue])
            self._rotate_at = max(self._options.rotate_bytes, 4 * self._journal.bytes)

    async def _find_out(self, upto: int) -> None:
        """See whether a batch whose answer was lost is in the ledger. Anything else means that another posts under our name."""
        async with self._database.transaction() as session:
            posted = await posted_of(session, self._process_id)
        if posted != upto:
            self._fenced = True
            for _, done in self._waiting:
                if not done.done():
                    done.set_exception(Unavailable("The ledger has been written by another under this process's name."))
            raise Conflict(f"Process {self._process_id} posts no more: its row says {posted}.", code="posted_elsewhere")
        self.posted = upto

    def _tell(self) -> None:
        still = []
        for number, done in self._waiting:
            if number > self.posted:
                still.append((number, done))
            elif not done.done():
                done.set_result(None)
        self._waiting = still

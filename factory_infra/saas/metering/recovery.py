"""Ending what a dead process left: its journal is posted to the end, its open calls are reconciled, its blocks go back.

Every step may be done twice, so a process that is killed while it recovers another is itself no loss.
"""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import LineshaftError
from factory_infra.saas.metering import draws
from factory_infra.saas.metering.drawing import AWAY
from factory_infra.saas.metering.journal import DRAFT, SUFFIX, Found
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.metering.options import MeterOptions
from factory_infra.saas.metering.poster import post_records
from factory_infra.saas.metering.posting import post
from factory_infra.saas.metering.records import Reserved, Settled, charged, sound, transfers
from factory_infra.saas.metering.tables import EntryRow, ProcessRow

log = structlog.get_logger("metering")

STALE = timedelta(minutes=10)
"""A process that lives says so every few seconds, and takes nothing on once it could not for two minutes."""

RECALLS_MAX = 32
RECALL_SECONDS_MAX = 5.0
DRAFT_SECONDS = 60.0
"""A file of this age that has not got its name belongs to a process that was killed just then."""

Recall = Callable[[str, str], Awaitable[Usage | None]]
"""Asks a backend, by its name, what an attempt used, by its name; None where it is not known, or not yet."""


class Recovery:
    """Looks after the other journals of this host's folder."""

    def __init__(self, database: Database, own: Path, recall: Recall | None, options: MeterOptions) -> None:
        self._database = database
        self._own = own
        self._recall = recall
        self._options = options
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        self._found_at: dict[Path, float] = {}
        self._recalls = asyncio.Semaphore(RECALLS_MAX)
        self._settling = asyncio.Lock()
        """One at a time: the connections are for living calls, and two would lock the same rows in two orders."""

    async def run(self) -> None:
        """Look every few seconds; never returns."""
        while True:
            try:
                await self.scan()
            except AWAY as error:
                log.warning("dead processes cannot be looked for", error=type(error).__name__)
            await asyncio.sleep(self._options.scan_seconds)

    async def scan(self) -> None:
        """Take over every journal whose lock is free; return before they are done."""
        for path in sorted(self._own.parent.glob(f"*{SUFFIX}")):
            if path != self._own and path not in self._tasks:
                descriptor = take_over(path)
                if descriptor is not None:
                    self._begin(path, descriptor)
        for draft in self._own.parent.glob(f"*{DRAFT}"):
            with contextlib.suppress(FileNotFoundError):
                if draft.stat().st_mtime < time.time() - DRAFT_SECONDS:
                    draft.unlink()
        async with self._database.transaction() as session:
            await draws.empty_orphans(session)

    async def done(self) -> None:
        """Return when no journal is being recovered."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def close(self) -> None:
        """Stop; whatever is half done is left to the next that looks."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _begin(self, path: Path, descriptor: int) -> None:
        task = asyncio.create_task(self._recover(path, descriptor), name=f"recover {path.name}")
        self._tasks[path] = task
        self._found_at.setdefault(path, time.monotonic())

        def ended(task: asyncio.Task[None]) -> None:
            os.close(descriptor)
            del self._tasks[path]
            if not path.exists():
                del self._found_at[path]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("a journal was not recovered and is tried again", journal=path.name, error=repr(error))

        task.add_done_callback(ended)

    async def _recover(self, path: Path, descriptor: int) -> None:
        process_id = path.name.removesuffix(SUFFIX)
        async with self._database.transaction() as session:
            row = await session.get(ProcessRow, process_id)
        if row is not None and row.host != self._options.host and row.seen_at > utcnow() - STALE:
            return  # Another host that shares the folder: its locks are not seen from here. One that was renamed is silent.
        if row is not None:
            found = await asyncio.to_thread(Found.read, descriptor)
            log.warning("recovering a dead process", process=process_id, records=len(found.records), open=len(found.open))
            await self._post_rest(found, process_id, row.posted)
            await self._reconcile_all(process_id, list(found.open.values()), self._found_at[path])
            await self._remove(process_id)
        path.unlink(missing_ok=True)

    async def _post_rest(self, found: Found, process_id: str, posted: int) -> None:
        rest = [record for record in found.records if record.number > posted]
        step = self._options.batch_records_max
        for first in range(0, len(rest), step):
            posted = await post_records(self._database, process_id, posted, rest[first : first + step])

    async def _reconcile_all(self, process_id: str, open_: list[Reserved], found_at: float) -> None:
        async with asyncio.TaskGroup() as group:
            for held in open_:
                group.create_task(self._reconcile(process_id, held, found_at + self._options.recall_seconds_max))

    async def _reconcile(self, process_id: str, held: Reserved, until: float) -> None:
        """Settle a reservation by what the upstream tells, or by our own count of it."""
        usage = sound(await self._recalled(held, until) or estimate(held))
        record = Settled(0, time.time(), held, usage, "recovered", held.rate.cost(usage))
        async with self._settling, self._database.transaction() as session:
            settled = select(EntryRow.id).where(EntryRow.reservation == held.title, EntryRow.action == "settle")
            if await session.scalar(settled) is not None:
                return
            await post(session, transfers(record))
            await draws.charge(session, process_id, charged([record]))

    async def _recalled(self, held: Reserved, until: float) -> Usage | None:
        """What the upstream tells of a call, asked again until it does or the time is over."""
        while self._recall is not None:
            with contextlib.suppress(LineshaftError, OSError, TimeoutError):
                async with self._recalls, asyncio.timeout(RECALL_SECONDS_MAX):
                    usage = await self._recall(held.backend, held.name)
                if usage is not None:
                    return usage
            if time.monotonic() + self._options.recall_pause_seconds > until:
                break
            await asyncio.sleep(self._options.recall_pause_seconds)
        return None

    async def _remove(self, process_id: str) -> None:
        async with self._database.transaction() as session:
            await remove_process(session, process_id)


async def remove_process(session: AsyncSession, process_id: str) -> None:
    """Return what a process has drawn and not charged, slots of parallel calls included, and remove its row."""
    await draws.empty(session, process_id)
    await session.execute(delete(ProcessRow).where(ProcessRow.id == process_id))


def estimate(held: Reserved) -> Usage:
    """Our own count of a call that nobody can tell of: its last progress, or the prompt and nothing more."""
    last = held.last or Usage()
    return replace(last, tokens_in=last.tokens_in or held.tokens_in_estimated, estimated=True)


def take_over(path: Path) -> int | None:
    """Lock a journal if its process is dead; None if it lives, or has just begun a new file of the same name."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None

"""Hands calls to be kept to the database behind the answers' backs: no call waits for it, and a team that did not ask costs nothing."""

import asyncio
from collections import OrderedDict
from itertools import islice
from typing import Protocol

import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError

from factory_infra.notices import News, Remembered
from factory_infra.saas.models.transcripts.models import Kept
from factory_infra.saas.models.transcripts.service import CHANNEL, Transcripts

log = structlog.get_logger("transcripts")

BATCH_MAX = 50
WAITING_MAX = 2_000
WAITING_BYTES_MAX = 64 * 2**20
ASK_SECONDS_MAX = 5.0
TEAMS_MAX = 10_000


class Keeping(Protocol):
    """What the gateway needs of it."""

    async def wanted(self, tenant: str) -> bool:
        """Whether a team has its calls kept."""
        ...

    def keep(self, call: Kept) -> None:
        """Have a call kept; returns at once."""
        ...


class Keeper:
    """One process's queue of calls to be kept. Bounded: where the database is away for long, the oldest are dropped and that is logged."""

    def __init__(self, transcripts: Transcripts, news: News) -> None:
        self._transcripts = transcripts
        self._wanted: Remembered[str, bool] = Remembered(news, CHANNEL, entries_max=TEAMS_MAX)
        self._waiting: OrderedDict[str, tuple[Kept, int]] = OrderedDict()
        self._bytes = 0
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written."""
        return not self._waiting

    async def wanted(self, tenant: str) -> bool:
        """Whether a team has its calls kept; remembered, and forgotten as soon as the team changes its mind.

        Where the database cannot say, nothing is kept: a call does not fail for it.
        """
        known = self._wanted.get(tenant, tenant)
        if known is None:
            mark = self._wanted.mark(tenant)
            try:
                async with asyncio.timeout(ASK_SECONDS_MAX):
                    known = (await self._transcripts.retention(tenant)).days is not None
            except (SQLAlchemyError, OSError) as error:
                log.warning("a call is not kept: nobody can say whether it should be", error=type(error).__name__)
                return False
            self._wanted.put(tenant, tenant, known, mark)
        return known

    def keep(self, call: Kept) -> None:
        """Queue a call; it is written within moments, and read anew whether its team still wants that."""
        size = len(orjson.dumps(call.request)) + len(orjson.dumps(call.answer))
        self._forget(call.id)
        self._waiting[call.id] = call, size
        self._bytes += size
        while len(self._waiting) > WAITING_MAX or self._bytes > WAITING_BYTES_MAX:
            dropped = next(iter(self._waiting))
            self._forget(dropped)
            log.warning("a transcript is not kept: too much waits", call=dropped)
        self._some.set()

    async def start(self) -> None:
        """Begin to write."""
        self._task = self._task or asyncio.create_task(self._run(), name="transcripts")

    async def close(self) -> None:
        """Write what waits, then stop."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        while self._waiting and await self._written():
            pass

    def _forget(self, call_id: str) -> None:
        _, size = self._waiting.pop(call_id, (None, 0))
        self._bytes -= size

    async def _run(self) -> None:
        pause = 0.05
        while True:
            await self._some.wait()
            pause = 0.05 if await self._written() else min(pause * 2, 5.0)
            await asyncio.sleep(pause)

    async def _written(self) -> bool:
        """Write one batch. False, and it waits on, where the database does not take it."""
        batch = [call for call, _ in islice(self._waiting.values(), BATCH_MAX)]
        try:
            await self._transcripts.keep(batch)
        except (SQLAlchemyError, OSError) as error:
            log.warning("transcripts wait", error=type(error).__name__)
            return False
        for call in batch:
            self._forget(call.id)
        if not self._waiting:
            self._some.clear()
        return True

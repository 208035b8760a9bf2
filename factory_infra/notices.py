"""News between processes through PostgreSQL: who changes a row tells it, and who remembers that row forgets it at once."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, Protocol, TypeVar

import psycopg
import structlog
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger("notices")

EVERYTHING = ""
"""The payload that means: anything may have changed, for news may have been missed."""
PING_SECONDS = 1.0
LATE_SECONDS = 1.0
PAUSE_SECONDS_MAX = 1.0
START_SECONDS_MAX = 5.0

Callback = Callable[[str], None]
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_TELL = text("SELECT pg_notify(:channel, :payload)")


async def tell(session: AsyncSession, channel: str, payload: str) -> None:
    """Tell every process that listens, when and only if the session's transaction commits."""
    await session.execute(_TELL, {"channel": channel, "payload": payload})


class News(Protocol):
    """What a memory needs to know of the connection that news come by."""

    @property
    def fresh(self) -> bool:
        """Whether news told before this moment have come or are on their way."""
        ...

    def on(self, channel: str, callback: Callback) -> None:
        """Have a function called with each payload of a channel."""
        ...


class Notices:
    """One connection that listens on all channels; it is made anew when it breaks, for as long as the process wants it.

    A callback runs in the event loop, must return at once and must not raise. It gets `EVERYTHING` each time that listening begins,
    because what was told before went unheard.
    """

    def __init__(self, url: str, *, ping_seconds: float = PING_SECONDS) -> None:
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._ping_seconds = ping_seconds
        self._callbacks: dict[str, list[Callback]] = {}
        self._listened: set[str] = set()
        self._good_until = 0.0
        self._task: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()

    def on(self, channel: str, callback: Callback) -> None:
        """Have a function called with each payload of a channel. While it runs already, a new channel is heard from the next ping on."""
        self._callbacks.setdefault(channel, []).append(callback)

    @property
    def fresh(self) -> bool:
        """False while the connection is not known to be good: it was lost, or it did not answer a ping in time."""
        return time.monotonic() < self._good_until and len(self._listened) == len(self._callbacks)

    async def start(self) -> None:
        """Begin to listen and return once it does. Where the database does not answer, return after some seconds and go on trying."""
        self._task = self._task or asyncio.create_task(self._run(), name="notices")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._heard.wait(), START_SECONDS_MAX)

    async def close(self) -> None:
        """Stop listening; from now on nothing is fresh. Closed twice is no error."""
        task, self._task, self._good_until = self._task, None, 0.0
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        pause = 0.05
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._url, autocommit=True, connect_timeout=5) as connection:
                    pause = 0.05
                    await self._listen(connection)
            except (psycopg.Error, OSError, TimeoutError) as error:
                log.warning("notices are not heard", error=type(error).__name__)
            finally:
                self._good_until = 0.0
                self._listened.clear()
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def _listen(self, connection: psycopg.AsyncConnection) -> None:
        """Hand out what comes, and ask for a sign of life at each pause. Returns never; raises what the connection raises."""
        while True:
            await self._ping(connection)
            async for notice in connection.notifies(timeout=self._ping_seconds):
                self._hand_out(notice.channel, notice.payload)

    async def _ping(self, connection: psycopg.AsyncConnection) -> None:
        """Listen on what is new, or ask for a sign of life; the connection is good from when it was asked, not from its answer."""
        asked = time.monotonic()
        missing = set(self._callbacks) - self._listened
        async with asyncio.timeout(LATE_SECONDS):
            for name in sorted(missing):
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(name)))
            if not missing:
                await connection.execute("SELECT 1")
        for channel in missing:
            self._hand_out(channel, EVERYTHING)
        self._listened |= missing
        self._good_until = asked + self._ping_seconds + LATE_SECONDS
        self._heard.set()

    def _hand_out(self, channel: str, payload: str) -> None:
        for callback in self._callbacks.get(channel, ()):
            callback(payload)


class Mark(NamedTuple):
    """How much had been forgotten when something was read."""

    epoch: int
    forgotten: int


class _Kept(NamedTuple, Generic[V]):
    value: V
    mark: Mark
    until: float


class Remembered(Generic[K, V]):
    """A bounded memory of rows, the least used forgotten first; a notice with a group's name as its payload forgets the group.

    Take a `mark` before a row is read and give it to `put`: what was changed meanwhile is not kept. While the news are not fresh nothing is
    known and nothing is kept. Nothing is believed for longer than `seconds_max`, so that even a change by hand in the database, which tells
    nobody, comes through.
    """

    def __init__(self, news: News, channel: str, *, entries_max: int, seconds_max: float = 60.0) -> None:
        self._news = news
        self._entries_max = entries_max
        self._seconds_max = seconds_max
        self._entries: OrderedDict[K, _Kept[V]] = OrderedDict()
        self._epoch = 0
        self._forgotten: dict[str, int] = {}
        news.on(channel, self.forget)

    def __len__(self) -> int:
        """How many rows are remembered."""
        return len(self._entries)

    def mark(self, group: str) -> Mark | None:
        """Where the group stands now; None while the news are not fresh."""
        return self._mark(group) if self._news.fresh else None

    def get(self, group: str, key: K) -> V | None:
        """What is remembered; None where it is not, or may have changed."""
        kept = self._entries.get(key)
        if kept is None or not self._news.fresh:
            return None
        if kept.mark != self._mark(group) or kept.until < time.monotonic():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return kept.value

    def put(self, group: str, key: K, value: V, mark: Mark | None) -> None:
        """Remember what was read after the mark was taken, unless its group changed since."""
        if mark is None or mark != self.mark(group):
            return
        self._entries[key] = _Kept(value, mark, time.monotonic() + self._seconds_max)
        self._entries.move_to_end(key)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def forget(self, group: str) -> None:
        """Forget a group, or all."""
        if group == EVERYTHING or len(self._forgotten) >= self._entries_max:
            self._epoch += 1
            self._forgotten.clear()
            self._entries.clear()
        else:
            self._forgotten[group] = self._forgotten.get(group, 0) + 1

    def _mark(self, group: str) -> Mark:
        return Mark(self._epoch, self._forgotten.get(group, 0))

"""The journal of one process: what it reserved and settled, on this host's disk before anything else happens.

A line is in the kernel's hands when `append` returns, so it outlives a SIGKILL of the process. The file's lock is held for the life
of the process: whoever finds it free knows that the process is dead.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterable
from decimal import Decimal
from operator import attrgetter
from pathlib import Path
from typing import cast

import orjson

from factory_infra.errors import StorageFull, Unavailable
from factory_infra.saas.metering.models import Attribution, Resource, Usage
from factory_infra.saas.metering.prices import Rate
from factory_infra.saas.metering.records import Record, Reserved, Served, Settled, Share

SUFFIX = ".journal"
DRAFT = ".new"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
READ_BYTES = 1 << 20
RATES_MAX = 512

Write = Callable[[int, bytes], int]
Json = dict[str, object]


class Journal:
    """One process's file. Not for threads: everything is called from the event loop."""

    def __init__(self, folder: Path, process_id: str, host: str, *, write: Write = os.write) -> None:
        self.path = folder / f"{process_id}{SUFFIX}"
        self.number = 0
        """Of the last record; records count from 1 for the life of the process."""
        self.bytes = 0
        self._process_id = process_id
        self._host = host
        self._write = write
        self._descriptor = -1
        self._torn = False
        self._owed: list[bytes] = []
        self._rates: dict[int, tuple[Rate, list[str]]] = {}

    def open(self) -> None:
        """Create the file, for the owner alone, and hold its lock; it gets its name only once it is locked and has its head."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._replace([])
        except OSError as error:
            raise _refused(self.path, error) from error

    def append(self, line: bytes) -> None:
        """Write a line and count it. Raises StorageFull or Unavailable, and then nothing of it stays."""
        if self._owed:
            self._pay()
        self._put(line)
        self.number += 1

    def append_or_owe(self, line: bytes) -> None:
        """Write a line that must not be refused: what cannot be written now is kept in memory and written before the next."""
        try:
            self.append(line)
        except (StorageFull, Unavailable):
            self._owed.append(line)
            self.number += 1

    def reserve(self, record: Reserved) -> None:
        """Write a reservation under the next number. Raises StorageFull or Unavailable."""
        record.number = self.number + 1
        record.line = _line(
            {
                "t": "reserve",
                "n": record.number,
                "at": record.at,
                "id": record.name,
                "whose": _whose(record.whose),
                "backend": record.backend,
                "subject": record.subject,
                "rate": self._rate(record.rate),
                "in": record.tokens_in_max,
                "guess": record.tokens_in_estimated,
                "out": record.tokens_out_max,
                "amount": str(record.amount),
                "shares": [(limit, start, resource, str(amount)) for limit, start, resource, amount in record.shares],
            }
        )
        self.append(record.line)

    def progress(self, record: Reserved, usage: Usage) -> None:
        """Write how far an open call is. Where it cannot be written it is left out: it only sharpens an estimate."""
        line = _line({"t": "progress", "n": self.number + 1, "id": record.name, "usage": _usage(usage)})
        try:
            self.append(line)
        except (StorageFull, Unavailable):
            return
        record.last, record.last_line = usage, line

    def settle(self, record: Settled) -> None:
        """Write a settlement under the next number. It is never refused: the call has been made."""
        record.number = self.number + 1
        record.line = _line(
            {
                "t": "settle",
                "n": record.number,
                "at": record.at,
                "id": record.reserved.name,
                "usage": _usage(record.usage),
                "outcome": record.outcome,
                "amount": str(record.amount),
                **({"reason": record.reason} if record.reason else {}),
            }
        )
        self.append_or_owe(record.line)

    def serve(self, record: Served) -> None:
        """Write that a cache answered. It is never refused."""
        record.number = self.number + 1
        record.line = _line(
            {
                "t": "serve",
                "n": record.number,
                "at": record.at,
                "id": record.name,
                "whose": _whose(record.whose),
                "backend": record.backend,
                "subject": record.subject,
                "usage": _usage(record.saved),
            }
        )
        self.append_or_owe(record.line)

    def rotate(self, records: Iterable[Record]) -> None:
        """Begin the file anew with what is still needed: open reservations, and what is not posted yet. A full disk leaves it as it is."""
        lines: dict[int, list[bytes]] = {}
        for record in records:
            lines[record.number] = [record.line]
            held = record if isinstance(record, Reserved) else record.reserved if isinstance(record, Settled) else None
            if held is not None:
                lines[held.number] = [held.line, held.last_line]
        try:
            self._replace([line for number in sorted(lines) for line in lines[number] if line])
        except OSError:
            self.path.with_suffix(DRAFT).unlink(missing_ok=True)
        else:
            self._owed.clear()

    def sync(self) -> None:
        """Have the kernel bring the file to the disk; for a thread."""
        os.fdatasync(self._descriptor)

    def close(self, *, remove: bool) -> None:
        """Let the lock go. Closed twice is no error.

        Args:
            remove: whether everything in it is posted and settled. Otherwise any process of this host takes it over.
        """
        if self._descriptor < 0:
            return
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def _pay(self) -> None:
        while self._owed:
            self._put(self._owed[0])
            self._owed.pop(0)

    def _put(self, line: bytes) -> None:
        data = b"\n" + line if self._torn else line
        try:
            written = self._write(self._descriptor, data)
            if written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._cut()
            raise _refused(self.path, error) from error
        self._torn = False
        self.bytes += len(data)

    def _cut(self) -> None:
        """Take back the part of a line that a full disk let through; where even that fails, the next line begins on a line of its own."""
        try:
            os.ftruncate(self._descriptor, self.bytes)
        except OSError:
            self._torn = True

    def _replace(self, lines: list[bytes]) -> None:
        """Put a new file in place of the old one. The new one is locked before it has the name, the old one lets go after."""
        draft = self.path.with_suffix(DRAFT)
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = _line({"t": "head", "process": self._process_id, "host": self._host}) + b"".join(lines)
            rest = memoryview(data)
            while rest:
                rest = rest[self._write(descriptor, rest) :]  # type: ignore[arg-type]  # a view is as good as bytes
            draft.rename(self.path)
        except OSError:
            os.close(descriptor)
            raise
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self.bytes, self._torn = descriptor, len(data), False

    def _rate(self, rate: Rate) -> list[str]:
        known = self._rates.get(id(rate))
        if known is None or known[0] is not rate:
            if len(self._rates) >= RATES_MAX:
                self._rates.clear()
            fields = (rate.into, rate.out, rate.cached, rate.cache_written, rate.audio_second, rate.character)
            known = self._rates[id(rate)] = (rate, [rate.version, rate.subject, *map(str, fields)])
        return known[1]


class Found:
    """What a journal holds, read by whoever has its lock. Lines that were torn by a crash or a full disk are passed over."""

    def __init__(self, process_id: str, host: str) -> None:
        self.process_id = process_id
        self.host = host
        self.records: list[Record] = []
        """By their numbers."""
        self.open: dict[str, Reserved] = {}
        """Reservations without a settlement."""

    @classmethod
    def read(cls, descriptor: int) -> "Found":
        """Read a journal as a whole."""
        found = cls("", "")
        for row in map(_parsed, _whole(descriptor).split(b"\n")):
            if row is None:
                continue
            if row["t"] == "head":
                found.process_id, found.host = str(row["process"]), str(row["host"])
            elif row["t"] == "serve":
                found.records.append(_served(row))
            elif row["t"] == "reserve":
                record = found.open[str(row["id"])] = _reserved(row)
                found.records.append(record)
            elif str(row["id"]) in found.open:
                found._follow(row, found.open[str(row["id"])])
        found.records.sort(key=attrgetter("number"))
        return found

    def _follow(self, row: Json, held: Reserved) -> None:
        """Take in a line that speaks of an open reservation."""
        if row["t"] == "progress":
            held.last = _usage_of(row)
            return
        number, at = cast("int", row["n"]), cast("float", row["at"])
        outcome, amount, reason = str(row["outcome"]), Decimal(str(row["amount"])), str(row.get("reason", ""))
        self.records.append(Settled(number, at, held, _usage_of(row), outcome, amount, reason))
        del self.open[held.name]


WHOSE = ("tenant", "project", "key_id", "plan_id", "thread_id", "agent", "step")


def _whose(whose: Attribution) -> tuple[str, ...]:
    return (whose.tenant, whose.project, whose.key_id, whose.plan_id, whose.thread_id, whose.agent, whose.step)


def _usage(usage: Usage) -> tuple[int | float | bool, ...]:
    return (
        usage.tokens_in,
        usage.tokens_out,
        usage.tokens_cached,
        usage.tokens_cache_written,
        usage.tokens_reasoning,
        usage.audio_seconds,
        usage.characters,
        usage.estimated,
    )


def _usage_of(row: Json) -> Usage:
    into, out, cached, written, reasoning, seconds, characters, estimated = cast("list[int]", row["usage"])
    return Usage(into, out, cached, written, reasoning, float(seconds), characters, bool(estimated))


def _whose_of(row: Json) -> Attribution:
    return Attribution(**dict(zip(WHOSE, cast("list[str]", row["whose"]), strict=True)))


def _served(row: Json) -> Served:
    number, at = cast("int", row["n"]), cast("float", row["at"])
    return Served(number, at, str(row["id"]), _whose_of(row), str(row["backend"]), str(row["subject"]), _usage_of(row))


def _reserved(row: Json) -> Reserved:
    version, subject, *prices = cast("list[str]", row["rate"])
    shares = cast("list[tuple[str, int, Resource, str]]", row["shares"])
    return Reserved(
        number=cast("int", row["n"]),
        at=cast("float", row["at"]),
        name=str(row["id"]),
        whose=_whose_of(row),
        backend=str(row["backend"]),
        subject=str(row["subject"]),
        rate=Rate(version, subject, *map(Decimal, prices)),
        tokens_in_max=cast("int", row["in"]),
        tokens_in_estimated=cast("int", row["guess"]),
        tokens_out_max=cast("int", row["out"]),
        amount=Decimal(str(row["amount"])),
        shares=tuple(Share(limit, start, resource, Decimal(amount)) for limit, start, resource, amount in shares),
    )


def _line(row: Json) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _parsed(line: bytes) -> Json | None:
    try:
        row = orjson.loads(line) if line else None
    except orjson.JSONDecodeError:
        return None
    return row if isinstance(row, dict) and "t" in row else None


def _whole(descriptor: int) -> bytes:
    parts, offset = [], 0
    while part := os.pread(descriptor, READ_BYTES, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _refused(path: Path, error: OSError) -> StorageFull | Unavailable:
    if error.errno in FULL:
        return StorageFull(f"The disk of the journal {path.name} is full: no call can be metered.", remedy="Free space and try again.")
    return Unavailable(f"The journal {path.name} cannot be written: {error.strerror}.", remedy="Look at the folder of journals.")

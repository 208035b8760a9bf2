"""The rows of limits and blocks: many at a time, in one order, so that no two processes wait for each other."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.saas.metering.records import Charged, Place

_DRAW = text(
    "WITH asked AS (SELECT * FROM unnest(CAST(:limits AS text[]), CAST(:starts AS timestamptz[]), CAST(:amounts AS numeric[]), "
    "CAST(:caps AS numeric[])) AS a(limit_id, window_start, amount, cap)), "
    "taken AS (INSERT INTO ledger_uses AS u (limit_id, window_start, used) "
    "SELECT limit_id, window_start, amount FROM asked WHERE amount <= cap ORDER BY limit_id, window_start "
    "ON CONFLICT (limit_id, window_start) DO UPDATE SET used = u.used + excluded.used WHERE u.used + excluded.used <= "
    "(SELECT a.cap FROM asked a WHERE a.limit_id = u.limit_id AND a.window_start = u.window_start) "
    "RETURNING limit_id, window_start, used), "
    "raised AS (INSERT INTO ledger_blocks AS b (process_id, limit_id, window_start, drawn, charged) "
    "SELECT :process, limit_id, window_start, amount, 0 FROM taken JOIN asked USING (limit_id, window_start) ORDER BY 2, 3 "
    "ON CONFLICT (process_id, limit_id, window_start) DO UPDATE SET drawn = b.drawn + excluded.drawn "
    "RETURNING limit_id, window_start, drawn) "
    "SELECT limit_id, window_start, used, drawn FROM taken JOIN raised USING (limit_id, window_start)"
)
_USED = text(
    "SELECT limit_id, window_start, u.used FROM ledger_uses u "
    "JOIN unnest(CAST(:limits AS text[]), CAST(:starts AS timestamptz[])) AS k(limit_id, window_start) USING (limit_id, window_start)"
)
_ADD = text(
    "INSERT INTO ledger_uses AS u (limit_id, window_start, used) SELECT limit_id, window_start, amount "
    "FROM unnest(CAST(:limits AS text[]), CAST(:starts AS timestamptz[]), CAST(:amounts AS numeric[])) "
    "AS a(limit_id, window_start, amount) "
    "ORDER BY 1, 2 ON CONFLICT (limit_id, window_start) DO UPDATE SET used = u.used + excluded.used"
)
_CHARGE = text(
    "INSERT INTO ledger_blocks AS b (process_id, limit_id, window_start, drawn, charged) "
    "SELECT :process, limit_id, window_start, 0, amount "
    "FROM unnest(CAST(:limits AS text[]), CAST(:starts AS timestamptz[]), CAST(:amounts AS numeric[])) "
    "AS a(limit_id, window_start, amount) "
    "ORDER BY 2, 3 ON CONFLICT (process_id, limit_id, window_start) DO UPDATE SET charged = b.charged + excluded.charged"
)
_SURPLUS = text(
    "SELECT limit_id, window_start, b.drawn - k.keep FROM ledger_blocks b "
    "JOIN unnest(CAST(:limits AS text[]), CAST(:starts AS timestamptz[]), CAST(:amounts AS numeric[])) "
    "AS k(limit_id, window_start, keep) "
    "USING (limit_id, window_start) WHERE b.process_id = :process AND b.drawn > k.keep ORDER BY 1, 2 FOR UPDATE OF b"
)
_LOWER = text(
    "UPDATE ledger_blocks b SET drawn = b.drawn - k.amount "
    "FROM unnest(CAST(:limits AS text[]), CAST(:starts AS timestamptz[]), CAST(:amounts AS numeric[])) "
    "AS k(limit_id, window_start, amount) "
    "WHERE b.process_id = :process AND b.limit_id = k.limit_id AND b.window_start = k.window_start"
)
_DROP = text(
    "DELETE FROM ledger_blocks b USING unnest(CAST(:limits AS text[]), CAST(:starts AS timestamptz[])) AS k(limit_id, window_start) "
    "WHERE b.process_id = :process AND b.limit_id = k.limit_id AND b.window_start = k.window_start AND b.drawn = b.charged "
    "RETURNING b.limit_id, b.window_start"
)
_OTHERS = text(
    "SELECT process_id FROM ledger_blocks WHERE limit_id = :limit AND window_start = :start AND process_id <> :process AND drawn > charged"
)
_EMPTY = text("DELETE FROM ledger_blocks WHERE process_id = :process RETURNING limit_id, window_start, drawn - charged")
_ORPHANS = text(
    "DELETE FROM ledger_blocks b WHERE NOT EXISTS (SELECT 1 FROM ledger_processes p WHERE p.id = b.process_id) "
    "RETURNING limit_id, window_start, drawn - charged"
)

Sums = Mapping[Place, Decimal]


class Drawn(NamedTuple):
    """How a limit stands after a draw."""

    used: Decimal
    """Of the limit, by all."""
    row: Decimal
    """Drawn by this process in all."""


async def draw(session: AsyncSession, process_id: str, wanted: Sums, caps: Sums) -> dict[Place, Drawn]:
    """Raise what is used of limits, each only if it stays within its cap, and enter it into a process's blocks, by one statement.

    Returns those that were raised. It is whole by itself, so it needs no transaction around it.
    """
    values = _columns(wanted) | {"caps": [caps[place] for place in wanted], "process": process_id}
    rows = await session.execute(_DRAW, values)
    return {_place(limit, start): Drawn(taken, drawn) for limit, start, taken, drawn in rows}


async def used(session: AsyncSession, places: Iterable[Place]) -> dict[Place, Decimal]:
    """How much of limits is taken; those of which nothing ever was are left out."""
    rows = await session.execute(_USED, _keys(places))
    return {_place(limit, start): amount for limit, start, amount in rows}


async def trim(session: AsyncSession, process_id: str, keep: Sums) -> None:
    """Give back what a process's blocks have drawn beyond what it still counts on. Idempotent: it says what stays, not what goes."""
    rows = await session.execute(_SURPLUS, _columns(keep) | {"process": process_id})
    surplus = {_place(limit, start): amount for limit, start, amount in rows}
    if surplus:
        await session.execute(_LOWER, _columns(surplus) | {"process": process_id})
        await session.execute(_ADD, _columns({place: -amount for place, amount in surplus.items()}))


async def charge(session: AsyncSession, process_id: str, sums: Charged) -> None:
    """Enter what settlements charge: within its blocks, and beyond what was reserved to the limits themselves."""
    if sums.above:
        await session.execute(_ADD, _columns(sums.above))
    if sums.within:
        await session.execute(_CHARGE, _columns(sums.within) | {"process": process_id})


async def drop(session: AsyncSession, process_id: str, places: Iterable[Place]) -> set[Place]:
    """Remove a process's blocks of which everything drawn is charged; return which were."""
    rows = await session.execute(_DROP, _keys(places) | {"process": process_id})
    return {_place(limit, start) for limit, start in rows}


async def others(session: AsyncSession, process_id: str, place: Place) -> set[str]:
    """The other processes that have drawn more of a limit than they have charged."""
    limit, start = place
    values = {"limit": limit, "start": datetime.fromtimestamp(start, UTC), "process": process_id}
    return set(await session.scalars(_OTHERS, values))


async def empty(session: AsyncSession, process_id: str) -> None:
    """Return what a process has drawn and not charged, and remove its blocks."""
    await _return(session, list(await session.execute(_EMPTY, {"process": process_id})))


async def empty_orphans(session: AsyncSession) -> None:
    """The same for blocks that a process drew in the moment in which it was killed, after its row had been removed."""
    await _return(session, list(await session.execute(_ORPHANS)))


async def _return(session: AsyncSession, rows: Iterable[Iterable[object]]) -> None:
    back: dict[Place, Decimal] = {}
    for limit, start, amount in rows:
        place = _place(limit, start)  # type: ignore[arg-type]  # as the statement says
        back[place] = back.get(place, Decimal(0)) - amount  # type: ignore[operator]  # as the statement says
    if any(back.values()):
        await session.execute(_ADD, _columns(back))


def _place(limit_id: str, start: datetime) -> Place:
    return limit_id, int(start.timestamp())


def _keys(places: Iterable[Place]) -> dict[str, object]:
    limits, starts = zip(*places, strict=True)
    return {"limits": list(limits), "starts": [datetime.fromtimestamp(start, UTC) for start in starts]}


def _columns(sums: Sums) -> dict[str, object]:
    return _keys(sums) | {"amounts": list(sums.values())}

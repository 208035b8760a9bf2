"""Writing the ledger: transfers are appended, and the sums by day are raised with them, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from psycopg import AsyncConnection
from psycopg import Error as PsycopgError
from psycopg.errors import UniqueViolation
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.saas.metering.models import Account, Attribution, Charge, Outcome, Transfer, Usage
from factory_infra.saas.metering.prices import MICRO, SMALLEST
from factory_infra.saas.metering.tables import ENTRY_COLUMNS, EntryRow

COPY_ROWS_MIN = 21
"""From so many rows on they are copied in, which is quicker than to insert them."""
ZERO = Decimal(0)
NO_QUANTITIES = {
    "quantity": ZERO,
    "quantity_out": ZERO,
    "quantity_cached": ZERO,
    "quantity_cache_written": ZERO,
    "quantity_reasoning": ZERO,
}
KEY = ("day", "tenant", "project", "key_id", "agent", "subject", "backend", "unit")
SUMS = ("calls", "quantity", "quantity_out", "quantity_cached", "quantity_reasoning", "amount")
TYPES = {"day": "date", "calls": "bigint"} | dict.fromkeys(SUMS[1:], "numeric")

_COPY = f"COPY ledger_entries ({', '.join(ENTRY_COLUMNS)}) FROM STDIN"
_ARRAYS = ", ".join(f"CAST(:{name} AS {TYPES.get(name, 'text')}[])" for name in KEY + SUMS)
_ADDED = ", ".join(f"{name} = d.{name} + excluded.{name}" for name in SUMS)
_RAISE = text(
    f"INSERT INTO ledger_daily AS d ({', '.join(KEY + SUMS)}) SELECT * FROM unnest({_ARRAYS}) "  # noqa: S608 - names of our own only
    f"ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET {_ADDED}"
)

Row = dict[str, Any]
"""The columns of an entry, by name and in order."""
Day = tuple[date, str, str, str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money set aside under a name, and what its settlement must know of it."""

    name: str
    amount: Decimal
    whose: Attribution
    price_version: str
    backend: str = ""
    """Empty for what is reserved in PostgreSQL directly: agents' calls and leases."""


@dataclass(frozen=True, slots=True)
class _Move:
    action: str
    debit: Account
    credit: Account
    amount: Decimal
    outcome: str = ""
    reason: str = ""


def reserving(held: Reservation, charge: Charge, at: datetime) -> Transfer:
    """The transfer that sets money aside. `charge` is the worst case."""
    return _transfer(held, charge, at, _Move("reserve", "available", "reserved", held.amount))


def settling(held: Reservation, charge: Charge, amount: Decimal, at: datetime, outcome: Outcome = "done") -> list[Transfer]:
    """The transfers that charge what was used under a reservation and give back the rest, or charge what was used beyond it.

    Args:
        held: the reservation.
        charge: what was used; its quantities stand on the settlement only.
        amount: what that costs.
        at: the moment.
        outcome: how the call ended.
    """
    both = min(held.amount, amount)
    moves = [_Move("settle", "reserved", "spent", both, outcome)]
    if amount < held.amount:
        moves.append(_Move("release", "reserved", "available", held.amount - amount, outcome))
    elif amount > held.amount:
        moves.append(_Move("surplus", "available", "spent", amount - held.amount, outcome))
    rest = charge.model_copy(update=NO_QUANTITIES) if len(moves) > 1 else charge
    return [_transfer(held, rest if place else charge, at, move) for place, move in enumerate(moves)]


def hit(held: Reservation, subject: str, saved: Usage, at: datetime) -> Transfer:
    """The one row of a call that a cache of answers served: nothing was reserved, used or charged."""
    charge = Charge(unit="tokens", subject=subject, quantity=ZERO)
    reason = f"saved {saved.tokens_in}/{saved.tokens_out}"
    return _transfer(held, charge, at, _Move("settle", "reserved", "spent", ZERO, "cached", reason))


def correcting(held: Reservation, charge: Charge, amount: Decimal, at: datetime, label: tuple[int, str]) -> Transfer:
    """The transfer that charges a positive amount later, or gives a negative one back. `label` is its number and the reason."""
    number, reason = label
    debit, credit = ("available", "spent") if amount > 0 else ("spent", "available")
    move = _Move(f"correct/{number}", debit, credit, abs(amount), reason=reason)  # type: ignore[arg-type]
    return _transfer(held, charge.model_copy(update=NO_QUANTITIES), at, move)


def _transfer(held: Reservation, charge: Charge, at: datetime, move: _Move) -> Transfer:
    return Transfer(
        at=at,
        reservation=held.name,
        action=move.action,
        debit=move.debit,
        credit=move.credit,
        amount=move.amount,
        charge=charge,
        whose=held.whose,
        price_version=held.price_version,
        backend=held.backend,
        outcome=move.outcome,
        reason=move.reason,
    )


async def post(session: AsyncSession, transfers: Sequence[Transfer]) -> None:
    """Append transfers and raise the sums by day, in the session's transaction: both or neither.

    Raises IntegrityError when one was posted before. Days are locked in one order; a transaction that also gives back to a limit, or
    charges it, does that after this, so that no two wait for each other.
    """
    rows = [row_of(each) for each in transfers]
    if len(rows) >= COPY_ROWS_MIN:
        await _copy(session, rows)
    elif rows:
        await session.execute(insert(EntryRow), rows)
    days = sums_by_day(rows)
    if days:
        keys = sorted(days)
        columns = zip(*(key + tuple(days[key]) for key in keys), strict=True)
        await session.execute(_RAISE, {name: list(column) for name, column in zip(KEY + SUMS, columns, strict=True)})


def row_of(transfer: Transfer) -> Row:
    """A transfer as the columns of an entry, in their order, rounded to what they hold.

    Words that are too long for their column, or hold a character that PostgreSQL does not store, are cut and not refused: what was
    used must be charged. A reservation's name is the exception, for it tells one from another.
    """
    charge, whose = transfer.charge, transfer.whose
    return {
        "at": transfer.at,
        "tenant": _fit(whose.tenant, 64),
        "project": _fit(whose.project, 64),
        "key_id": _fit(whose.key_id, 24),
        "reservation": transfer.reservation,
        "action": transfer.action,
        "debit": transfer.debit,
        "credit": transfer.credit,
        "amount": transfer.amount.quantize(SMALLEST),
        "unit": charge.unit,
        "quantity": charge.quantity.quantize(MICRO),
        "quantity_out": charge.quantity_out.quantize(MICRO),
        "quantity_cached": charge.quantity_cached.quantize(MICRO),
        "quantity_reasoning": charge.quantity_reasoning.quantize(MICRO),
        "subject": _fit(charge.subject, 128),
        "backend": _fit(transfer.backend, 64),
        "plan_id": _fit(whose.plan_id, 64),
        "thread_id": _fit(whose.thread_id, 64),
        "agent": _fit(whose.agent, 64),
        "step": _fit(whose.step, 64),
        "price_version": _fit(transfer.price_version, 32),
        "outcome": transfer.outcome,
        "reason": _fit(transfer.reason, 400),
        "estimated": charge.estimated,
    }


def _fit(words: str, length_max: int) -> str:
    return words[:length_max].replace("\0", "\ufffd")


async def _copy(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Copy rows in over the driver's own connection, which is in the session's transaction. Raises what an insert raises."""
    held = await (await session.connection()).get_raw_connection()
    connection: AsyncConnection = held.driver_connection  # type: ignore[assignment]  # psycopg is the one driver
    try:
        async with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row in rows:
                await copy.write_row(tuple(row.values()))
    except UniqueViolation as error:
        raise IntegrityError(_COPY, None, error) from error
    except PsycopgError as error:
        raise OperationalError(_COPY, None, error) from error


def sums_by_day(rows: Sequence[Row]) -> dict[Day, list[int | Decimal]]:
    """What rows add to each day's sums: calls and quantities by settlements, money by everything that reaches or leaves `spent`."""
    days: dict[Day, list[int | Decimal]] = {}
    for row in rows:
        if "spent" not in (row["credit"], row["debit"]):
            continue
        key: Day = (row["at"].astimezone(UTC).date(), *(row[name] for name in KEY[1:]))
        amount = row["amount"] if row["credit"] == "spent" else -row["amount"]
        sums = days.setdefault(key, [0, ZERO, ZERO, ZERO, ZERO, ZERO])
        added = (int(row["action"] == "settle"), *(row[name] for name in SUMS[1:-1]), amount)
        days[key] = [old + more for old, more in zip(sums, added, strict=True)]
    return days

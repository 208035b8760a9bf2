"""The check of the books: everything that is derived from the ledger's entries, against the entries."""

from collections.abc import Sequence
from datetime import timedelta

from pydantic import BaseModel, Field
from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.saas.metering.models import Exact
from factory_infra.saas.metering.posting import KEY, SUMS
from factory_infra.saas.metering.reading import at_one_moment

OPEN_SECONDS_MAX = 300.0
"""A call that is open longer was forgotten. Leases are longer: what they hold is compared with the inventory."""
TOLD_MAX = 100
"""How many differences of a kind are told."""

_SIGNED = "CASE WHEN credit = 'spent' THEN amount WHEN debit = 'spent' THEN -amount ELSE 0 END"
_KEY = ", ".join(KEY)
_OUGHT = ", ".join(f"sum({name}) AS {name}" for name in SUMS[1:-1])
_UNEQUAL = " OR ".join(f"coalesce(d.{name}, 0) <> coalesce(e.{name}, 0)" for name in SUMS)
DAYS = text(
    f"WITH e AS (SELECT (at AT TIME ZONE 'UTC')::date AS day, {', '.join(KEY[1:])}, "  # noqa: S608 - names of our own only
    f"count(*) FILTER (WHERE action = 'settle') AS calls, {_OUGHT}, sum({_SIGNED}) AS amount "
    f"FROM ledger_entries WHERE 'spent' IN (credit, debit) GROUP BY 1, 2, 3, 4, 5, 6, 7, 8) "
    f"SELECT concat_ws('/', {_KEY}) AS name, d.amount AS told, e.amount AS ought FROM ledger_daily d "
    f"FULL JOIN e USING ({_KEY}) WHERE {_UNEQUAL} ORDER BY 1 LIMIT :most"
)
BUDGETS = text(
    f"WITH spent AS (SELECT tenant, sum({_SIGNED}) AS amount FROM ledger_entries GROUP BY tenant), "  # noqa: S608 - as above
    "held AS (SELECT r.tenant, sum(r.amount) AS amount FROM ledger_entries r WHERE r.action = 'reserve' AND r.backend = '' "
    "AND NOT EXISTS (SELECT FROM ledger_entries s WHERE s.reservation = r.reservation AND s.action = 'settle') GROUP BY r.tenant), "
    "drawn AS (SELECT substr(limit_id, 8) AS tenant, sum(drawn - charged) AS amount FROM ledger_blocks "
    "WHERE limit_id LIKE 'budget/%' GROUP BY 1), "
    "uses AS (SELECT substr(limit_id, 8) AS tenant, sum(used) AS amount FROM ledger_uses WHERE limit_id LIKE 'budget/%' GROUP BY 1), "
    "books AS (SELECT tenant, coalesce(uses.amount, 0) AS told, "
    "coalesce(spent.amount, 0) + coalesce(held.amount, 0) + coalesce(drawn.amount, 0) AS ought "
    "FROM uses FULL JOIN spent USING (tenant) FULL JOIN held USING (tenant) FULL JOIN drawn USING (tenant)) "
    "SELECT 'budget/' || tenant AS name, told, ought FROM books WHERE told <> ought ORDER BY 1 LIMIT :most"
)
BLOCKS = text(
    "SELECT limit_id || '@' || window_start AS name, coalesce(u.used, 0) AS told, sum(b.drawn - b.charged) AS ought "
    "FROM ledger_blocks b LEFT JOIN ledger_uses u USING (limit_id, window_start) GROUP BY limit_id, window_start, u.used "
    "HAVING coalesce(u.used, 0) < sum(b.drawn - b.charged) ORDER BY 1 LIMIT :most"
)
BELOW = text(
    "SELECT limit_id || '@' || window_start AS name, used AS told, 0 AS ought FROM ledger_uses WHERE used < 0 ORDER BY 1 LIMIT :most"
)
SETTLED = text(
    "SELECT reservation AS name, sum(CASE WHEN credit = 'reserved' THEN amount WHEN debit = 'reserved' THEN -amount ELSE 0 END) AS told, "
    "0 AS ought FROM ledger_entries GROUP BY reservation HAVING bool_or(action = 'settle') "
    "AND sum(CASE WHEN credit = 'reserved' THEN amount WHEN debit = 'reserved' THEN -amount ELSE 0 END) <> 0 "
    "ORDER BY 1 LIMIT :most"
)
OPEN = text(
    "SELECT r.reservation FROM ledger_entries r WHERE r.action = 'reserve' AND r.at < :before AND r.unit <> 'slot_seconds' "
    "AND NOT EXISTS (SELECT FROM ledger_entries s WHERE s.reservation = r.reservation AND s.action = 'settle') "
    "ORDER BY r.at LIMIT :most"
)


_OVER = text(
    "DELETE FROM ledger_uses u WHERE window_start > to_timestamp(0) AND window_start < :before AND NOT EXISTS "
    "(SELECT FROM ledger_blocks b WHERE b.limit_id = u.limit_id AND b.window_start = u.window_start)"
)
KEPT = timedelta(days=40)
"""Longer than any window: after it nobody asks how much of one was used."""


async def forget_windows(database: Database) -> None:
    """Remove what is known of windows that are long over. The entries stay; a job calls this, and again changes nothing."""
    async with database.transaction() as session:
        await session.execute(_OVER, {"before": utcnow() - KEPT})


class Difference(BaseModel):
    """A number that is not what the entries say."""

    name: str
    told: Exact | None = Field(description="What stands in the derived table.")
    ought: Exact | None = Field(description="What the entries give.")


class BookCheck(BaseModel):
    """What a check of the books found: at most 100 of a kind."""

    days: list[Difference] = Field(description="Sums by day against entries, by the day and all that it is summed by.")
    budgets: list[Difference] = Field(description="What is taken of a team's budget against spent, reserved and drawn.")
    limits: list[Difference] = Field(description="Limits of which less is taken than processes have drawn, or less than nothing.")
    settled: list[Difference] = Field(description="Settled reservations under which something is still reserved, or too much was freed.")
    open_long: list[str] = Field(description="Calls that are reserved for long and not settled.")

    @property
    def equal(self) -> bool:
        """True when every derived number is what the entries say, and nothing was forgotten."""
        return not (self.days or self.budgets or self.limits or self.settled or self.open_long)


async def check_books(database: Database, open_seconds_max: float = OPEN_SECONDS_MAX) -> BookCheck:
    """Compare every derived number with the ledger's entries, at one moment, and change nothing.

    It reads the whole ledger, so it is for a job and not for a request. Processes may meter meanwhile: each transaction of theirs
    changes entries and what is derived from them together. What direct callers have reserved is told from what processes hold by its
    empty backend.
    """
    async with database.transaction() as session:
        await at_one_moment(session)
        opened = await session.scalars(OPEN, {"before": utcnow() - timedelta(seconds=open_seconds_max), "most": TOLD_MAX})
        return BookCheck(
            open_long=list(opened),
            days=await _differences(session, DAYS),
            budgets=await _differences(session, BUDGETS),
            limits=[*await _differences(session, BLOCKS), *await _differences(session, BELOW)],
            settled=await _differences(session, SETTLED),
        )


async def _differences(session: AsyncSession, query: TextClause) -> Sequence[Difference]:
    rows: Sequence[RowMapping] = (await session.execute(query, {"most": TOLD_MAX})).mappings().all()
    return [Difference.model_validate(dict(row)) for row in rows]

"""Taking from a limit and giving back: one conditional statement each, so that a cap holds across any number of processes."""

from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Numeric, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.saas.metering.models import Limit, Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BUDGET_PREFIX = "budget/"

_TAKE = text(
    "INSERT INTO ledger_uses AS u (limit_id, window_start, used) SELECT :limit_id, :window_start, :amount WHERE :amount <= :cap "
    "ON CONFLICT (limit_id, window_start) DO UPDATE SET used = u.used + excluded.used WHERE u.used + excluded.used <= :cap RETURNING used"
).bindparams(bindparam("amount", type_=Numeric), bindparam("cap", type_=Numeric))
_ADD = text(
    "INSERT INTO ledger_uses AS u (limit_id, window_start, used) VALUES (:limit_id, :window_start, :amount) "
    "ON CONFLICT (limit_id, window_start) DO UPDATE SET used = u.used + excluded.used"
).bindparams(bindparam("amount", type_=Numeric))
_USED = text("SELECT used FROM ledger_uses WHERE limit_id = :limit_id AND window_start = :window_start")


def window_start(window: Window, at: datetime) -> datetime:
    """When the window that holds a moment began (UTC); `total` and `now` have one window for ever."""
    moment = at.astimezone(UTC).replace(second=0, microsecond=0)
    match window:
        case "minute":
            return moment
        case "day":
            return moment.replace(hour=0, minute=0)
        case "month":
            return moment.replace(day=1, hour=0, minute=0)
        case _:
            return EPOCH


def budget_limit(tenant: str, budget: Decimal) -> Limit:
    """A team's money in all, as a limit: its cap is the team's `budget`."""
    return Limit(id=BUDGET_PREFIX + tenant, resource="money", window="total", cap=budget, title=f"budget of team {tenant}")


async def take(session: AsyncSession, limit: Limit, start: datetime, amount: Decimal) -> bool:
    """Raise what is used of a limit's window by an amount if that stays within the cap; False, and nothing is changed, if not."""
    values = {"limit_id": limit.id, "window_start": start, "amount": amount, "cap": limit.cap}
    return (await session.execute(_TAKE, values)).first() is not None


async def add(session: AsyncSession, limit_id: str, start: datetime, amount: Decimal) -> None:
    """Change what is used without asking: a negative amount gives back, a positive one is what was used above what was reserved."""
    if amount:
        await session.execute(_ADD, {"limit_id": limit_id, "window_start": start, "amount": amount})


async def used(session: AsyncSession, limit_id: str, start: datetime) -> Decimal:
    """How much of a limit's window is taken."""
    found = await session.scalar(_USED, {"limit_id": limit_id, "window_start": start})
    return Decimal(0) if found is None else Decimal(found)

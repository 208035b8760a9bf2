"""What a caller is told whose call a limit does not let through: which limit, by how much, and whether waiting helps."""

from decimal import Decimal

from factory_infra.errors import BudgetExceeded, QuotaExceeded, RateLimited
from factory_infra.saas.metering.models import Limit, Window, plain
from factory_infra.saas.metering.uses import BUDGET_PREFIX

A_WINDOW: dict[Window, str] = {"minute": " a minute", "day": " a day", "month": " a month", "total": " in all", "now": ""}
THIS_WINDOW: dict[Window, str] = {
    "minute": " this minute",
    "day": " today (UTC)",
    "month": " this month (UTC)",
    "total": " in all",
    "now": " now",
}
SHORTER = "Lower max_tokens or shorten the prompt"


def too_small(limit: Limit, amount: Decimal, currency: str = "") -> QuotaExceeded:
    """The refusal of a call that is more than the whole limit: never worth a retry. How much is left does not matter, and is not told.

    Args:
        limit: the one that is too small.
        amount: what the call would reserve of it.
        currency: of money, where it is known.
    """
    cap, would = _of(limit, limit.cap, currency), plain(amount)
    if limit.id.startswith(BUDGET_PREFIX):
        name = f"budget of {cap} of {_whose(limit)}"
    else:
        name = f"limit of {cap}{A_WINDOW[limit.window]} of {_whose(limit)}"
    if limit.resource in {"requests", "parallel"}:
        reason, remedy = f"The {name} lets no call through.", "Have an administrator raise it; waiting does not help."
    else:
        reason, remedy = f"The {name} is smaller than the {would} that this call would reserve.", f"{SHORTER}; waiting does not help."
    if limit.resource == "money":
        return BudgetExceeded(reason, remedy=remedy)
    return QuotaExceeded(reason, remedy=remedy, code="parallel_exceeded" if limit.resource == "parallel" else None)


def too_little_left(limit: Limit, amount: Decimal, left: Decimal, wait_seconds: float, currency: str = "") -> QuotaExceeded:
    """The refusal of a call that would fit the limit and does not fit what is left of it.

    Args:
        limit: the one that has too little left.
        amount: what the call would reserve of it.
        left: as last heard; not told where it would do by now.
        wait_seconds: until the limit's next window begins.
        currency: of money, where it is known.
    """
    reason = f"{_has(limit, amount, left, currency)}{THIS_WINDOW[limit.window]}; this call would reserve {plain(amount)}."
    if limit.id.startswith(BUDGET_PREFIX):
        reason = f"{_has(limit, amount, left, currency)} of its budget; this call would reserve {plain(amount)}."
    if limit.resource == "money":
        return BudgetExceeded(reason, remedy=f"{SHORTER}, or have an administrator raise it.")
    if limit.resource == "parallel":
        return RateLimited(reason, remedy="Wait until a call has ended.", code="parallel_exceeded")
    if limit.window == "total":
        return QuotaExceeded(reason, remedy="Have an administrator raise it.")
    return RateLimited(reason, remedy="Wait for the next window.", retry_after_seconds=max(wait_seconds, 0.001))


def _has(limit: Limit, amount: Decimal, left: Decimal, currency: str) -> str:
    whose, cap = _whose(limit), _of(limit, limit.cap, currency)
    known = f"{plain(left)} of {cap} left" if left < amount else f"too little of {cap} left"
    return f"{whose[:1].upper()}{whose[1:]} has {known}"


def _whose(limit: Limit) -> str:
    """Team, project or key: what follows in the limit's title."""
    return limit.title.partition(" of ")[2] or limit.title


def _of(limit: Limit, amount: Decimal, currency: str) -> str:
    """An amount with what it is of."""
    unit = {"money": currency, "parallel": "parallel calls"}.get(limit.resource, limit.resource)
    return f"{plain(amount)} {unit}".strip()

"""What a refused caller is told: the limit, true numbers, and whether waiting helps."""

from decimal import Decimal

import pytest

from factory_infra.errors import BudgetExceeded, QuotaExceeded, RateLimited
from factory_infra.saas.metering.models import Limit, Resource, Window
from factory_infra.saas.metering.refusals import too_little_left, too_small
from factory_infra.saas.metering.uses import budget_limit


def limit(resource: Resource, window: Window, cap: int, title: str) -> Limit:
    return Limit("l", resource, window, Decimal(cap), title)


TOKENS = limit("tokens", "minute", 200, "tokens a minute of team research")
BUDGET = budget_limit("research", Decimal("20.000000"))
SHORTER = "Lower max_tokens or shorten the prompt"


@pytest.mark.parametrize(
    ("of", "amount", "told", "kind"),
    [
        (
            TOKENS,
            "285",
            "The limit of 200 tokens a minute of team research is smaller than the 285 that this call would reserve. "
            f"{SHORTER}; waiting does not help.",
            QuotaExceeded,
        ),
        (
            BUDGET,
            "20.5",
            "The budget of 20 USD of team research is smaller than the 20.5 that this call would reserve. "
            f"{SHORTER}; waiting does not help.",
            BudgetExceeded,
        ),
        (
            limit("money", "day", 1, "money a day of project reader of team research"),
            "1.25",
            "The limit of 1 USD a day of project reader of team research is smaller than the 1.25 that this call would reserve. "
            f"{SHORTER}; waiting does not help.",
            BudgetExceeded,
        ),
        (
            limit("parallel", "now", 0, "parallel calls of key k1"),
            "1",
            "The limit of 0 parallel calls of key k1 lets no call through. Have an administrator raise it; waiting does not help.",
            QuotaExceeded,
        ),
    ],
)
def test_more_than_a_whole_limit_is_never_worth_a_retry(of: Limit, amount: str, told: str, kind: type[QuotaExceeded]) -> None:
    refusal = too_small(of, Decimal(amount), "USD")
    assert str(refusal) == told
    assert type(refusal) is kind
    assert not refusal.retryable
    assert not hasattr(refusal, "retry_after_seconds")


@pytest.mark.parametrize(
    ("of", "amount", "left", "told", "kind"),
    [
        (TOKENS, "105", "80", "Team research has 80 of 200 tokens left this minute; this call would reserve 105.", RateLimited),
        (TOKENS, "105", "120", "Team research has too little of 200 tokens left this minute; this call would reserve 105.", RateLimited),
        (
            BUDGET,
            "3",
            "0.000000000001",
            "Team research has 0.000000000001 of 20 USD left of its budget; this call would reserve 3.",
            BudgetExceeded,
        ),
        (
            limit("requests", "total", 9, "requests in all of key k1"),
            "1",
            "0",
            "Key k1 has 0 of 9 requests left in all; this call would reserve 1.",
            QuotaExceeded,
        ),
        (
            limit("parallel", "now", 2, "parallel calls of project reader of team research"),
            "1",
            "0",
            "Project reader of team research has 0 of 2 parallel calls left now; this call would reserve 1.",
            RateLimited,
        ),
    ],
)
def test_what_is_left_is_told_where_it_is_known(of: Limit, amount: str, left: str, told: str, kind: type[QuotaExceeded]) -> None:
    refusal = too_little_left(of, Decimal(amount), Decimal(left), 12.0, "USD")
    assert refusal.reason == told
    assert type(refusal) is kind


def test_the_next_window_is_when_to_come_again() -> None:
    refusal = too_little_left(TOKENS, Decimal(105), Decimal(80), 12.0)
    assert isinstance(refusal, RateLimited)
    assert refusal.retry_after_seconds == 12.0


def test_money_without_a_known_currency_has_none() -> None:
    assert "20 left of its budget" in too_little_left(BUDGET, Decimal(3), Decimal(1), 0.0).reason

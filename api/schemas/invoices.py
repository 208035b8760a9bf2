"""What an invoice is asked by."""

from collections.abc import Sequence
from typing import Annotated, get_args

from fastapi import Query

from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.invoices import BY_DEFAULT, Period
from factory_infra.saas.metering.models import Breakdown

BREAKDOWNS: tuple[Breakdown, ...] = get_args(Breakdown)


class InvoiceQuery:
    """A month and what it is broken down by; this month (UTC), and by everything that an invoice names, where they are left out.

    Raises InvalidInput for a month that is none, with the code `breakdown_invalid` for a word that nothing is broken down by.
    """

    def __init__(
        self,
        month: Annotated[str | None, Query(max_length=7, description="Such as 2026-11.")] = None,
        by: Annotated[str | None, Query(max_length=64, description=f"Of {', '.join(BREAKDOWNS)}, with commas.")] = None,
    ) -> None:
        self.month = month or f"{utcnow():%Y-%m}"
        self.period = Period.month(self.month)
        self.by = BY_DEFAULT if by is None else broken_down(by)


def broken_down(words: str) -> Sequence[Breakdown]:
    """The breakdowns that are named, in their order. Raises InvalidInput."""
    wanted = [word.strip() for word in words.split(",")]
    found = [each for word in wanted for each in BREAKDOWNS if each == word]
    if len(found) < len(wanted):
        raise InvalidInput(
            "An invoice cannot be broken down by that.", remedy=f"Use {', '.join(BREAKDOWNS)}, with commas.", code="breakdown_invalid"
        )
    return found

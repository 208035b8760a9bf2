"""What optimization asks of the ledger, which lies above it: whoever holds the books hands them in."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from factory_infra.paas.optimization.models import Allocation, Charge, Days, Dimension, Taken


class Ledger(Protocol):
    """Reads what was charged. Amounts are exact; nothing is changed."""

    @property
    def currency(self) -> str:
        """The currency of all amounts."""
        ...

    async def allocated(self, days: Days, by: Sequence[Dimension], team: str | None = None) -> Allocation:
        """Return what was charged over some days by dimension, and the ledger's own total of them, at one moment."""
        ...

    async def charges(self, days: Days, team: str | None = None) -> Sequence[Charge]:
        """Return the same money as charges with prices, one a day, price and thing: their amounts add up to the ledger's total.

        Raises TooLarge where there are more than an export holds.
        """
        ...

    async def budgets(self, since: datetime, team: str | None = None) -> Sequence[Taken]:
        """Return what is taken of each team's budget, or of one team's, and what was spent since a moment. Closed teams have none."""
        ...

    def hour_price(self, slot_kind: str, accelerator: str, price_class: str, at: datetime) -> Decimal | None:
        """Return what a slot cost an hour at a moment; None for a kind that the price book does not know."""
        ...

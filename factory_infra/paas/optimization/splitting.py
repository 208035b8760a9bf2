"""Shares out an amount by weights so that the parts are whole smallest amounts and add up to the whole, to the last digit."""

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal, localcontext

from factory_infra.paas.optimization.models import SMALLEST

DIGITS = 60
"""More than any product of an amount and a weight has: nothing is rounded on the way."""


def split(amount: Decimal, weights: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Share an amount out by the method of the largest remainder (A. Hamilton, 1792): each part is within one smallest unit.

    Equal remainders go by name, so that the same books always give the same shares. No weight, or none above zero: nobody gets anything.

    Args:
        amount: in whole smallest amounts; may be negative.
        weights: by whom; those that are not above zero get nothing.
    """
    counted = {name: weight for name, weight in weights.items() if weight > 0}
    with localcontext() as context:
        context.prec = DIGITS
        whole = sum(counted.values(), Decimal(0))
        units = int((abs(amount) / SMALLEST).to_integral_value())
        if not whole:
            return {}
        exact = {name: units * weight / whole for name, weight in counted.items()}
        floors = {name: int(share.to_integral_value(rounding=ROUND_FLOOR)) for name, share in exact.items()}
        left = units - sum(floors.values())
        for name in sorted(counted, key=lambda each: (floors[each] - exact[each], each))[:left]:
            floors[name] += 1
        sign = -1 if amount < 0 else 1
        return {name: sign * units_of * SMALLEST for name, units_of in floors.items()}

"""Shares add up to the whole, to the last digit; nobody is off by a smallest amount or more."""

from decimal import Decimal, localcontext

from hypothesis import given
from hypothesis import strategies as st

from factory_infra.paas.optimization.models import SMALLEST
from factory_infra.paas.optimization.splitting import split

AMOUNTS = st.integers(-(10**20), 10**20).map(lambda units: units * SMALLEST)
WEIGHTS = st.dictionaries(st.text(min_size=1, max_size=5), st.decimals(0, 10**9, places=6), max_size=20)


@given(amount=AMOUNTS, weights=WEIGHTS)
def test_the_parts_are_the_whole(amount: Decimal, weights: dict[str, Decimal]) -> None:
    parts = split(amount, weights)
    whole = sum(weights.values())
    assert set(parts) == {name for name, weight in weights.items() if weight > 0}
    with localcontext() as context:
        context.prec = 60
        assert not parts or sum(parts.values()) == amount
        for name, part in parts.items():
            assert part == part.quantize(SMALLEST)
            assert abs(part - amount * weights[name] / whole) < SMALLEST


def test_equal_remainders_go_by_name_whatever_the_order() -> None:
    third = {"b": Decimal(1), "a": Decimal(1), "c": Decimal(1)}
    assert split(SMALLEST, third) == {"a": SMALLEST, "b": 0, "c": 0} == split(SMALLEST, dict(reversed(third.items())))


def test_a_float_would_lose_it() -> None:
    """The control: the same by floats does not add up."""
    amount, weights = Decimal("1234567890123.000000000007"), {name: Decimal(1) for name in "abc"}
    assert sum(split(amount, weights).values()) == amount
    assert sum(Decimal(float(amount) / 3) for _ in weights) != amount

"""Cells of tables: short, and never with an exponent."""

import pytest
from pydantic import JsonValue

from cli.listing import cell


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("3.0000E-8", "0.000000030000"),
        ("0E-12", "0.000000000000"),
        ("1E+3", "1000"),
        ("-1.5E-7", "-0.00000015"),
        ("12e4", "12e4"),
        ("model-E-8", "model-E-8"),
        (0.33333, "0.3333"),
        (2.0, "2"),
        (0.0, "0"),
        (3e-8, "0.00000003"),
        (0.00012345, "0.0001234"),
        (1e16, "10000000000000000"),
        (None, ""),
        ("2026-11-25T17:27:01Z", "2026-11-25 17:27:01"),
        (["a", "b"], "a, b"),
        ({"a": 1}, '{"a": 1}'),
    ],
)
def test_a_cell(value: JsonValue, told: str) -> None:
    assert cell(value) == told

"""Prints lists: a table for a person, JSON for a program."""

import json
import re
from collections.abc import Sequence
from decimal import Decimal

from pydantic import JsonValue
from rich.markup import escape
from rich.table import Table

from cli.context import out

JsonObject = dict[str, JsonValue]
EXPONENT = re.compile(r"-?\d(?:\.\d+)?E[+-]\d{1,3}")
"""A decimal number as Python writes a small one; an older control plane tells amounts so."""
SMALL = 0.001


def cell(value: JsonValue) -> str:
    """One value, short enough for a column."""
    if value is None:
        return ""
    if isinstance(value, float):
        return _rounded(value)
    if isinstance(value, str) and EXPONENT.fullmatch(value):
        return f"{Decimal(value):f}"
    if isinstance(value, str) and "T" in value and value[:4].isdigit():
        return value[:19].replace("T", " ")
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(str(each) for each in value)
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _rounded(number: float) -> str:
    """Four digits after the point, or the first four that are not zero: a small number is not nothing."""
    if 0 < abs(number) < SMALL:
        return f"{Decimal(f'{number:.4g}'):f}"
    return f"{number:.4f}".rstrip("0").rstrip(".")


def show(rows: Sequence[JsonObject], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print rows; with as_json all fields, as they came."""
    if as_json:
        out.print_json(json.dumps(list(rows)))
        return
    if not rows:
        out.print(empty)
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell(row.get(column))) for column in columns))
    out.print(table)


def show_one(row: JsonObject, *, as_json: bool) -> None:
    """Print one object, a field a line."""
    if as_json:
        out.print_json(json.dumps(row))
        return
    for name, value in row.items():
        out.print(f"{name.replace('_', ' '):18} {escape(cell(value))}")

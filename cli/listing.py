"""Prints lists: a table for a person, JSON for a program."""

import json
from collections.abc import Sequence

from pydantic import JsonValue
from rich.markup import escape
from rich.table import Table

from cli.context import out

JsonObject = dict[str, JsonValue]


def cell(value: JsonValue) -> str:
    """One value, short enough for a column."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    if isinstance(value, str) and "T" in value and value[:4].isdigit():
        return value[:19].replace("T", " ")
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(str(each) for each in value)
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


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

"""Checks with a figure and a goal, and how they are printed."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class Check:
    """One promise: what was measured, what was promised, whether it held."""

    name: str
    figure: str
    goal: str
    held: bool


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print a row a check."""
    table = Table(box=None, pad_edge=False)
    for name in ("check", "figure", "goal", ""):
        table.add_column(name, overflow="fold")
    for check in checks:
        verdict = "[green]holds[/green]" if check.held else "[red]falls short[/red]"
        table.add_row(escape(check.name), escape(check.figure), escape(check.goal), verdict)
    console.print(table)

"""`lineshaft doctor`: what is missing on this machine and how to mend it."""

import json
from collections.abc import Callable
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cli.context import out, settings_of
from cli.doctor import installation, machine
from cli.doctor.finding import Finding
from factory_infra.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)

CHECKS: list[Callable[[Settings], Finding]] = [
    machine.check_system,
    machine.check_python,
    installation.check_packages,
    machine.check_cores,
    machine.check_memory,
    machine.check_home,
    machine.check_disk,
    installation.check_postgres,
    installation.check_temporal,
    installation.check_chroma,
    installation.check_model,
    installation.check_ports,
    machine.check_accelerators,
]
_MARKS = {"ok": "[green]✔[/]", "note": "[cyan]·[/]", "warn": "[yellow]![/]", "fail": "[red]✘[/]"}


def examine(settings: Settings) -> list[Finding]:
    """Make every check. Reads only."""
    return [check(settings) for check in CHECKS]


@app.command()
def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Explain what is missing on this machine and how to mend it. Exit code 1 when the stack cannot run."""
    findings = examine(settings_of(context))
    if as_json:
        typer.echo(json.dumps([finding.model_dump() for finding in findings], indent=1))
    else:
        _show(findings)
    if any(finding.level == "fail" for finding in findings):
        raise typer.Exit(1)


def _show(findings: list[Finding]) -> None:
    grid = Table.grid(padding=(0, 1))
    for finding in findings:
        remedy = f"\n[dim]{escape(finding.remedy)}[/]" if finding.remedy else ""
        grid.add_row(f"  {_MARKS[finding.level]}", finding.name, f"{escape(finding.found)}{remedy}")
    out.print(grid)
    failed = sum(finding.level == "fail" for finding in findings)
    out.print(f"\n  [red]{failed} to mend before the stack can run[/]" if failed else "\n  [green]The stack can run here.[/]")

"""`lineshaft status`: each part with state, address, memory and restarts, and the sum."""

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cli.context import out, settings_of
from cli.stack.report import PartReport, StackReport, report
from cli.stack.state import Failure

app = typer.Typer(add_completion=False, rich_markup_mode=None)
NOT_RUNNING = 3

_COLOURS = {"healthy": "green", "done": "green", "external": "cyan", "starting": "yellow", "unhealthy": "yellow", "restarting": "yellow"}


@app.command()
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show each part: state, address, memory, restarts. Exit code 3 when no stack runs."""
    settings = settings_of(context)
    found = report(settings)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=1))
    elif found.running:
        _show(found)
    else:
        out.print(f"No stack runs in {found.home}. Start it with [bold]lineshaft up[/].")
        _show_failure(found.failure)
    if not found.running:
        raise typer.Exit(NOT_RUNNING)


def _show(found: StackReport) -> None:
    since = f"{found.started_at:%Y-%m-%d %H:%M:%S} UTC" if found.started_at else ""
    out.print(
        f"[bold]Lineshaft[/] is {found.phase} [dim]· since {since} · ready after {found.ready_seconds or 0:.1f} s · {found.home}[/]\n"
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title, right in (("part", False), ("state", False), ("pid", True), ("memory", True), ("restarts", True), ("address", False)):
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    for part in found.parts:
        table.add_row(*_row(part))
    table.add_row("[bold]sum[/]", "", "", f"[bold]{_mib(found.memory_bytes)}[/]", "", "")
    out.print(table)
    if found.console_url:
        out.print(f"\nConsole  [bold]{found.console_url}[/]")
    for part in found.parts:
        if part.error:
            out.print(f"[yellow]{part.name}[/]: {escape(part.error)} [dim](lineshaft logs {part.name})[/]")


def _row(part: PartReport) -> list[str]:
    colour = _COLOURS.get(part.state, "red")
    memory = _mib(part.memory_bytes) if part.memory_bytes else ""
    restarts = str(part.restarts) if part.restarts else "[dim]0[/]"
    return [part.name, f"[{colour}]{part.state}[/]", str(part.pid or ""), memory, restarts, part.url]


def _show_failure(failure: Failure | None) -> None:
    if failure is not None:
        out.print(f"The last start failed: [red]{failure.code}[/]: {escape(failure.reason)}")
        out.print(f"  remedy: {escape(failure.remedy)}")


def _mib(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"

"""`lineshaft models`: the pinned weights of the embedded model."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from cli.context import settings_of
from factory_infra.errors import LineshaftError
from factory_infra.saas.models.weights import DEFAULT, PINNED, find, path_of, presence, pull

app = typer.Typer(name="models", help="The weights of the embedded model.", no_args_is_help=True)


@app.command("pull")
def pull_command(
    context: typer.Context, name: Annotated[str, typer.Argument(help="A name or alias from `lineshaft models list`.")] = DEFAULT
) -> None:
    """Load pinned weights, or go on where an earlier pull stopped; nothing is loaded when they are here and verified."""
    console = Console(stderr=True, emoji=False)
    try:
        spec = find(name)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(spec.name, total=spec.size_bytes)

            def report(done: int, total: int, stage: str) -> None:
                bar.update(task, completed=done, total=total, description=f"{spec.name}: {stage}")

            path = pull(spec.name, settings_of(context).weights_dir, report)
    except LineshaftError as error:
        console.print(f"[red]{error.error_code}[/red]: {error.reason}\n{error.remedy}")
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        console.print("Stopped. The same command goes on from here.")
        raise typer.Exit(130) from error
    typer.echo(str(path))


@app.command("list")
def list_command(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="One JSON array instead of a table.")] = False
) -> None:
    """List the pinned weights and whether they are here, and verified."""
    folder = settings_of(context).weights_dir
    rows = [
        {
            "name": spec.name,
            "aliases": list(spec.aliases),
            **presence(spec, folder).model_dump(),
            "size_bytes": spec.size_bytes,
            "license": spec.license,
            "sha256": spec.sha256,
            "path": str(path_of(spec, folder)),
        }
        for spec in PINNED.values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("name", "here", "verified", "MB", "licence")
    for spec in PINNED.values():
        state = presence(spec, folder)
        table.add_row(spec.name, _word(state.present), _word(state.verified), f"{spec.size_bytes / 1e6:,.0f}", spec.license)
    Console(emoji=False).print(table)


def _word(value: bool) -> str:
    return "yes" if value else "no"

"""The `lineshaft` command: its global options, and errors in words at its edge."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.lazy import LazyGroup
from cli.routes import by_command
from factory_infra.errors import LineshaftError

app = typer.Typer(
    cls=LazyGroup,
    name="lineshaft",
    help="Lineshaft: from a sentence to a verified, metered outcome, durably.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def lineshaft(
    context: typer.Context,
    home: Annotated[Path | None, typer.Option(help="Folder of all data; LINESHAFT_HOME does the same.", show_default=False)] = None,
) -> None:
    """Keep the global options for the command that follows."""
    context.obj = home


def main() -> None:
    """Run the command line; an error that we know is told as code, reason and remedy, with exit code 1."""
    try:
        app(prog_name="lineshaft")
    except LineshaftError as error:
        typer.echo(describe(error), err=True)
        sys.exit(1)


def describe(error: LineshaftError) -> str:
    """An error as it is told to a person."""
    remedy = f"\n  remedy: {by_command(error.remedy)}" if error.remedy else ""
    return f"error [{error.error_code}]: {error.reason}{remedy}"

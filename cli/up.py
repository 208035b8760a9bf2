"""`lineshaft up`: start the stack here, or in the background with --detach."""

import asyncio
from typing import Annotated

import typer

from cli.context import out, settings_of
from cli.stack.detached import start_detached
from cli.stack.local import local_stack
from cli.stack.printer import StackPrinter
from cli.stack.state import StackState
from factory_infra.errors import LineshaftError
from factory_infra.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def up(
    context: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when all is ready and leave it running.")] = False,
    only: Annotated[str, typer.Option(help="Start just these parts, and what they need: postgres,temporal,…", show_default=False)] = "",
) -> None:
    """Start every part of the local stack and keep it running until Ctrl-C."""
    settings = settings_of(context)
    names = [name.strip() for name in only.split(",") if name.strip()]
    if detach:
        _up_detached(settings, names)
    else:
        raise typer.Exit(asyncio.run(_up_here(settings, names)))


def _up_detached(settings: Settings, names: list[str]) -> None:
    with StackPrinter(out, settings) as printer, out.status("starting the stack"):
        state = start_detached(settings, names)
    for part in state.parts:
        out.print(f"  [green]✔[/] {part.name:<10} [dim]{part.url}[/]")
    printer.show_ready(state)
    out.print("  It runs in the background; [bold]lineshaft down[/] stops it.")


async def _up_here(settings: Settings, names: list[str]) -> int:
    """Run the stack in this process; return the exit code."""
    with StackPrinter(out, settings) as printer:
        stack = local_stack(settings, only=names, on_event=printer.show)
        stack.handle_signals()
        try:
            await stack.start()
            _announce(printer, stack.state)
            await stack.wait()
        except LineshaftError as error:
            if error.error_code == "stack_stopped":
                return 130
            raise
        finally:
            if stack.running:
                await stack.stop()
                printer.show_stopped()
    return 0


def _announce(printer: StackPrinter, state: StackState) -> None:
    printer.show_ready(state)
    out.print("  [dim]Ctrl-C stops everything.[/]\n")

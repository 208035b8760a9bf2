"""`lineshaft down`: stop the stack, wherever it was started."""

import time

import typer

from cli.context import out, settings_of
from cli.stack.detached import stop_running

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def down(context: typer.Context) -> None:
    """Stop the stack; nothing that it stored is lost."""
    settings = settings_of(context)
    started = time.monotonic()
    state = stop_running(settings)
    if state is None:
        out.print(f"No stack runs in {settings.home}.")
    else:
        out.print(
            f"Stopped the stack in {settings.home} [dim](process {state.pid}, {time.monotonic() - started:.1f} s)[/]; all data are kept."
        )

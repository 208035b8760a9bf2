"""`lineshaft logs NAME`: what a part wrote."""

import time
from collections import deque
from pathlib import Path
from typing import Annotated

import typer

from cli.context import settings_of
from cli.stack.home import logs_dir
from factory_infra.errors import NotFound
from factory_infra.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_POLL_SECONDS = 0.25


@app.command()
def logs(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A part, or `supervisor` for a detached stack.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """Print a part's log, or follow it with -f."""
    path = _log_of(settings_of(context), name)
    with path.open(errors="replace") as file:
        for line in deque(file, maxlen=lines):
            typer.echo(line, nl=False)
        offset = file.tell()
    if follow:
        _follow(path, offset)


def _log_of(settings: Settings, name: str) -> Path:
    found = {path.stem: path for path in logs_dir(settings).glob("*.log")}
    if name not in found:
        known = ", ".join(sorted(found)) or "none yet; start the stack with `lineshaft up`"
        raise NotFound(f"There is no log of {name!r} in {logs_dir(settings)}.", remedy=f"Logs: {known}.", code="log_unknown")
    return found[name]


def _follow(path: Path, offset: int) -> None:
    while True:
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size < offset:  # Rotated: begin again.
            offset = 0
        if size > offset:
            with path.open(errors="replace") as file:
                file.seek(offset)
                typer.echo(file.read(), nl=False)
                offset = file.tell()
        else:
            time.sleep(_POLL_SECONDS)

"""Shows on a terminal what the stack does; one line a fact, and a moving line of what is waited for."""

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from cli.stack.events import Event
from cli.stack.state import StackState
from factory_infra.settings import Settings

_MARKS = {
    "healthy": "[green]✔[/]",
    "done": "[green]✔[/]",
    "note": "[cyan]·[/]",
    "unhealthy": "[yellow]![/]",
    "restarting": "[yellow]↻[/]",
    "failed": "[red]✘[/]",
    "stopped": "[dim]■[/]",
}


class StackPrinter:
    """A listener for `Stack(on_event=…)`. Knows whether this start made the administrator's key, to show it once."""

    def __init__(self, console: Console, settings: Settings) -> None:
        self._console = console
        self._settings = settings
        self._key_file = settings.secrets_dir / "admin.key"
        self._had_key = self._key_file.exists()
        self._waiting: dict[str, float] = {}
        self._status = Status("", console=console, spinner="dots")
        self._started = time.monotonic()

    def __enter__(self) -> "StackPrinter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._status.stop()

    def show(self, event: Event) -> None:
        """Print one event."""
        if event.kind in {"starting", "stopping"}:
            self._waiting[event.part] = time.monotonic()
        elif event.part and event.kind != "note":
            self._waiting.pop(event.part, None)
        if event.kind in _MARKS:
            took = f"{event.seconds:6.1f} s" if event.seconds is not None else " " * 8
            text = f"[dim]{escape(event.text)}[/]" if event.kind in {"healthy", "done", "note"} else escape(event.text)
            self._console.print(f"  {_MARKS[event.kind]} {event.part or 'stack':<10}{took}  {text}".rstrip())
        self._refresh(event)

    def show_ready(self, state: StackState) -> None:
        """Print where to go, and the administrator's key if this start made it."""
        self._status.stop()
        self._console.print(
            f"\n  [bold green]Lineshaft is up[/] [dim]after {state.ready_seconds or 0:.1f} s, data in {self._settings.home}[/]"
        )
        if any(part.name == "api" for part in state.parts):
            self._console.print(f"  Console      [bold]{state.console_url}[/]")
        for part in state.parts:
            if part.name == "gateway":
                self._console.print(f"  Models       {part.url}/v1")
        for name, url in state.links.items():
            self._console.print(f"  {name:<12} {url}")
        if not self._had_key and self._key_file.exists():
            self._show_key()

    def _show_key(self) -> None:
        """Show the key on a terminal only: what is not one may be a log."""
        where = f"{self._key_file}, readable by you alone"
        if self._console.is_terminal:
            self._console.print(f"  Admin key    [bold]{escape(self._key_file.read_text().strip())}[/]")
            self._console.print(f"               [dim]shown only now; it is kept in {where}[/]")
        else:
            self._console.print(f"  Admin key    made now; it is in {where}")

    def show_stopped(self) -> None:
        """Print that nothing runs any more."""
        self._status.stop()
        self._console.print("  [dim]Stopped; nothing is left running, all data are kept.[/]")

    def _refresh(self, event: Event) -> None:
        if event.kind == "ready" or not self._waiting:
            self._status.stop()
            return
        word = "stopping" if event.kind in {"stopping", "stopped"} else "waiting for"
        self._status.update(f"[dim]{word}[/] {', '.join(self._waiting)}")
        self._status.start()

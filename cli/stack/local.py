"""The way to the local stack for every command: build it, find it, read its administrator's key."""

from cli.stack.events import OnEvent, ignore
from cli.stack.parts import local_assembly
from cli.stack.supervisor import Stack
from factory_infra.settings import Settings


def local_stack(settings: Settings, *, only: list[str] | None = None, on_event: OnEvent = ignore) -> Stack:
    """Return the stack of a home, not started; with `only`, just those parts and what they need."""
    return Stack(settings, lambda emit: local_assembly(settings, emit, only or []), on_event=on_event)

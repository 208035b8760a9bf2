"""The way to the local stack for every command: build it, find it, read its administrator's key."""

from cli.stack.events import OnEvent, ignore
from cli.stack.gateway_file import check_gateway
from cli.stack.parts import local_assembly
from cli.stack.supervisor import Assembly, Stack
from factory_infra.settings import Settings


def local_stack(settings: Settings, *, only: list[str] | None = None, on_event: OnEvent = ignore) -> Stack:
    """Return the stack of a home, not started; with `only`, just those parts and what they need.

    Its start raises InvalidInput `gateway_invalid` before any part starts where the gateway is one and could not read its file.
    """

    def assemble(emit: OnEvent) -> Assembly:
        assembly = local_assembly(settings, emit, only or [])
        if any(part.name == "gateway" for part in assembly.parts):
            check_gateway(settings)
        return assembly

    return Stack(settings, assemble, on_event=on_event)

"""The local stack of a home: what is looked at before any part starts."""

from pathlib import Path

import pytest

from cli.stack import local
from cli.stack.events import Event
from cli.stack.local import local_stack
from cli.stack.part import Part
from cli.stack.state import read_state
from cli.stack.supervisor import Assembly
from factory_infra.errors import InvalidInput
from factory_infra.settings import Settings
from tests.cli.stack.test_supervisor import make_part

BROKEN = "backends: {}\nmodels: {fast: {route: [{backend: nowhere, model: m}]}}\n"


def assemble_of(monkeypatch: pytest.MonkeyPatch, *parts: Part) -> None:
    monkeypatch.setattr(local, "local_assembly", lambda settings, emit, only: Assembly(list(parts)))


async def test_a_gateways_file_that_is_wrong_stops_the_start_before_any_part(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    assemble_of(monkeypatch, make_part(tmp_path, "base"), make_part(tmp_path, "gateway"))
    settings.home.mkdir()
    (settings.home / "gateway.yaml").write_text(BROKEN)
    events: list[Event] = []
    stack = local_stack(settings, on_event=events.append)
    with pytest.raises(InvalidInput, match=r"gateway\.yaml, at models\.fast\.route\.0\.backend|models\.fast\.route\.0\.backend") as caught:
        await stack.start()
    assert (caught.value.error_code, stack.running) == ("gateway_invalid", False)
    assert [event.kind for event in events if event.kind in {"starting", "healthy"}] == []
    state = read_state(settings)
    assert state is not None and state.failure is not None and state.failure.code == "gateway_invalid"


async def test_without_the_gateway_its_file_is_not_looked_at(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> None:
    assemble_of(monkeypatch, make_part(tmp_path, "base"))
    settings.home.mkdir()
    (settings.home / "gateway.yaml").write_text(BROKEN)
    stack = local_stack(settings)
    try:
        await stack.start()
        assert stack.state.phase == "ready"
    finally:
        await stack.stop()

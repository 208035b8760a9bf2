"""Every command of the live command line that asks the API, refused: it says so, does nothing else, and its key is in no address.

Who gets which refusal is the API's to say: `tests/api/test_isolation_matrix.py`. A command that asks nothing must be named here.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from typer.core import TyperGroup
from typer.testing import CliRunner

from api.client import ApiRefusal
from cli.app import app
from cli.lazy import COMMANDS, LazyGroup
from factory_infra.errors import LineshaftError

KEY = "ls_000000000000_" + "a" * 43
OF_THIS_MACHINE = {"up", "down", "status", "logs", "models", "run", "mcp", "node-agent", "eval", "doctor", "gateway"}
"""Groups that start, stop or look at what runs on this machine."""
ASK_NOTHING = {
    "accelerators find",
    "accelerators list",
    "accelerators refresh",
    "policy check",
    "policy test",
    "pools add",
    "pools check",
    "pools remove",
    "prices import",
    "pools list",
    "twin run",
    "validation baseline",
    "validation check",
    "chat",
    "costs check-focus",
    "features watch",
    "lessons decide",
    "pipelines trigger",
    "training environments install",
    "training environments list",
    "training environments remove",
}
"""Commands that may end without a question: they look into a file, a catalogue or an account first, or want more than is required."""


def leaves(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below one."""
    if not isinstance(command, TyperGroup):
        yield words, command
        return
    for name, below in command.commands.items():
        yield from leaves(below, (*words, name))


def every() -> list[tuple[tuple[str, ...], Any]]:
    """Every command that is there, with its words."""
    group = LazyGroup(name="lineshaft")
    return [each for name in COMMANDS if name not in OF_THIS_MACHINE for each in leaves(group.get_command(None, name), (name,))]


def filled(command: Any, folder: Path) -> list[str]:
    """Words for all that a command must be given."""
    words: list[str] = []
    for param in command.params:
        if param.required:
            value = something(param.type_descriptor.annotation, folder)
            words += [value] if param.param_type_name == "argument" else [param.opts[0], value]
    return words


def something(kind: Any, folder: Path) -> str:
    """A value of a type."""
    plain = next((each for each in get_args(kind) if each is not type(None)), kind)
    if isinstance(plain, type) and issubclass(plain, Enum):
        return str(next(iter(plain)).value)
    if plain in (int, float):
        return "1"
    if plain is datetime:
        return "2026-11-25"
    return str(folder / "given") if plain is Path else "vision"


COMMANDS_THAT_ASK = every()


def test_a_refusal_is_told_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "given").write_text("{}")
    asked: list[httpx.Request] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response((401, 403, 404)[len(asked) % 3], json={"code": "refused_here", "reason": "Not for you.", "remedy": "Ask."})

    def client(**options: Any) -> httpx.Client:
        return REAL(**{**options, "transport": httpx.MockTransport(refuse)})

    monkeypatch.setattr("api.client.httpx.Client", client)
    environment = {"LINESHAFT_API_URL": "http://127.0.0.1:9", "LINESHAFT_API_KEY": KEY, "LINESHAFT_HOME": str(tmp_path / "home")}
    wrong, silent = {}, set()
    for words, command in COMMANDS_THAT_ASK:
        before = len(asked)
        result = CliRunner().invoke(app, [*words, *filled(command, tmp_path)], env=environment, input="")
        name = " ".join(words)
        if len(asked) == before:
            silent.add(name)
            continue
        told = isinstance(result.exception, ApiRefusal) or (result.exit_code != 0 and "Not for you." in result.output)
        if not told or result.exit_code == 0:
            wrong[name] = (result.exit_code, repr(result.exception), result.output[-200:])
    assert wrong == {}
    assert silent - ASK_NOTHING == set()
    assert len(asked) > 60
    assert all(request.headers["authorization"] == f"Bearer {KEY}" and KEY not in str(request.url) for request in asked)


REAL = httpx.Client


def test_control_a_command_that_swallows_a_refusal_would_show() -> None:
    error: LineshaftError = ApiRefusal(403, {"reason": "Not for you."})
    assert isinstance(error, ApiRefusal) and "Not for you." in str(error)

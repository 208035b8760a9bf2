"""The examples of the documents run, as far as they can without a stack."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import typer
import yaml

from api.app import build_app
from cli.lazy import COMMANDS, LazyGroup
from factory_infra.settings import Settings
from tests.docs.documents import ROOT, Fence, document, fences, name_of

PLACEHOLDER = re.compile(r"\$\([^)]*\)|\$\{?\w+\}?")
ROUTE = re.compile(r"\$API(/[^\"\s?]*)|http://127\.0\.0\.1:8400(/[^\"\s?]*)")


class Line(NamedTuple):
    """One command of a document."""

    where: str
    words: list[str]


def shell_lines(program: str) -> list[Line]:
    """The commands of the documents that call a program, also inside a substitution."""
    return [Line(name_of(fence.path), words) for fence in fences("bash", "sh") for words in calls(fence, program)]


def calls(fence: Fence, program: str) -> Iterator[list[str]]:
    """The words of each call of a program in a piece of shell."""
    for line in fence.text.replace("\\\n", " ").splitlines():
        for match in re.finditer(rf"(?:^|\$\()(?:bin/)?{program} ([^#)]*)", line.strip()):
            yield shlex.split(match[1])


def ids(line: Line) -> str:
    """A test's name."""
    return f"{line.where}: {' '.join(line.words)}"


@pytest.mark.parametrize("line", shell_lines("lineshaft"), ids=ids)
def test_commands_exist_with_their_options(line: Line) -> None:
    command = LazyGroup(name="lineshaft").get_command(None, line.words[0])
    assert command is not None, f"lineshaft has no command {line.words[0]}"
    rest = line.words[1:]
    while isinstance(command, typer.core.TyperGroup) and command.commands:
        assert rest[0] in command.commands, f"lineshaft {line.words[0]} has no {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]  # type: ignore[assignment]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    own = rest[: rest.index("--")] if "--" in rest else rest  # what follows is somebody else's
    assert {word for word in own if word.startswith("-")} <= known


@pytest.mark.parametrize("line", shell_lines("make"), ids=ids)
def test_make_targets_exist(line: Line) -> None:
    targets = set(re.findall(r"^([a-z-]+):", document("Makefile"), re.MULTILINE))
    assert line.words[0] in targets


def test_the_help_lists_every_command_that_the_documents_name() -> None:
    assert {line.words[0] for line in shell_lines("lineshaft")} <= set(COMMANDS)


def test_addresses_that_are_called_exist() -> None:
    served = [re.sub(r"\{[^}]*\}", "[^/]+", path) for path in build_app(Settings(model="none")).openapi()["paths"]]
    called = {next(filter(None, match)) for fence in fences("bash") for match in ROUTE.findall(fence.text)}
    assert called
    unknown = {path for path in called if not any(re.fullmatch(route, PLACEHOLDER.sub("x", path)) for route in served)}
    assert unknown == set()


@pytest.mark.parametrize("fence", list(fences("bash")), ids=lambda fence: name_of(fence.path))
def test_shell_can_be_read(fence: Fence) -> None:
    told = subprocess.run(["bash", "-n"], input=fence.text, capture_output=True, text=True, timeout=20, check=False)
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize("fence", list(fences("python")), ids=lambda fence: name_of(fence.path))
def test_python_runs(fence: Fence) -> None:
    exec(compile(fence.text, name_of(fence.path), "exec"), {"__name__": "example"})  # noqa: S102  (our own documents)


@pytest.mark.parametrize("fence", list(fences("json", "yaml")), ids=lambda fence: name_of(fence.path))
def test_data_can_be_read(fence: Fence) -> None:
    assert json.loads(fence.text) if fence.language == "json" else yaml.safe_load(fence.text)


def test_the_settings_that_are_named_exist() -> None:
    rows = [row for row in document("docs/jobs.md").splitlines() if row.startswith("| `")]
    of_jobs = {name for row in rows for name in re.findall(r"`(LINESHAFT_\w+)`", row)}
    known = set(re.findall(r"`(LINESHAFT_\w+)`", document("docs/run-it.md"))) | of_jobs
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        assert set(re.findall(r"\b(LINESHAFT_[A-Z_]+[A-Z])\b", path.read_text(encoding="utf-8"))) <= known, path.name

"""Routes in what is told at a terminal become commands, and every command that is named exists."""

import pytest
from typer.core import TyperGroup

from cli.app import describe
from cli.lazy import LazyGroup
from cli.routes import COMMANDS, by_command
from factory_infra.errors import NotFound


def test_a_remedy_names_the_command() -> None:
    error = NotFound("There is no team 'x'.", remedy="List the teams with GET /v1/tenants.", code="team_unknown")
    assert describe(error).endswith("remedy: List the teams with 'lineshaft teams list'.")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Change its limits with PATCH /v1/tenants/vision.", "Change its limits with 'lineshaft teams change vision'."),
        ("List the open ones with GET /v1/runs?state=open.", "List the open ones with 'lineshaft runs list'."),
        ("POST /v1/plans/p-1/approve with the digest", "'lineshaft plans approve p-1' with the digest"),
        ("GET /v1/transcripts and GET /v1/keys.", "GET /v1/transcripts and 'lineshaft keys list'."),
        ("Run `lineshaft doctor`.", "Run `lineshaft doctor`."),
    ],
)
def test_what_no_command_does_stays_as_it_is(said: str, shown: str) -> None:
    assert by_command(said) == shown


@pytest.mark.parametrize("command", COMMANDS.values())
def test_every_command_exists(command: str) -> None:
    first, *rest = command.replace("{}", "").split()[1:]
    found: object = LazyGroup(name="lineshaft").get_command(None, first)
    for word in rest:
        assert isinstance(found, TyperGroup), command
        found = found.commands.get(word)
    assert found is not None, command

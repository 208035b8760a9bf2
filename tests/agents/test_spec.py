"""The roster: a file that is wrong is refused by name, before anything runs."""

from pathlib import Path

import pytest

from agents.spec import ROSTER, load_agent, load_roster
from factory_infra.errors import InvalidInput

GOOD = """---
name: painter
title: Painter
when: Somebody asks.
tools: [jobs.list]
---
You look at jobs.
"""


def write(folder: Path, text: str, name: str = "painter") -> Path:
    path = folder / f"{name}.md"
    path.write_text(text)
    return path


def test_front_matter_and_prompt_are_read(tmp_path: Path) -> None:
    spec = load_agent(write(tmp_path, GOOD))
    assert (spec.name, spec.tools, spec.prompt, spec.model) == ("painter", ("jobs.list",), "You look at jobs.", "default")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no front matter"),
        ("You look at jobs.", "no front matter"),
        (GOOD.replace("---\n", "", 1), "no front matter"),
        (GOOD.replace("title: Painter\n", ""), "title"),
        (GOOD.replace("title:", "colour: red\ntitle:"), "colour"),
        (GOOD.replace("[jobs.list]", "[jobs.list, jobs.paint]"), "jobs.paint"),
        (GOOD.replace("[jobs.list]", "7"), "tools"),
        (GOOD.replace("name: painter", "name: plumber"), "not the file's"),
        (GOOD.replace("[jobs.list]", "[jobs.list"), "painter.md"),
        (GOOD.replace("name: painter\ntitle: Painter\nwhen: Somebody asks.\ntools: [jobs.list]", "just words"), "painter.md"),
    ],
)
def test_a_broken_file_is_refused_by_name_and_field(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        load_agent(write(tmp_path, text))
    assert "painter.md" in raised.value.reason
    assert told in raised.value.reason
    assert raised.value.remedy


def test_a_new_agent_is_one_new_file(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, GOOD.replace("name: painter", "name: plumber"), "plumber")
    assert sorted(load_roster(tmp_path)) == ["painter", "plumber"]


def test_one_broken_file_stops_the_roster(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, "nothing", "broken")
    with pytest.raises(InvalidInput, match="broken"):
        load_roster(tmp_path)


def test_the_roster_that_ships_has_the_specialists() -> None:
    assert {"dispatcher", "provisioner", "scheduler", "trainer", "deployer", "librarian"} <= set(load_roster(ROSTER))

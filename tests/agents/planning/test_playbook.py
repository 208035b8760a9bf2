"""The playbook files and their loader."""

from pathlib import Path

import pytest

from agents.planning.playbook import PLAYBOOKS_DIR, load_playbooks, parse_playbook
from agents.specialists import ROSTER
from factory_infra.errors import InvalidInput

GOOD = (PLAYBOOKS_DIR / "list-jobs.md").read_text(encoding="utf-8")


def broken(tmp_path: Path, old: str, new: str) -> Path:
    path = tmp_path / "broken.md"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    return path


class TestFiles:
    def test_every_file_loads(self) -> None:
        names = {playbook.name for playbook in load_playbooks()}
        assert {"train-and-deploy", "train-only", "deploy-version", "rollback-endpoint", "retire-endpoint", "best-model"} <= names

    def test_an_effect_is_answered_for_by_an_agent_and_has_a_postcondition(self) -> None:
        for playbook in load_playbooks():
            for step in playbook.steps:
                assert step.agent in ROSTER and step.tool in ROSTER[step.agent].tools
                assert step.effect == "read" or step.postcondition, f"{playbook.name}.{step.id}"

    def test_a_new_playbook_is_one_file(self, tmp_path: Path) -> None:
        for path in PLAYBOOKS_DIR.glob("*.md"):
            (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
        new = GOOD.replace("name: list-jobs", "name: list-ships").replace("about: [job]", "about: [ship]")
        new = new.replace("words:", "words:\n  ship:\n    en: [ship, ships]", 1)
        (tmp_path / "list-ships.md").write_text(new, encoding="utf-8")
        assert "list-ships" in {playbook.name for playbook in load_playbooks(tmp_path)}


class TestErrors:
    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            ("agent: scheduler\n", "", "agent"),
            ("slots: {}", "slots: {x: {type: colour}}", "slots.x.type"),
            ('summary: "Read the jobs"', 'summary: "Read {nothing}"', "nothing"),
            ("    ru: [", "    xx: [", "xx"),
            ("---\nname", "name", "front matter"),
            ("all_teams: true", "all_teams: true\nunheard: 1", "unheard"),
        ],
    )
    def test_file_field_and_remedy_are_named(self, tmp_path: Path, old: str, new: str, named: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            parse_playbook(broken(tmp_path, old, new))
        assert "broken.md" in caught.value.reason and named in caught.value.reason and caught.value.remedy

"""Environments: made once, found by their digest, removed, and nothing half-made is ever used."""

import json
import threading
from pathlib import Path

import pytest

from factory_infra.errors import EffectFailed, InvalidInput, StorageFull
from factory_infra.paas.training.environments import service
from factory_infra.paas.training.environments.catalogue import ENVIRONMENTS, Environment, environment_named
from factory_infra.paas.training.environments.service import Environments


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was run, in place of running it: a venv is a folder, pip says nothing."""
    found: list[list[str]] = []

    def run(argv: list[str], seconds: float) -> str:
        found.append(argv)
        if argv[1:3] == ["-m", "venv"]:
            (Path(argv[3]) / "bin").mkdir(parents=True)
            (Path(argv[3]) / "lib").mkdir()
        if "sysconfig" in argv[-1]:
            return str(Path(argv[0]).parent.parent / "lib") if "environments" in argv[0] else "/installation"
        return "torch==2.13.0\n" if "list" in argv else ""

    monkeypatch.setattr(service, "run", run)
    return found


class TestCatalogue:
    @pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda each: each.name)
    def test_every_requirement_is_pinned(self, environment: Environment) -> None:
        assert environment.requirements and all(each.count("==") == 1 for each in environment.requirements)

    def test_an_unknown_one_is_told_with_those_there_are(self) -> None:
        with pytest.raises(InvalidInput, match="torch, lora, ray") as raised:
            environment_named("../lora")
        assert raised.value.error_code == "environment_unknown"

    def test_other_requirements_are_another_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch, lora = environment_named("torch"), environment_named("lora")
        before = torch.digest
        assert torch.digest != lora.digest and torch.folder_name == f"torch-{torch.digest}"
        monkeypatch.setattr("factory_infra.paas.training.environments.catalogue.platform.machine", lambda: "other")
        assert environment_named("torch").digest != before


class TestInstall:
    def test_it_is_made_once_and_sees_the_installation_last(self, tmp_path: Path, commands: list[list[str]]) -> None:
        environments = Environments(tmp_path / "environments")
        assert environments.python("torch") is None and not environments.get("torch").installed
        made = environments.install("torch", lambda line: None)
        count = len(commands)
        assert environments.install("torch", lambda line: None) == made and len(commands) == count
        assert made.installed and made.packages == ["torch==2.13.0"] and environments.python("torch") == Path(made.path) / "bin" / "python"
        assert (Path(made.path) / "lib" / service.OVERLAY).read_text() == "/installation\n"
        pip = next(each for each in commands if "install" in each)
        assert "torch==2.13.0" in pip and "--no-input" in pip
        assert [each.installed for each in environments.list()] == [True, False, False]

    def test_what_failed_leaves_nothing_and_says_why(
        self, tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        environments, good = Environments(tmp_path / "environments"), service.run

        def run(argv: list[str], seconds: float) -> str:
            if "install" in argv:
                raise service.failed("no such version")
            return good(argv, seconds)

        monkeypatch.setattr(service, "run", run)
        with pytest.raises(EffectFailed, match="no such version"):
            environments.install("torch", lambda line: None)
        assert environments.python("torch") is None and not [each for each in (tmp_path / "environments").iterdir() if each.is_dir()]

    def test_one_that_was_killed_in_between_is_not_used_and_made_anew(self, tmp_path: Path, commands: list[list[str]]) -> None:
        environments = Environments(tmp_path / "environments")
        half = tmp_path / "environments" / environment_named("torch").folder_name
        (half / "bin").mkdir(parents=True)
        (half / "bin" / "python").write_text("")
        assert environments.python("torch") is None
        assert environments.install("torch", lambda line: None).installed

    def test_one_over_an_installation_that_is_gone_is_not_used_and_made_anew(self, tmp_path: Path, commands: list[list[str]]) -> None:
        environments, ours = Environments(tmp_path / "environments"), tmp_path / "installation"
        made = environments.install("torch", lambda line: None)
        packages = Path(made.path) / "lib" / "python3.11" / "site-packages"
        packages.mkdir(parents=True)
        (packages / service.OVERLAY).write_text(f"{ours}\n")
        assert environments.python("torch") is None and not environments.get("torch").installed
        ours.mkdir()
        assert environments.python("torch") is not None
        ours.rmdir()
        assert environments.install("torch", lambda line: None).installed and not packages.exists()

    def test_many_at_once_install_once(self, tmp_path: Path, commands: list[list[str]]) -> None:
        threads = [
            threading.Thread(target=Environments(tmp_path / "environments").install, args=("torch", lambda line: None)) for _ in range(4)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
        assert sum("venv" in each for argv in commands for each in argv[2:3]) == 1

    def test_without_room_nothing_is_begun(self, tmp_path: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "FREE_BYTES_MIN", 2**62)
        with pytest.raises(StorageFull):
            Environments(tmp_path / "environments").install("torch", lambda line: None)
        assert commands == []

    def test_removed_it_is_gone(self, tmp_path: Path, commands: list[list[str]]) -> None:
        environments = Environments(tmp_path / "environments")
        environments.install("torch", lambda line: None)
        assert environments.remove("torch") and not environments.remove("torch")
        assert environments.python("torch") is None

    def test_one_that_has_all_of_another_serves_for_it(self, tmp_path: Path, commands: list[list[str]]) -> None:
        environments = Environments(tmp_path / "environments")
        made = environments.install("lora", lambda line: None)
        assert environments.python("torch") == Path(made.path) / "bin" / "python" and environments.python("ray") is None


class TestRun:
    def test_a_program_that_fails_is_told_with_its_end(self) -> None:
        with pytest.raises(EffectFailed, match="environment") as raised:
            service.run(["/bin/sh", "-c", "exit 1"], 10)
        assert raised.value.error_code == "environment_failed"

    def test_ready_is_json_that_can_be_read(self, tmp_path: Path, commands: list[list[str]]) -> None:
        made = Environments(tmp_path / "environments").install("torch", lambda line: None)
        assert json.loads((Path(made.path) / "ready.json").read_text())["bytes"] >= 0

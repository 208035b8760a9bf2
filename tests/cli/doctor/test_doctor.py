"""What the doctor says."""

from pathlib import Path

import pytest

from cli.doctor import installation, machine
from cli.doctor.command import CHECKS
from factory_infra.settings import Settings


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


class TestDoctor:
    def test_it_looks_at_everything_that_the_stack_needs(self) -> None:
        looked = {check.__name__.removeprefix("check_") for check in CHECKS}
        assert {
            "python",
            "packages",
            "disk",
            "memory",
            "cores",
            "ports",
            "postgres",
            "temporal",
            "chroma",
            "model",
            "home",
            "accelerators",
        } <= looked

    def test_the_locked_packages_are_here(self, own: Settings) -> None:
        assert installation.check_packages(own).level == "ok"

    def test_a_missing_package_is_named(self, own: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        lock = "absent-package==1.0 \\\n    --hash=sha256:00\npydantic==0.1\nelsewhere==1 ; sys_platform == 'none'\n"
        (tmp_path / "requirements.lock").write_text(lock)
        monkeypatch.setattr(installation, "ROOT", tmp_path)
        finding = installation.check_packages(own)
        assert finding.level == "fail" and "absent-package, pydantic" in finding.found and "elsewhere" not in finding.found
        assert "make setup" in finding.remedy

    def test_programs_that_are_missing(self, own: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
        finding = installation.check_temporal(own)
        assert finding.level == "fail" and "LINESHAFT_TEMPORAL_ADDRESS" in finding.remedy

    def test_a_home_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        finding = machine.check_home(Settings(home=tmp_path / "file" / "home"))
        assert finding.level == "fail" and "--home" in finding.remedy

    def test_too_little_space_fails(self, own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(machine, "_DISK_WANTED", 2**62)
        assert machine.check_disk(own).level == "warn"
        monkeypatch.setattr(machine, "FREE_BYTES_MIN", 2**62)
        assert machine.check_disk(own).level == "fail"

    def test_weights(self, own: Settings) -> None:
        finding = installation.check_model(own)
        assert finding.level == "warn" and "models pull" in finding.remedy
        own.weights_dir.mkdir(parents=True)
        (own.weights_dir / "a.gguf").write_text("")
        assert installation.check_model(own).level == "ok"
        assert installation.check_model(Settings(home=own.home, model="none")).level == "ok"

    def test_a_machine_without_a_driver_is_no_fault(self, own: Settings) -> None:
        assert machine.check_accelerators(own).level in {"ok", "note", "warn"}

"""What a node's software is, told by commands and files that a test puts there."""

from pathlib import Path

import pytest

from factory_infra.foundation.validation import probes
from factory_infra.foundation.validation.models import ComponentName
from factory_infra.foundation.validation.probes import Command, Package, Probe, collect


def put(root: Path, path: str, text: str = "") -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def program(folder: Path, name: str, body: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


def only(root: Path, name: ComponentName) -> tuple[str | None, str]:
    found = next(each for each in collect({name: probes.PROBES[name]}, root=root).components if each.name == name)
    return found.version, found.source or found.note


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "path", "text", "version"),
        [
            ("driver", "/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue", "550.54.15"),
            ("driver", "/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.10  x", "570.86.10"),
            ("cuda", "/usr/local/cuda/version.json", '{"cuda" : {"name" : "CUDA SDK", "version" : "12.4.1"}}', "12.4.1"),
            ("nccl", "/usr/include/nccl.h", "#define NCCL_MAJOR 2\n#define NCCL_MINOR 21\n#define NCCL_PATCH 5\n", "2.21.5"),
            ("nccl", "/usr/lib/x86_64-linux-gnu/libnccl.so.2.20.3", "", "2.20.3"),
            ("cudnn", "/usr/lib64/libcudnn.so.9.1.0", "", "9.1.0"),
            ("efa", "/opt/amazon/efa_installed_packages", "# EFA installer version: 1.34.0\n", "1.34.0"),
            ("neuron_driver", "/sys/module/neuron/version", "2.18.20.0\n", "2.18.20.0"),
        ],
    )
    def test_tells_its_version(self, name: ComponentName, path: str, text: str, version: str, tmp_path: Path) -> None:
        put(tmp_path, path, text)
        assert only(tmp_path, name) == (version, path)

    def test_one_without_a_version_is_a_note(self, tmp_path: Path) -> None:
        put(tmp_path, "/sys/module/neuron/version", "unknown")
        assert only(tmp_path, "neuron_driver") == (None, "/sys/module/neuron/version tells no version")

    def test_what_is_absent_is_a_value(self, tmp_path: Path) -> None:
        assert only(tmp_path, "efa") == (None, "")


class TestCommands:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(probes, "PATH", f"{tmp_path}:/usr/bin:/bin")
        return tmp_path

    def asked(self, *argv: str) -> tuple[str | None, str]:
        wanted: dict[ComponentName, tuple[Probe, ...]] = {"docker": (Command(argv, r"version (\d+[\d.]*)"),)}
        found = collect(wanted).components[-1]
        return found.version, found.source or found.note

    def test_tells_its_version(self, folder: Path) -> None:
        program(folder, "docker-like", "echo 'Docker version 27.1.1, build 6312585'")
        assert self.asked("docker-like", "--version") == ("27.1.1", "docker-like --version")

    def test_a_failing_one_is_a_note(self, folder: Path) -> None:
        program(folder, "docker-like", "echo 'driver mismatch' >&2; exit 9")
        assert self.asked("docker-like", "--version") == (None, "'docker-like --version' ended with 9 and said: driver mismatch")

    def test_a_slow_one_is_given_up(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(probes, "PROBE_SECONDS", 0.3)
        program(folder, "docker-like", "exec sleep 60")
        assert self.asked("docker-like", "--version") == (None, "'docker-like --version' did not answer within 0.3 s")

    def test_an_absent_one_is_no_error(self, folder: Path) -> None:
        assert self.asked("no-such-program") == (None, "")


def test_this_node_tells_what_it_has() -> None:
    found = collect()
    assert found.version("kernel")
    assert found.version("python")
    assert len(found.components) == len(probes.PROBES) + 2
    assert probes.ask("pytorch", (Package(("pytest",)),), Path("/")).version

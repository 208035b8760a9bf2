"""The command as a user calls it."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cli.lazy import COMMANDS
from cli.stack.settings import environment_plain

ROOT = Path(__file__).resolve().parents[2]


def lineshaft(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**environment_plain(), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class TestHelp:
    def test_it_lists_every_command_and_imports_none(self) -> None:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = lineshaft("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # What it works, not how long it waits for a core that neighbours have.
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3
        assert result.returncode == 0
        for name, lazy in COMMANDS.items():
            assert name in result.stdout and lazy.help.split()[0] in result.stdout

    def test_it_loads_nothing_heavy(self) -> None:
        code = "import sys, cli.app; print([m for m in ('pydantic', 'psutil', 'rich.console', 'sqlalchemy', 'httpx') if m in sys.modules])"
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        assert result.stdout.strip() == "[]"

    def test_an_unknown_command_is_refused(self) -> None:
        result = lineshaft("upp")
        assert result.returncode == 2 and "upp" in result.stderr


class TestErrors:
    def test_code_reason_and_remedy_with_exit_code_1(self, tmp_path: Path) -> None:
        result = lineshaft("--home", str(tmp_path / "home"), "up", "--only", "nonsense")
        assert result.returncode == 1
        assert "part_unknown" in result.stderr and "nonsense" in result.stderr and "remedy:" in result.stderr

    def test_an_unknown_log(self, tmp_path: Path) -> None:
        result = lineshaft("--home", str(tmp_path), "logs", "nobody")
        assert result.returncode == 1 and "log_unknown" in result.stderr


class TestWithoutAStack:
    def test_status_says_so(self, tmp_path: Path) -> None:
        result = lineshaft("--home", str(tmp_path), "status", "--json")
        assert result.returncode == 3
        assert json.loads(result.stdout)["running"] is False

    def test_down_is_no_error(self, tmp_path: Path) -> None:
        result = lineshaft("--home", str(tmp_path), "down")
        assert result.returncode == 0 and "No stack runs" in result.stdout


def test_logs_prints_the_last_lines(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "worker.log").write_text("one\ntwo\nthree\n")
    assert lineshaft("--home", str(tmp_path), "logs", "worker", "-n", "2").stdout == "two\nthree\n"


@pytest.mark.stack
def test_up_status_down_in_the_background(tmp_path: Path) -> None:
    home = ("--home", str(tmp_path / "home"))
    up = lineshaft(*home, "up", "--detach", "--only", "chroma")
    try:
        assert up.returncode == 0, up.stderr
        assert "chroma" in up.stdout and "Admin key" not in up.stdout
        status = json.loads(lineshaft(*home, "status", "--json").stdout)
        assert status["running"] and status["phase"] == "ready"
        chroma = next(part for part in status["parts"] if part["name"] == "chroma")
        assert chroma["healthy"] and chroma["memory_bytes"] > 0
        assert status["memory_bytes"] == sum(part["memory_bytes"] for part in status["parts"])
        for again in (("up",), ("up", "--detach")):
            second = lineshaft(*home, *again)
            assert second.returncode == 1 and "stack_running" in second.stderr and str(status["pid"]) in second.stderr
        assert "listening on" in lineshaft(*home, "logs", "chroma").stdout
    finally:
        down = lineshaft(*home, "down")
    assert down.returncode == 0 and is_gone(status["pid"]) and is_gone(chroma["pid"])
    assert not (tmp_path / "home" / "run" / "stack.lock").exists()


@pytest.mark.stack
@pytest.mark.parametrize("more", [(), ("--detach",)])
def test_up_refuses_a_wrong_gateways_file_that_is_named_from_where_it_is_called(tmp_path: Path, more: tuple[str, ...]) -> None:
    (tmp_path / "mine.yaml").write_text("backends: {house: {kind: embedded}}\nmodels: {fast: {rout: []}}\n")
    environment = {**environment_plain(), "PYTHONPATH": str(ROOT), "LINESHAFT_GATEWAY": "mine.yaml"}
    command = [sys.executable, "-m", "cli", "--home", str(tmp_path / "home"), "up", *more]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "error [gateway_invalid]: " in result.stderr and "mine.yaml, at models.fast.rout" in result.stderr
    assert not [path for path in (tmp_path / "home" / "logs").iterdir() if path.name != "supervisor.log"]


def test_gateway_check_tells_the_field_with_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text("backends: {house: {kind: embedded, uri: x}}\nmodels: {}\n")
    result = lineshaft("--home", str(tmp_path), "gateway", "check")
    assert result.returncode == 1 and "gateway_invalid" in result.stderr and "backends.house" in result.stderr and "uri" in result.stderr

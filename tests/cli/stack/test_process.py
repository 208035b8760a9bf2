"""Logs and the launcher."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.stack import process
from cli.stack.process import guarded, last_lines, rotate


class TestLog:
    def test_a_large_log_is_set_aside(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(process, "_LOG_BYTES_MAX", 10)
        log = tmp_path / "part.log"
        rotate(log)
        log.write_text("short")
        rotate(log)
        assert log.exists()
        log.write_text("longer than ten bytes")
        rotate(log)
        assert not log.exists() and (tmp_path / "part.log.1").read_text().startswith("longer")

    def test_its_last_lines(self, tmp_path: Path) -> None:
        log = tmp_path / "part.log"
        assert last_lines(log) == []
        log.write_text("".join(f"line {number}\n\n" for number in range(20)))
        assert last_lines(log, 2) == ["line 18", "line 19"]


class TestLauncher:
    def test_it_becomes_the_program(self) -> None:
        command = guarded([sys.executable, "-I", "-S", "-c", "import os; print(os.getpid())"], None, 9)
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        out, _ = child.communicate(timeout=10)
        assert int(out) == child.pid

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of the parent's death")
    def test_it_refuses_when_its_parent_is_gone_already(self) -> None:
        command = guarded([sys.executable, "-c", "print('ran')"], None, 9)
        command[command.index(str(os.getpid()))] = "1"
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        assert result.returncode != 0 and "ran" not in result.stdout

"""`lineshaft node-agent` as a process on simulated machines: what it shows, serves and survives."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pynvml
import pytest

from tests.nvml.library import Machine, build


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built library."""
    return build(tmp_path_factory.mktemp("nvml"))


def command(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "cli", "--home", str(home), "node-agent", *words]


def once(machine: Machine, home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run it once on a machine."""
    return subprocess.run(command(home, *words), env=machine.environment, capture_output=True, text=True, timeout=90, check=False)


@contextmanager
def running(environment: dict[str, str], home: Path, *words: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run it until the test has seen enough; yields the address of the metrics."""
    child = subprocess.Popen(command(home, *words), env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        told = re.search(r"http://\S+/metrics", child.stdout.readline())
        assert told is not None
        yield told[0], child
    finally:
        child.kill()
        child.wait()


def metrics(address: str) -> str:
    """Scrape once."""
    return httpx.get(address, timeout=30, trust_env=False).text


def until(address: str, wanted: str) -> str:
    """Scrape until something is there."""
    deadline = time.monotonic() + 60
    while wanted not in (text := metrics(address)):
        assert time.monotonic() < deadline, f"{wanted} did not come about"
        time.sleep(0.05)
    return text


def test_once_shows_every_gpu_and_pushes_nothing(library: Path, tmp_path: Path) -> None:
    machine = Machine(library, "........")
    machine.simulator.busy(2, 90)
    machine.simulator.lose(7)
    machine.simulator.mig(6, 1, 2)
    done = once(machine, tmp_path, "--once", "--name", "gpu-1", "--pool", "h100")
    assert done.returncode == 0, done.stderr
    assert "gpu-1 · pool h100" in done.stdout
    assert "90 %" in done.stdout and "81 %" in done.stdout and "655/700" in done.stdout
    assert "1g.10gb" in done.stdout and "lost" in done.stdout
    assert not (tmp_path / "node-agent").exists()


@pytest.mark.parametrize(
    ("init", "state"),
    [(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "driver_mismatch"), (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "no_driver")],
)
def test_a_host_whose_driver_does_not_answer_is_read_all_the_same(library: Path, tmp_path: Path, init: int, state: str) -> None:
    done = once(Machine(library, "..", init), tmp_path, "--once", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["driver"]["state"], told["gpus"], told["cores"] > 0) == (state, [], True)


def test_metrics_are_served_to_this_machine_while_gpus_and_the_driver_come_and_go(library: Path, tmp_path: Path) -> None:
    machine = Machine(library, "........")
    with running(machine.environment, tmp_path, "--listen", "127.0.0.1:0", "--interval", "0.1", "--no-push") as (address, child):
        assert address.startswith("http://127.0.0.1:")
        assert until(address, "lineshaft_gpu_up{").count("lineshaft_gpu_up{") == 8
        machine.simulator.xid(3, 79)
        machine.simulator.lose(3)
        until(address, 'xid="79"} 1.0')
        machine.simulator.unload()
        until(address, 'state="no_driver"')
        machine.simulator.gpu(3).code = 0
        machine.simulator.load()
        text = until(address, 'state="ok"')
        assert sum(line.startswith("lineshaft_gpu_up{") and line.endswith(" 1.0") for line in text.splitlines()) == 8
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=60) == 0


@pytest.mark.parametrize("listen", ["8409", "nowhere:x", "203.0.113.1:1"])
def test_an_address_that_cannot_be_is_told(library: Path, tmp_path: Path, listen: str) -> None:
    done = once(Machine(library, "."), tmp_path, "--listen", listen, "--no-push")
    assert done.returncode == 1
    assert "[address_invalid]" in done.stderr


@pytest.mark.parametrize("words", [("--name", "../../x"), ("--pool", "No Such")])
def test_a_name_that_cannot_be_is_told(library: Path, tmp_path: Path, words: tuple[str, str]) -> None:
    done = once(Machine(library, "."), tmp_path, "--once", *words)
    assert (done.returncode, "[name_invalid]" in done.stderr) == (1, True)


def test_without_an_api_it_says_so_and_serves(tmp_path: Path) -> None:
    known = {name: value for name, value in os.environ.items() if not name.startswith("LINESHAFT_")}
    with running(known, tmp_path, "--listen", "127.0.0.1:0", "--interval", "0.1") as (address, _):
        assert "lineshaft_node_cpu_cores" in until(address, "lineshaft_node_cpu_cores")

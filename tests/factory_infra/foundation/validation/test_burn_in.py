"""The program of a burn-in, on this machine, for a moment."""

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from factory_infra.foundation.validation.models import BENCHMARKS, BurnIn, BurnInOrder
from factory_infra.foundation.validation.programs import wire
from factory_infra.foundation.validation.programs.burn_in import ORDER_FILE, burn_in, result_file
from factory_infra.foundation.validation.programs.machine import machine_type
from factory_infra.foundation.validation.programs.settings import RunSettings

SECONDS = 0.05


def test_it_measures_everything_that_a_host_without_gpus_can(tmp_path: Path) -> None:
    order = BurnInOrder(seconds=SECONDS, disk_mib=4, memory_mib=16)
    (tmp_path / ORDER_FILE).write_text(order.model_dump_json())
    variables = {"LINESHAFT_JOB_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[4]), "PATH": "/usr/bin:/bin"}
    argv = [sys.executable, "-P", "-m", "factory_infra.foundation.validation.programs.burn_in"]
    done = subprocess.run(argv, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = BurnIn.model_validate_json((tmp_path / result_file(0)).read_text())
    assert {each.benchmark for each in found.measurements} == set(BENCHMARKS) - {"copy"}
    assert all(each.value > 0 and each.unit for each in found.measurements)
    assert [each.benchmark for each in found.skipped] == ["copy"]
    assert found.stack is not None
    assert found.machine_type == machine_type()
    last = json.loads((tmp_path / "progress.jsonl").read_text().splitlines()[-1])
    assert last["percent"] == 100
    assert not (tmp_path / "burn-in.tmp").exists()


def test_what_breaks_is_told_and_the_others_run(tmp_path: Path) -> None:
    told: list[str] = []
    run = RunSettings(LINESHAFT_JOB_DIR=tmp_path / "gone")
    order = BurnInOrder(benchmarks=("matmul", "disk_write"), seconds=SECONDS, check=False)
    found = burn_in(order, run, lambda percent, stage: told.append(stage))
    assert told == ["matmul", "disk_write"]
    assert {each.figure for each in found.measurements} == {"matmul/float32", "matmul/float64"}
    assert [each.benchmark for each in found.skipped] == ["disk_write"]
    assert "FileNotFoundError" in found.skipped[0].reason


@pytest.mark.stack
def test_several_nodes_measure_the_wire_to_the_first() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1] - wire.PORT_AWAY
    order = BurnInOrder(seconds=SECONDS)
    first, second = (RunSettings(node_rank=rank, nodes=2, master_port=port) for rank in range(2))
    with ThreadPoolExecutor() as beside:
        serving = beside.submit(lambda: list(wire.network(order, first)))
        found = list(wire.network(order, second))
        assert serving.result(60) == []
    assert [(each.benchmark, each.unit) for each in found] == [("latency", "µs"), ("network", "Gbit/s")]
    assert all("to node 0 of 2" in each.how for each in found)


def test_the_place_of_a_process_is_read_and_handed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = {"NODE_RANK": "1", "NNODES": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29400", "LINESHAFT_JOB_DIR": str(tmp_path)}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    run = RunSettings()
    assert (run.node_rank, run.nodes, run.master_address, run.master_port, run.folder) == (1, 2, "10.0.0.1", 29400, tmp_path)
    for name in told:
        monkeypatch.delenv(name)
    assert RunSettings(**json.loads(run.model_dump_json())) == run


def test_an_order_is_bounded() -> None:
    for wrong in ({"seconds": 0}, {"seconds": 1e9}, {"disk_mib": 0}, {"benchmarks": ["mining"]}, {"surprise": 1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            BurnInOrder.model_validate(wrong)

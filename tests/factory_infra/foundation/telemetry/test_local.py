"""Gauges of this host, with and without a driver."""

from pathlib import Path

import pynvml
import pytest

from factory_infra.foundation.telemetry.providers.local import LocalTelemetry
from tests.nvml.simulator import simulated


async def test_reads_this_host(tmp_path: Path) -> None:
    reading = await LocalTelemetry(tmp_path / "not" / "there").read()
    assert reading.cores >= 1
    assert 0 <= reading.busy_percent <= 100
    assert 0 < reading.memory_available_gib <= reading.memory_total_gib
    assert 0 <= reading.disk_free_gib <= reading.disk_total_gib
    assert reading.gpus or "NVML" in reading.note


async def test_a_driver_that_is_away_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    monkeypatch.setattr(pynvml, "nvmlInit", away)
    reading = await LocalTelemetry(tmp_path).read()
    assert (reading.gpus, reading.driver.state) == ([], "no_driver")
    assert reading.note.startswith("NVML does not answer")


async def test_what_runs_on_the_gpus_is_counted_and_not_named(nvml_library: Path, tmp_path: Path) -> None:
    with simulated(nvml_library, tmp_path / "state") as machine:
        machine.process(0, 1, 2 * 1024**3)
        (first, *_) = (await LocalTelemetry(tmp_path).read()).gpus
    assert (first.processes_count, first.processes) == (1, [])

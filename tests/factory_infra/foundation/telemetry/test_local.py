"""Gauges of this host, with and without a driver."""

from pathlib import Path

import pynvml
import pytest

from factory_infra.foundation.telemetry.providers import local
from factory_infra.foundation.telemetry.providers.local import LocalTelemetry


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
    assert reading.gpus == []
    assert reading.note.startswith("NVML does not answer")


def test_a_gauge_that_a_gpu_lacks_is_none_and_a_lost_gpu_is_told() -> None:
    def lacks() -> float:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    def lost() -> float:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    assert local.gauge(lacks) is None
    assert local.gauge(lambda: 7) == 7.0
    with pytest.raises(pynvml.NVMLError):
        local.gauge(lost)

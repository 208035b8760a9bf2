"""This machine's gauges: cores, memory and disk from the system, GPUs through NVML, Neuron devices through their monitor."""

import asyncio
import resource
from datetime import UTC, datetime
from pathlib import Path

import psutil

from factory_infra.foundation.telemetry.models import GpuReading, GpuReport, NeuronReport, Reading
from factory_infra.foundation.telemetry.providers.gauges import gib
from factory_infra.foundation.telemetry.providers.neuron import NeuronReader
from factory_infra.foundation.telemetry.providers.nvml import NvmlReader

BUSY_SECONDS = 0.2


class LocalTelemetry:
    """Gauges of this host, read afresh at each call; NVML stays open in between.

    What runs on the GPUs is counted and not named: whoever may ask this is not the host's operator.

    Args:
        folder: lies on the disk whose space matters; the nearest folder above it that exists is asked.
    """

    def __init__(self, folder: Path, nvml: NvmlReader | None = None, neuron: NeuronReader | None = None) -> None:
        self._folder = folder
        self._nvml = nvml or NvmlReader()
        self._neuron = neuron or NeuronReader()

    async def read(self) -> Reading:
        """Read everything once."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> Reading:
        return reading(self._nvml.read(), self._neuron.read(), self._folder, BUSY_SECONDS)


def reading(report: GpuReport, neuron: NeuronReport, folder: Path, busy_seconds: float | None) -> Reading:
    """Put a reading of this host together.

    Args:
        busy_seconds: over which time the cores are watched; None for the time since this was asked before.
    """
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(existing(folder)))
    load = psutil.getloadavg()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Reading(
        at=datetime.now(UTC),
        cores=psutil.cpu_count() or 1,
        busy_percent=psutil.cpu_percent(interval=busy_seconds),
        load_1m=load[0],
        load_5m=load[1],
        load_15m=load[2],
        memory_total_gib=gib(memory.total),
        memory_available_gib=gib(memory.available),
        swap_used_gib=gib(psutil.swap_memory().used),
        disk_total_gib=gib(disk.total),
        disk_free_gib=gib(disk.free),
        files_open_max=0 if soft == resource.RLIM_INFINITY else soft,
        driver=report.driver,
        gpus=report.gpus,
        neuron=neuron,
        note=note_of(report, report.gpus),
    )


def note_of(report: GpuReport, gpus: list[GpuReading]) -> str:
    """What could not be read, in words."""
    return " ".join(filter(None, [report.driver.note, *(gpu.note for gpu in gpus)]))


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next((each for each in (folder, *folder.absolute().parents) if each.exists()), Path("/"))

"""This machine's gauges: cores, memory and disk from the system, GPUs through NVML where there are any."""

import asyncio
import resource
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import psutil
import pynvml

from factory_infra.foundation.accelerators.providers.local import GIB, nvml
from factory_infra.foundation.telemetry.models import GpuReading, Reading

BUSY_SECONDS = 0.2
MILLI = 1000.0


class LocalTelemetry:
    """Gauges of this host, read afresh at each call.

    Args:
        folder: lies on the disk whose space matters; the nearest folder above it that exists is asked.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def read(self) -> Reading:
        """Read everything once."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> Reading:
        gpus, note = read_gpus()
        memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(existing(self._folder)))
        load = psutil.getloadavg()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return Reading(
            at=datetime.now(UTC),
            cores=psutil.cpu_count() or 1,
            busy_percent=psutil.cpu_percent(interval=BUSY_SECONDS),
            load_1m=load[0],
            load_5m=load[1],
            load_15m=load[2],
            memory_total_gib=gib(memory.total),
            memory_available_gib=gib(memory.available),
            swap_used_gib=gib(psutil.swap_memory().used),
            disk_total_gib=gib(disk.total),
            disk_free_gib=gib(disk.free),
            files_open_max=0 if soft == resource.RLIM_INFINITY else soft,
            gpus=gpus,
            note=note,
        )


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next((each for each in (folder, *folder.absolute().parents) if each.exists()), Path("/"))


def gib(size: float) -> float:
    """Bytes in GiB, to two digits."""
    return round(size / GIB, 2)


def read_gpus() -> tuple[list[GpuReading], str]:
    """Ask NVML for the gauges of every GPU; a GPU or a driver that does not answer is told in the note."""
    gpus: list[GpuReading] = []
    notes: list[str] = []
    try:
        with nvml():
            for index in range(pynvml.nvmlDeviceGetCount()):
                try:
                    gpus.append(read_gpu(index))
                except pynvml.NVMLError as error:
                    notes.append(f"GPU {index} does not answer ({error}).")
    except pynvml.NVMLError as error:
        notes.append(f"NVML does not answer ({error}).")
    return gpus, " ".join(notes)


def read_gpu(index: int) -> GpuReading:
    """Read one GPU while NVML is open. Raises pynvml.NVMLError when the GPU itself does not answer."""
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    name = str(pynvml.nvmlDeviceGetName(handle))
    used = gauge(lambda: cast("float", pynvml.nvmlDeviceGetMemoryInfo(handle).used))
    total = gauge(lambda: cast("float", pynvml.nvmlDeviceGetMemoryInfo(handle).total))
    power = gauge(lambda: cast("float", pynvml.nvmlDeviceGetPowerUsage(handle)))
    return GpuReading(
        index=index,
        name=name,
        busy_percent=gauge(lambda: cast("float", pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
        memory_used_gib=None if used is None else gib(used),
        memory_total_gib=None if total is None else gib(total),
        temperature_celsius=gauge(lambda: cast("float", pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))),
        power_watts=None if power is None else power / MILLI,
    )


def gauge(ask: Callable[[], float]) -> float | None:
    """Ask for one value; None where this GPU has no such gauge."""
    try:
        return float(ask())
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_NoPermission):
        return None

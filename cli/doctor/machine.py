"""Checks of the machine: processor, memory, disk, accelerators."""

import os
import platform
import shutil
import sys
from pathlib import Path

import psutil
import pynvml

from cli.doctor.finding import Finding
from cli.stack.home import FREE_BYTES_MIN
from factory_infra.settings import Settings

_GIB = 2**30
_PYTHON_MIN = (3, 11)
_DISK_WANTED = 5 * _GIB
_MEMORY_WANTED = 3 * _GIB
_CORES_WANTED = 2


def check_system(settings: Settings) -> Finding:
    """Only Linux ends the parts with the supervisor by itself."""
    name = f"{platform.system()} {platform.machine()}"
    if sys.platform == "linux":
        return Finding(name="system", level="ok", found=name)
    return Finding(
        name="system", level="warn", found=name, remedy="After a crash of the supervisor run `lineshaft up` once: it ends what is left."
    )


def check_python(settings: Settings) -> Finding:
    """The language must be new enough."""
    found = f"Python {platform.python_version()} at {sys.executable}"
    if sys.version_info >= _PYTHON_MIN:
        return Finding(name="python", level="ok", found=found)
    return Finding(name="python", level="fail", found=found, remedy="Run `make setup PYTHON=python3.11` (or a newer one).")


def check_cores(settings: Settings) -> Finding:
    """Cores that this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count >= _CORES_WANTED:
        return Finding(name="cores", level="ok", found=f"{count} usable")
    return Finding(name="cores", level="warn", found=f"{count} usable", remedy="It works, slowly: training and the model share one core.")


def check_memory(settings: Settings) -> Finding:
    """Memory that is free now."""
    memory = psutil.virtual_memory()
    found = f"{memory.available / _GIB:.1f} GiB available of {memory.total / _GIB:.1f} GiB"
    if memory.available >= _MEMORY_WANTED:
        return Finding(name="memory", level="ok", found=found)
    return Finding(
        name="memory", level="warn", found=found, remedy="Close something, or use a model elsewhere: LINESHAFT_MODEL=openai:… or none."
    )


def check_home(settings: Settings) -> Finding:
    """The folder of all data, or the nearest folder that exists above it, must be ours to write."""
    place = _existing(settings.home)
    found = f"{settings.home}{'' if settings.home.exists() else ' (made at the first start)'}"
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return Finding(name="home", level="ok", found=found)
    return Finding(
        name="home", level="fail", found=f"{place} cannot be written", remedy="Choose another folder with --home or LINESHAFT_HOME."
    )


def check_disk(settings: Settings) -> Finding:
    """Space where the data lie."""
    free = shutil.disk_usage(_existing(settings.home)).free
    found = f"{free / _GIB:.1f} GiB free"
    if free >= _DISK_WANTED:
        return Finding(name="disk", level="ok", found=found)
    remedy = f"Free some space; models and artefacts want {_DISK_WANTED / _GIB:.0f} GiB, or choose another folder with --home."
    return Finding(name="disk", level="fail" if free < FREE_BYTES_MIN else "warn", found=found, remedy=remedy)


def check_accelerators(settings: Settings) -> Finding:
    """GPUs that NVIDIA's management library reports; without any, slots are processor cores."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        remedy = "Nothing to do; for GPUs install NVIDIA's driver."
        return Finding(name="accelerators", level="note", found="no NVIDIA driver: a slot is one processor core", remedy=remedy)
    except pynvml.NVMLError as error:
        remedy = "Check `nvidia-smi`: the driver is there and does not answer. Until then a slot is one processor core."
        return Finding(name="accelerators", level="warn", found=f"NVML: {error}", remedy=remedy)
    try:
        count = pynvml.nvmlDeviceGetCount()
        names = {str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(index))) for index in range(count)}
    except pynvml.NVMLError as error:
        return Finding(name="accelerators", level="warn", found=f"NVML: {error}", remedy="Check `nvidia-smi`.")
    finally:
        pynvml.nvmlShutdown()
    found = f"{count} × {', '.join(sorted(names))}" if count else "the driver reports no GPU: a slot is one processor core"
    return Finding(name="accelerators", level="ok" if count else "note", found=found)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path

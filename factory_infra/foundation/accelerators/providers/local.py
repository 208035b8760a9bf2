"""This machine's hardware: its GPUs through NVML where there are any, else the CPU cores that this process may use."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pynvml

from factory_infra.foundation.accelerators.catalogue import normalise
from factory_infra.foundation.accelerators.models import Pool, Slot

GIB = 1024**3
PARTS_MAX = 10
PARTS_STEP = 1000
"""The index of a part is made of its GPU and its two instances: it never meets that of a whole GPU."""


class LocalAccelerators:
    """The slots of this host, read afresh at each call.

    Args:
        slots_max: at most this many are handed out; None for all.
    """

    def __init__(self, slots_max: int | None = None) -> None:
        self._slots_max = slots_max

    async def pool(self) -> Pool:
        """Return the GPUs, or the CPU cores with a note that says why there are no GPUs."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> Pool:
        try:
            gpus, notes = read_gpus()
            why = ""
        except pynvml.NVMLError as error:
            gpus, notes, why = [], [], f" ({error})"
        if not gpus:
            notes.append(f"NVML found no GPU on this host that can be used{why}: a slot is a CPU core.")
        slots = gpus or read_cores()
        limit = len(slots) if self._slots_max is None else max(self._slots_max, 0)
        return Pool(name="local", slots=slots[:limit], note=" ".join(notes))


def read_gpus() -> tuple[list[Slot], list[str]]:
    """Ask NVML for every GPU, and say of each that does not answer why it is left out. Raises pynvml.NVMLError without a driver."""
    slots, notes = [], []
    with nvml():
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                found = read_gpu(index)
                slots.extend(found)
                if not found:
                    notes.append(f"GPU {index} is to be parted by MIG and has no parts yet.")
            except pynvml.NVMLError as error:
                # One that fell off the bus must not take the others along.
                notes.append(f"GPU {index} is left out ({error}).")
    return slots, notes


def read_gpu(index: int) -> list[Slot]:
    """Ask for one GPU while NVML is open: one slot, or one for each of its parts where MIG is on. Raises pynvml.NVMLError."""
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    name = str(pynvml.nvmlDeviceGetName(handle))
    if is_parted(handle):
        return read_parts(index, handle)
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle).total
    except pynvml.NVMLError_NotSupported:
        # A GPU that shares the host's memory has none of its own to tell.
        memory = psutil.virtual_memory().total
    size = round(memory / GIB, 1)
    return [Slot(index=index, kind="gpu", name=name, memory_gib=size, accelerator=normalise(name, size))]


def is_parted(handle: object) -> bool:
    """Whether MIG is on: the GPU as a whole can then not be used."""
    try:
        now, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
        return False
    return bool(now == pynvml.NVML_DEVICE_MIG_ENABLE)


def read_parts(index: int, handle: object) -> list[Slot]:
    """The MIG devices of a GPU. Each keeps its index while it exists, whatever is made or removed beside it."""
    whole = pynvml.nvmlDeviceGetMemoryInfo(handle).total / GIB
    slots = []
    for position in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, position)
        except pynvml.NVMLError_NotFound:
            continue
        name, instance = str(pynvml.nvmlDeviceGetName(part)), int(pynvml.nvmlDeviceGetGpuInstanceId(part))
        compute = int(pynvml.nvmlDeviceGetComputeInstanceId(part))
        slots.append(
            Slot(
                index=(index + 1) * PARTS_STEP + instance * PARTS_MAX + compute,
                kind="gpu",
                name=name,
                memory_gib=round(pynvml.nvmlDeviceGetMemoryInfo(part).total / GIB, 1),
                accelerator=normalise(name, whole),
                device=str(pynvml.nvmlDeviceGetUUID(part)),
            )
        )
    return slots


@contextmanager
def nvml() -> Iterator[None]:
    """Open NVML, and close it whatever happens in between."""
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def read_cores() -> list[Slot]:
    """Count the cores that this process may use; a slot's index is the core's position among them in order."""
    cores = sorted(os.sched_getaffinity(0))
    share = round(psutil.virtual_memory().total / GIB / len(cores), 1)
    return [Slot(index=index, kind="cpu", name=f"CPU core {core}", memory_gib=share) for index, core in enumerate(cores)]

"""Eight simulated H100 behind NVIDIA's own binding: a state in a file that a test changes while a process reads it."""

import contextlib
import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_char, c_uint32, c_uint64
from enum import IntFlag
from pathlib import Path

import pynvml
import pytest

GPUS_MAX, LINKS_MAX, MIG_MAX, PROCESSES_MAX, EVENTS_MAX = 16, 18, 7, 8, 64
MAGIC = 0x4C494E4553484146
MIB = 1024**2
LOST = 15
XID = 8
VARIABLE = "NVML_TEST_STATE"


class Lacks(IntFlag):
    """What a GPU does not have."""

    GPM = 1
    ECC = 2
    REMAPPING = 4
    NVLINK = 8
    POWER = 16
    MIG = 32
    PROCESSES = 64
    MEMORY = 128
    UTILISATION = 256


class MigState(ctypes.Structure):
    """One MIG device."""

    _fields_ = [("instance", c_uint32), ("slices", c_uint32), ("memory_mib", c_uint32), ("used_mib", c_uint32)]


class ProcessState(ctypes.Structure):
    """One process on a GPU."""

    _fields_ = [("pid", c_uint32), ("instance", c_uint32), ("memory", c_uint64)]


WORDS = [
    *("code", "lacks", "busy_percent", "memory_busy_percent"),
    *("sm_active_permille", "sm_occupancy_permille", "tensor_active_permille", "memory_active_permille"),
    *("temperature_c", "memory_temperature_c", "power_mw", "power_limit_mw", "sm_mhz", "memory_mhz"),
    *("remapped_correctable", "remapped_uncorrectable", "remap_pending", "remap_failed"),
    *("mig", "migs", "processes", "unused"),
]
LONGS = [
    *("throttle", "memory_used", "energy_mj"),
    *("ecc_corrected", "ecc_uncorrected", "ecc_uncorrected_lifetime"),
    *("link_crc_errors", "link_replays", "link_recoveries"),
]


class GpuState(ctypes.Structure):
    """One GPU; the fields are in `nvml.h`."""

    _fields_ = [
        *((name, c_uint32) for name in WORDS),
        *((name, c_uint64) for name in LONGS),
        ("link_up", c_uint32 * LINKS_MAX),
        ("mig_devices", MigState * MIG_MAX),
        ("process", ProcessState * PROCESSES_MAX),
    ]


class EventState(ctypes.Structure):
    """One event that is or was to be read."""

    _fields_ = [("type", c_uint64), ("data", c_uint64), ("gpu", c_uint32), ("unused", c_uint32)]


class MachineState(ctypes.Structure):
    """The whole machine."""

    _fields_ = [
        *((name, c_uint64) for name in ["magic", "memory_total", "memory_reserved", "generation", "calls", "opened", "events_written"]),
        *((name, c_uint32) for name in ["code", "gpus", "links", "unused"]),
        ("name", c_char * 64),
        ("driver", c_char * 32),
        ("event", EventState * EVENTS_MAX),
        ("gpu", GpuState * GPUS_MAX),
    ]


class Simulator:
    """The state of one simulated machine: so many H100 that do nothing, until a test says otherwise.

    Args:
        path: the file, which is made.
    """

    def __init__(self, path: Path, gpus: int = 8, *, name: str = "NVIDIA H100 80GB HBM3") -> None:
        self.path = path
        path.write_bytes(bytes(ctypes.sizeof(MachineState)))
        with path.open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), 0)
        self.state = MachineState.from_buffer(self._mapped)
        self.state.memory_total, self.state.memory_reserved = 81559 * MIB, 512 * MIB
        self.state.gpus, self.state.links = gpus, LINKS_MAX
        self.state.name, self.state.driver = name.encode(), b"580.95.05"
        for gpu in self.state.gpu:
            gpu.temperature_c, gpu.memory_temperature_c = 34, 42
            gpu.power_mw, gpu.power_limit_mw, gpu.sm_mhz, gpu.memory_mhz = 72_000, 700_000, 1980, 2619
            gpu.memory_used = 600 * MIB
            gpu.link_up[:] = [1] * LINKS_MAX
        self.state.magic = MAGIC

    def gpu(self, index: int) -> GpuState:
        """The state of one GPU, to be read and changed."""
        found: GpuState = self.state.gpu[index]
        return found

    def busy(self, index: int, percent: int = 97) -> None:
        """Let a GPU work."""
        gpu = self.gpu(index)
        gpu.busy_percent, gpu.memory_busy_percent, gpu.sm_active_permille, gpu.tensor_active_permille = (
            percent,
            55,
            percent * 9,
            percent * 6,
        )
        gpu.sm_occupancy_permille, gpu.memory_active_permille = percent * 5, 430
        gpu.temperature_c, gpu.memory_temperature_c, gpu.power_mw, gpu.memory_used = 66, 78, 655_000, 71_000 * MIB

    def xid(self, index: int, code: int) -> None:
        """Raise an XID event on a GPU."""
        written = self.state.events_written
        event = self.state.event[written % EVENTS_MAX]
        event.gpu, event.type, event.data = index, XID, code
        self.state.events_written = written + 1

    def lose(self, index: int) -> None:
        """Let a GPU fall off the bus: every call on it fails from now on."""
        self.gpu(index).code = LOST

    def unload(self, code: int = pynvml.NVML_ERROR_DRIVER_NOT_LOADED) -> None:
        """Take the driver away, or let it not fit the library: with everything open and with everything that is opened later."""
        self.state.code = code

    def load(self) -> None:
        """Load the driver: what was opened before is dead."""
        self.state.code, self.state.generation = 0, self.state.generation + 1

    def mig(self, index: int, *slices: int) -> None:
        """Part a GPU into MIG devices of so many slices each; none puts MIG off."""
        gpu = self.gpu(index)
        gpu.mig, gpu.migs = bool(slices), len(slices)
        for at, each in enumerate(slices):
            device = gpu.mig_devices[at]
            device.instance, device.slices, device.memory_mib, device.used_mib = at + 7, each, each * 9856, 12

    def process(self, index: int, pid: int, memory: int) -> None:
        """Put a process on a GPU."""
        gpu = self.gpu(index)
        each = gpu.process[gpu.processes]
        each.pid, each.instance, each.memory = pid, 0xFFFFFFFF, memory
        gpu.processes += 1


@contextmanager
def preloaded(library: Path) -> Iterator[None]:
    """Let NVIDIA's binding in this process use a built library, and no other once this is over.

    Args:
        library: its folder.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(library / "libnvidia-ml.so.1")))
        patch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        yield
        with contextlib.suppress(pynvml.NVMLError):
            while True:  # whoever left it open would leave the next test its state
                pynvml.nvmlShutdown()


@contextmanager
def simulated(library: Path, path: Path, gpus: int = 8) -> Iterator[Simulator]:
    """A machine of simulated GPUs, seen by this process."""
    with preloaded(library), pytest.MonkeyPatch.context() as patch:
        machine = Simulator(path, gpus)
        patch.setenv(VARIABLE, str(path))
        yield machine

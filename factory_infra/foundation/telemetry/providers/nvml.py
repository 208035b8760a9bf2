"""NVIDIA's GPUs through NVML: opened once and kept, opened again after the driver went away."""

import ctypes
import threading
import time

import pynvml

from factory_infra.foundation.telemetry.models import DriverReading, DriverState, GpuEvent, GpuReading, GpuReport, GpuState
from factory_infra.foundation.telemetry.providers.gauges import (
    VITAL,
    Gauges,
    code_of,
    counted,
    gib,
    links_up,
    memory_of,
    mig_devices,
    process_of,
    quick,
)

EVENTS_MAX = 256
DRIVERLESS: dict[int, DriverState] = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no_driver",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "no_driver",
    pynvml.NVML_ERROR_UNINITIALIZED: "no_driver",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "driver_mismatch",
}


class DriverGone(Exception):
    """The driver does not answer any more: everything that was opened is dead."""

    def __init__(self, error: pynvml.NVMLError) -> None:
        super().__init__(str(error))
        self.state: DriverState = DRIVERLESS.get(code_of(error), "failed")


def address_of(handle: object) -> int:
    """Where a handle points: what makes two of them one."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


class Gpu:
    """One GPU that was found: its handle, and what changes seldom."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.name = self.uuid = ""
        self.gauges: Gauges | None = None
        self.slow: dict[str, object] = {}
        self.slow_until = 0.0

    def open(self) -> Gauges:
        """Take its handle and its name, if they are not known. Raises pynvml.NVMLError."""
        if self.gauges is None:
            handle = pynvml.nvmlDeviceGetHandleByIndex(self.index)
            self.name, self.uuid = str(pynvml.nvmlDeviceGetName(handle)), str(pynvml.nvmlDeviceGetUUID(handle))
            self.gauges = Gauges(handle)
        return self.gauges


class NvmlReader:
    """Reads every gauge of every GPU of this host. May be used from several threads; one reads at a time.

    Args:
        slow_seconds: links, MIG and processes are read again after so long.
        processes: whether the processes on the GPUs are named; they are counted anyway.
    """

    def __init__(self, *, slow_seconds: float = 10.0, processes: bool = False) -> None:
        self._slow_seconds = slow_seconds
        self._processes = processes
        self._lock = threading.Lock()
        self._driver = DriverReading()
        self._gpus: list[Gpu] = []
        self._set: object = None
        self._watched: set[int] = set()
        self._open = False

    def read(self) -> GpuReport:
        """Read once. A driver that is not there and a GPU that does not answer are states; nothing is raised for them."""
        with self._lock:
            try:
                self._ensure_open()
                return GpuReport(driver=self._driver, gpus=[self._read(gpu) for gpu in self._gpus])
            except DriverGone as gone:
                self._close()
                return GpuReport(driver=DriverReading(state=gone.state, note=f"NVML does not answer ({gone})."))

    def events(self) -> list[GpuEvent]:
        """What happened on the GPUs since this was asked before; nothing while there is no driver."""
        found: list[GpuEvent] = []
        with self._lock:
            if self._set is None:
                return found
            known = {address_of(gpu.gauges.handle): gpu for gpu in self._gpus if gpu.gauges is not None}
            try:
                while len(found) < EVENTS_MAX:
                    told = pynvml.nvmlEventSetWait_v2(self._set, 0)
                    gpu = known.get(address_of(told.device))
                    if told.eventType == pynvml.nvmlEventTypeXidCriticalError and gpu is not None:
                        found.append(GpuEvent(index=gpu.index, uuid=gpu.uuid, xid=int(told.eventData)))
            except pynvml.NVMLError:  # nothing more is there, or the driver went: the next reading tells which
                return found
        return found

    def close(self) -> None:
        """Give everything back; the next reading opens it again."""
        with self._lock:
            self._close()

    def _ensure_open(self) -> None:
        if self._open:
            return
        try:
            pynvml.nvmlInit()
            self._open = True
            self._gpus = [Gpu(index) for index in range(pynvml.nvmlDeviceGetCount())]
            cuda = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
            self._driver = DriverReading(
                state="ok", version=str(pynvml.nvmlSystemGetDriverVersion()), cuda=f"{cuda // 1000}.{cuda % 1000 // 10}"
            )
            self._set, self._watched = pynvml.nvmlEventSetCreate(), set()
        except pynvml.NVMLError as error:
            raise DriverGone(error) from error

    def _close(self) -> None:
        if not self._open:
            return
        try:
            for gpu in self._gpus:
                if gpu.gauges is not None:
                    gpu.gauges.free()
            if self._set is not None:
                pynvml.nvmlEventSetFree(self._set)
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:  # it is gone already
            pass
        self._gpus, self._set, self._open = [], None, False

    def _read(self, gpu: Gpu) -> GpuReading:
        try:
            gauges = gpu.open()
            self._watch(gpu, gauges)
            return self._reading(gpu, gauges)
        except pynvml.NVMLError as error:
            if code_of(error) in DRIVERLESS:
                raise DriverGone(error) from error
            gpu.slow_until = 0.0
            state: GpuState = "lost" if code_of(error) == pynvml.NVML_ERROR_GPU_IS_LOST else "failed"
            return GpuReading(
                index=gpu.index, name=gpu.name, uuid=gpu.uuid, state=state, note=f"GPU {gpu.index} does not answer ({error})."
            )

    def _watch(self, gpu: Gpu, gauges: Gauges) -> None:
        """Have its events told, from the first time on that it answers."""
        if gpu.index in self._watched or self._set is None:
            return
        types = pynvml.nvmlEventTypeXidCriticalError
        gauges.ask("events", lambda: pynvml.nvmlDeviceRegisterEvents(gauges.handle, types, self._set))
        self._watched.add(gpu.index)

    def _reading(self, gpu: Gpu, gauges: Gauges) -> GpuReading:
        handle, now = gauges.handle, time.monotonic()
        gauges.failing.clear()
        if now >= gpu.slow_until:
            gauges.forget()
            gpu.slow, gpu.slow_until = self._slow(gauges), now + self._slow_seconds
        values: dict[str, object] = {**gpu.slow, **quick(gauges), **counted(gauges)}
        busy = gauges.ask("utilisation", lambda: pynvml.nvmlDeviceGetUtilizationRates(handle))
        memory = gauges.ask("memory", lambda: memory_of(handle))
        active = gauges.profile()
        if set(gauges.failing) >= VITAL:
            raise gauges.failing["memory"]
        return GpuReading.model_validate(
            {
                "index": gpu.index,
                "name": gpu.name,
                "uuid": gpu.uuid,
                "busy_percent": busy.gpu if busy else None,
                "memory_busy_percent": busy.memory if busy else None,
                "memory_used_gib": gib(memory.used, 3) if memory else None,
                "memory_total_gib": gib(memory.total, 3) if memory else None,
                **dict(
                    zip(
                        ("sm_active_percent", "sm_occupancy_percent", "tensor_active_percent", "memory_active_percent"), active, strict=True
                    )
                ),
                **values,
                "not_supported": sorted(gauges.lacks),
                "note": failing_words(gpu.index, gauges),
            }
        )

    def _slow(self, gauges: Gauges) -> dict[str, object]:
        """Links, MIG and processes: several calls each."""
        handle = gauges.handle
        running = gauges.ask("processes", lambda: pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
        named = [process_of(each) for each in running or []] if self._processes else []
        return {
            "links_up": links_up(gauges),
            "mig": gauges.ask("mig", lambda: mig_devices(handle)) or [],
            "processes_count": None if running is None else len(running),
            "processes": named,
        }


def failing_words(index: int, gauges: Gauges) -> str:
    """Which gauges of a GPU failed, and how; empty where none did."""
    told = "; ".join(f"{name} ({error})" for name, error in sorted(gauges.failing.items()))
    return f"GPU {index} does not tell {told}." if told else ""

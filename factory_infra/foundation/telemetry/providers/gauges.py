"""What is asked of one GPU while NVML is open: gauges, counters, links, parts and processes."""

from collections.abc import Callable
from typing import TypeVar

import psutil
import pynvml

from factory_infra.foundation.telemetry.models import MigReading, ProcessReading

GIB = 1024**3
MILLI = 1000.0
LACKING = (
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_NO_PERMISSION,
    pynvml.NVML_ERROR_INVALID_ARGUMENT,
    pynvml.NVML_ERROR_NOT_FOUND,
)
"""A gauge that is not there; the GPU itself answers."""
FATAL = (
    pynvml.NVML_ERROR_GPU_IS_LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED,
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_UNINITIALIZED,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
)
"""The GPU or the driver is gone: nothing more is asked. Any other error is of one gauge only."""
VITAL = frozenset({"temperature", "memory"})
"""A GPU that fails to tell even these does not answer."""
SLOWED = {
    pynvml.nvmlClocksEventReasonSwPowerCap: "power_cap",
    pynvml.nvmlClocksEventReasonHwSlowdown: "hardware",
    pynvml.nvmlClocksEventReasonSwThermalSlowdown: "thermal",
    pynvml.nvmlClocksEventReasonHwThermalSlowdown: "hardware_thermal",
    pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "power_brake",
}
FIELDS: dict[str, tuple[int, ...]] = {
    "ecc": (pynvml.NVML_FI_DEV_ECC_SBE_VOL_TOTAL, pynvml.NVML_FI_DEV_ECC_DBE_VOL_TOTAL, pynvml.NVML_FI_DEV_ECC_DBE_AGG_TOTAL),
    "remapped_rows": (
        pynvml.NVML_FI_DEV_REMAPPED_COR,
        pynvml.NVML_FI_DEV_REMAPPED_UNC,
        pynvml.NVML_FI_DEV_REMAPPED_PENDING,
        pynvml.NVML_FI_DEV_REMAPPED_FAILURE,
    ),
    "nvlink": (
        pynvml.NVML_FI_DEV_NVLINK_LINK_COUNT,
        pynvml.NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL,
        pynvml.NVML_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL,
        pynvml.NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL,
    ),
    "memory_temperature": (pynvml.NVML_FI_DEV_MEMORY_TEMP,),
    "energy": (pynvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION,),
}
"""All asked for with one call, so that a reading costs few."""
ALL_FIELDS = [each for group in FIELDS.values() for each in group]
VALUE_NAMES = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
}
GPM = (
    pynvml.NVML_GPM_METRIC_SM_UTIL,
    pynvml.NVML_GPM_METRIC_SM_OCCUPANCY,
    pynvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL,
    pynvml.NVML_GPM_METRIC_DRAM_BW_UTIL,
)
T = TypeVar("T")


def code_of(error: pynvml.NVMLError) -> int:
    """The number of an error of NVML."""
    return int(getattr(error, "value", pynvml.NVML_ERROR_UNKNOWN))


def gib(size: float, digits: int = 2) -> float:
    """Bytes in GiB."""
    return round(size / GIB, digits)


class Gauges:
    """The gauges of one GPU: what it lacks is asked for once, and again after `forget`."""

    def __init__(self, handle: object) -> None:
        self.handle = handle
        self.lacks: set[str] = set()
        self.failing: dict[str, pynvml.NVMLError] = {}
        self._samples: list[object] = []

    def ask(self, name: str, call: Callable[[], T]) -> T | None:
        """One value, None where the GPU has none such or fails to tell it. Raises pynvml.NVMLError when the GPU itself is gone."""
        if name in self.lacks:
            return None
        try:
            return call()
        except pynvml.NVMLError as error:
            if code_of(error) in FATAL:
                raise
            if code_of(error) in LACKING:
                self.lacks.add(name)
            else:
                self.failing[name] = error
            return None

    def forget(self) -> None:
        """Ask again for what was not there: MIG changes what a GPU tells."""
        self.lacks.clear()

    def fields(self) -> dict[str, list[int | None]]:
        """The counters, group by group; None for one that the GPU does not count."""
        found: dict[str, list[int | None]] = {group: [None] * len(ids) for group, ids in FIELDS.items()}
        values = self.ask("fields", lambda: pynvml.nvmlDeviceGetFieldValues(self.handle, ALL_FIELDS))
        each = iter(values or ())
        for group in FIELDS if values is not None else ():
            found[group] = [number_of(next(each)) for _ in FIELDS[group]]
            if all(value is None for value in found[group]):
                self.lacks.add(group)
        return found

    def profile(self) -> list[float | None]:
        """How busy its parts were since the reading before, in percent; all None at the first one and where it does not tell."""
        return self.ask("sm_activity", self._profile) or [None] * len(GPM)

    def _profile(self) -> list[float | None]:
        if not self._samples:
            if not pynvml.nvmlGpmQueryDeviceSupport(self.handle).isSupportedDevice:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            self._samples = [pynvml.nvmlGpmSampleAlloc(), pynvml.nvmlGpmSampleAlloc()]
            pynvml.nvmlGpmSampleGet(self.handle, self._samples[1])
            return [None] * len(GPM)
        self._samples.reverse()
        pynvml.nvmlGpmSampleGet(self.handle, self._samples[1])
        asked = pynvml.c_nvmlGpmMetricsGet_t()
        asked.version, asked.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, len(GPM)
        asked.sample1, asked.sample2 = self._samples
        for at, metric in enumerate(GPM):
            asked.metrics[at].metricId = metric
        pynvml.nvmlGpmMetricsGet(asked)
        told = [asked.metrics[at] for at in range(len(GPM))]
        return [round(each.value, 1) if each.nvmlReturn == pynvml.NVML_SUCCESS else None for each in told]

    def free(self) -> None:
        """Give its samples back, while NVML is open."""
        for sample in self._samples:
            pynvml.nvmlGpmSampleFree(sample)
        self._samples = []


def memory_of(handle: object) -> pynvml.c_nvmlMemory_v2_t:
    """Memory as NVIDIA's own tools tell it: what the driver keeps for itself is not used. Older drivers count it in."""
    try:
        return pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    except (pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_ArgumentVersionMismatch):
        return pynvml.nvmlDeviceGetMemoryInfo(handle)


def quick(gauges: Gauges) -> dict[str, object]:
    """Gauges of one call each."""
    handle = gauges.handle
    power = gauges.ask("power", lambda: pynvml.nvmlDeviceGetPowerUsage(handle))
    limit = gauges.ask("power_limit", lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle))
    reasons = gauges.ask("slowdown", lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle)) or 0
    return {
        "temperature_celsius": gauges.ask("temperature", lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
        "power_watts": None if power is None else power / MILLI,
        "power_limit_watts": None if limit is None else limit / MILLI,
        "sm_clock_mhz": gauges.ask("clocks", lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)),
        "memory_clock_mhz": gauges.ask("clocks", lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM)),
        "slowed_by": [word for bit, word in SLOWED.items() if reasons & bit],
    }


def counted(gauges: Gauges) -> dict[str, object]:
    """Counters, which are asked for together."""
    told = gauges.fields()
    rows, heat, energy = told["remapped_rows"], told["memory_temperature"][0], told["energy"][0]
    return {
        **dict(zip(("ecc_corrected", "ecc_uncorrected", "ecc_uncorrected_lifetime"), told["ecc"], strict=True)),
        **dict(zip(("links", "link_crc_errors", "link_replays", "link_recoveries"), told["nvlink"], strict=True)),
        "rows_remapped_corrected": rows[0],
        "rows_remapped_uncorrected": rows[1],
        "rows_remap_pending": None if rows[2] is None else bool(rows[2]),
        "rows_remap_failed": None if rows[3] is None else bool(rows[3]),
        "memory_temperature_celsius": heat,
        "energy_joules": None if energy is None else energy / MILLI,
    }


def number_of(value: pynvml.c_nvmlFieldValue_t) -> int | None:
    """One counter; None where the GPU has none such."""
    if value.nvmlReturn != pynvml.NVML_SUCCESS:
        return None
    return int(getattr(value.value, VALUE_NAMES.get(value.valueType, "ullVal")))


def links_up(gauges: Gauges) -> int | None:
    """How many NVLinks are up; None where it has none."""
    up: int | None = None
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        try:
            state = pynvml.nvmlDeviceGetNvLinkState(gauges.handle, link)
        except pynvml.NVMLError as error:
            if code_of(error) in FATAL:
                raise
            break
        up = (up or 0) + int(state == pynvml.NVML_FEATURE_ENABLED)
    if up is None:
        gauges.lacks.add("nvlink")
    return up


def mig_devices(handle: object) -> list[MigReading]:
    """The parts of a GPU; none where it is whole. Raises pynvml.NVMLError where it cannot be parted."""
    now, _ = pynvml.nvmlDeviceGetMigMode(handle)
    found: list[MigReading] = []
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle) if now == pynvml.NVML_DEVICE_MIG_ENABLE else 0):
        try:
            part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except pynvml.NVMLError_NotFound:
            continue
        memory = pynvml.nvmlDeviceGetMemoryInfo(part)
        found.append(
            MigReading(
                uuid=str(pynvml.nvmlDeviceGetUUID(part)),
                name=str(pynvml.nvmlDeviceGetName(part)),
                instance=int(pynvml.nvmlDeviceGetGpuInstanceId(part)),
                memory_used_gib=gib(memory.used, 3),
                memory_total_gib=gib(memory.total, 3),
            )
        )
    return found


def process_of(told: pynvml.c_nvmlProcessInfo_t) -> ProcessReading:
    """A process with its name, where it can still be had."""
    try:
        name = psutil.Process(told.pid).name()
    except psutil.Error:
        name = ""
    return ProcessReading(pid=told.pid, name=name, memory_gib=None if told.usedGpuMemory is None else gib(told.usedGpuMemory))

"""Trainium and Inferentia through `neuron-monitor`, a program of AWS that prints a line of JSON a second."""

import shutil
import subprocess
import threading

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from factory_infra.foundation.telemetry.models import NeuronReading, NeuronReport

COMMAND = "neuron-monitor"
GIB = 1024**3
LINE_BYTES_MAX = 4 * 1024**2


class Told(BaseModel):
    """Part of a line; newer versions tell more, which is left aside."""

    model_config = ConfigDict(extra="ignore")


class CoreTold(Told):
    """One core."""

    neuroncore_utilization: float = 0.0


class CoresTold(Told):
    """The cores that a process uses, by their number on the host."""

    neuroncores_in_use: dict[str, CoreTold] = {}


class UsedTold(Told):
    """Memory that a process uses."""

    class Bytes(Told):
        """In all: on the host and on the devices."""

        class Breakdown(Told):
            """By core."""

            neuroncore_memory_usage: dict[str, dict[str, int]] = {}

        neuron_device: int = 0
        usage_breakdown: Breakdown = Breakdown()

    neuron_runtime_used_bytes: Bytes = Bytes()


class ReportTold(Told):
    """What one process does."""

    neuroncore_counters: CoresTold = CoresTold()
    memory_used: UsedTold = UsedTold()


class RuntimeTold(Told):
    """One process."""

    pid: int = 0
    error: str = ""
    report: ReportTold = ReportTold()


class CountersTold(Told):
    """The counters of one device."""

    neuron_device_index: int
    mem_ecc_corrected: int = 0
    mem_ecc_uncorrected: int = 0
    sram_ecc_corrected: int = 0
    sram_ecc_uncorrected: int = 0


class SystemTold(Told):
    """What is told of the host."""

    class Counters(Told):
        """Of all devices."""

        neuron_devices: list[CountersTold] | None = None
        error: str = ""

    neuron_hw_counters: Counters = Counters()


class HardwareTold(Told):
    """What there is."""

    neuron_device_type: str = ""
    neuron_device_count: int = 0
    neuroncore_per_device_count: int = Field(default=0, ge=0)
    neuron_device_memory_size: int = 0
    error: str = ""


class LineTold(Told):
    """One line, as AWS documents it."""

    neuron_runtime_data: list[RuntimeTold] | None = None
    system_data: SystemTold = SystemTold()
    neuron_hardware_info: HardwareTold = HardwareTold()


def read_line(line: str | bytes) -> NeuronReport:
    """Read one line of `neuron-monitor`. One that cannot be read is a state."""
    try:
        told = LineTold.model_validate_json(line)
    except ValidationError as error:
        return NeuronReport(state="failed", note=f"A line of {COMMAND} cannot be read: {error.errors()[0]['msg']}.")
    hardware, runtimes = told.neuron_hardware_info, told.neuron_runtime_data or []
    counters = {each.neuron_device_index: each for each in told.system_data.neuron_hw_counters.neuron_devices or []}
    count = hardware.neuron_device_count or len(counters)
    errors = [hardware.error, told.system_data.neuron_hw_counters.error, *(each.error for each in runtimes)]
    devices = [device(index, told, counters.get(index)) for index in range(count)]
    note = " ".join(f"{COMMAND}: {error}." for error in errors if error)
    return NeuronReport(state="ok" if devices or not note else "failed", note=note, devices=devices)


def device(index: int, told: LineTold, counters: CountersTold | None) -> NeuronReading:
    """One device: its cores are numbered through the host, so many a device."""
    hardware, each = told.neuron_hardware_info, told.neuron_hardware_info.neuroncore_per_device_count
    mine = {str(core) for core in range(index * each, (index + 1) * each)}
    busy: dict[str, float] = {}
    used = 0
    for runtime in told.neuron_runtime_data or []:
        for core, state in runtime.report.neuroncore_counters.neuroncores_in_use.items():
            if core in mine:
                busy[core] = max(busy.get(core, 0.0), state.neuroncore_utilization)
        by_core = runtime.report.memory_used.neuron_runtime_used_bytes.usage_breakdown.neuroncore_memory_usage
        used += sum(sum(parts.values()) for core, parts in by_core.items() if core in mine)
    return NeuronReading(
        index=index,
        kind=hardware.neuron_device_type,
        cores_busy_percent=[busy[core] for core in sorted(busy, key=int)],
        memory_used_gib=round(used / GIB, 2),
        memory_total_gib=round(hardware.neuron_device_memory_size / GIB, 2) or None,
        ecc_corrected=counters.mem_ecc_corrected + counters.sram_ecc_corrected if counters else None,
        ecc_uncorrected=counters.mem_ecc_uncorrected + counters.sram_ecc_uncorrected if counters else None,
    )


class NeuronReader:
    """Keeps `neuron-monitor` running and knows its last line. Where the program is not installed that is its state.

    Args:
        command: the program and its arguments.
    """

    def __init__(self, command: tuple[str, ...] = (COMMAND,)) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._last = NeuronReport(state="failed", note=f"{command[0]} has not told anything yet.")
        self._told = threading.Event()

    def read(self, wait_seconds: float = 0.0) -> NeuronReport:
        """Return what was told last; it is started at the first call, and again after it ended.

        Args:
            wait_seconds: how long a first line is waited for.
        """
        if shutil.which(self._command[0]) is None:
            return NeuronReport(state="absent", note=f"{self._command[0]} is not installed on this host.")
        if self._process is None or self._process.poll() is not None:
            self._start()
        self._told.wait(wait_seconds)
        return self._last

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except OSError as error:
            self._last = NeuronReport(state="failed", note=f"{self._command[0]} cannot be started ({error.strerror}).")
            return
        threading.Thread(target=self._follow, args=(self._process,), name="neuron-monitor", daemon=True).start()

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        """Read line after line until it ends."""
        told = process.stdout
        while told is not None and (line := told.readline(LINE_BYTES_MAX)):
            self._last = read_line(line)
            self._told.set()
        code = process.wait()
        if code:
            self._last = NeuronReport(state="failed", note=f"{self._command[0]} ended with code {code}.")
            self._told.set()

    def close(self) -> None:
        """End the program."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

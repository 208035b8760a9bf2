"""A reading as Prometheus metrics: names as DCGM's exporter forms them, ours, with base units at their ends."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from factory_infra.foundation.telemetry.models import GpuReading, Reading

GIB = 1024**3
HUNDRED = 100.0
MEGA = 1e6
LABELS = ("pool", "node", "gpu", "uuid", "model")
GAUGES: dict[str, tuple[str, str, float]] = {
    "utilization_ratio": ("Share of the time in which a kernel ran.", "busy_percent", 1 / HUNDRED),
    "memory_utilization_ratio": ("Share of the time in which memory was read or written.", "memory_busy_percent", 1 / HUNDRED),
    "sm_active_ratio": ("Share of the multiprocessors that worked.", "sm_active_percent", 1 / HUNDRED),
    "sm_occupancy_ratio": ("Share of the warps that were resident.", "sm_occupancy_percent", 1 / HUNDRED),
    "tensor_active_ratio": ("Share of the time in which tensor cores worked.", "tensor_active_percent", 1 / HUNDRED),
    "memory_active_ratio": ("Share of the memory's bandwidth that was used.", "memory_active_percent", 1 / HUNDRED),
    "memory_used_bytes": ("Memory in use.", "memory_used_gib", GIB),
    "memory_size_bytes": ("Memory that there is.", "memory_total_gib", GIB),
    "temperature_celsius": ("Temperature of the chip.", "temperature_celsius", 1),
    "memory_temperature_celsius": ("Temperature of the memory.", "memory_temperature_celsius", 1),
    "power_watts": ("Power drawn.", "power_watts", 1),
    "power_limit_watts": ("Power that may be drawn.", "power_limit_watts", 1),
    "sm_clock_hertz": ("Clock of the multiprocessors.", "sm_clock_mhz", MEGA),
    "memory_clock_hertz": ("Clock of the memory.", "memory_clock_mhz", MEGA),
    "rows_remapped_corrected": ("Rows of memory remapped after corrected errors.", "rows_remapped_corrected", 1),
    "rows_remapped_uncorrected": ("Rows of memory remapped after uncorrected errors.", "rows_remapped_uncorrected", 1),
    "rows_remap_pending": ("Whether a row waits to be remapped.", "rows_remap_pending", 1),
    "rows_remap_failed": ("Whether no spare row is left.", "rows_remap_failed", 1),
    "nvlinks": ("NVLinks that it has.", "links", 1),
    "nvlinks_up": ("NVLinks that are up.", "links_up", 1),
    "processes": ("Processes that use it.", "processes_count", 1),
}
"""Name, help, field of the reading, and what it is multiplied with."""
COUNTERS: dict[str, tuple[str, str]] = {
    "energy_joules": ("Energy used since the driver was loaded.", "energy_joules"),
    "ecc_corrected_errors": ("Corrected errors of memory since the driver was loaded.", "ecc_corrected"),
    "ecc_uncorrected_errors": ("Uncorrected errors of memory since the driver was loaded.", "ecc_uncorrected"),
    "ecc_uncorrected_lifetime_errors": ("Uncorrected errors of memory in the GPU's life.", "ecc_uncorrected_lifetime"),
    "nvlink_crc_errors": ("Errors of checksums on its links.", "link_crc_errors"),
    "nvlink_replays": ("Replays on its links.", "link_replays"),
    "nvlink_recoveries": ("Recoveries of its links.", "link_recoveries"),
}
SLOWED = ("power_cap", "hardware", "thermal", "hardware_thermal", "power_brake")


class ReadingCollector(Collector):
    """Turns the newest reading into metrics when it is scraped.

    Args:
        pool: of the node.
        node: its name.
        newest: returns the newest reading; None before the first one.
        xids: how often each XID was seen on each GPU.
    """

    def __init__(self, pool: str, node: str, newest: Callable[[], Reading | None], xids: dict[tuple[int, int], int]) -> None:
        self._pool = pool
        self._node = node
        self._newest = newest
        self._xids = xids

    def collect(self) -> Iterator[Metric]:
        """Every metric of the newest reading."""
        reading = self._newest()
        if reading is None:
            return
        yield from self._gpus(reading)
        yield from self._parts(reading)
        yield from self._driver(reading)
        yield from self._host(reading)
        yield from self._neuron(reading)

    def _labels(self, gpu: GpuReading) -> list[str]:
        return [self._pool, self._node, str(gpu.index), gpu.uuid, gpu.name]

    def _gpus(self, reading: Reading) -> Iterator[Metric]:
        up = GaugeMetricFamily("lineshaft_gpu_up", "Whether the GPU answers.", labels=LABELS)
        for gpu in reading.gpus:
            up.add_metric(self._labels(gpu), float(gpu.state == "ok"))
        yield up
        for name, (words, field, factor) in GAUGES.items():
            gauge = GaugeMetricFamily(f"lineshaft_gpu_{name}", words, labels=LABELS)
            for gpu in reading.gpus:
                if (value := getattr(gpu, field)) is not None:
                    gauge.add_metric(self._labels(gpu), float(value) * factor)
            yield gauge
        for name, (words, field) in COUNTERS.items():
            counter = CounterMetricFamily(f"lineshaft_gpu_{name}", words, labels=LABELS)
            for gpu in reading.gpus:
                if (value := getattr(gpu, field)) is not None:
                    counter.add_metric(self._labels(gpu), float(value))
            yield counter
        yield self._slowed(reading)
        yield self._errors(reading)

    def _slowed(self, reading: Reading) -> Metric:
        slowed = GaugeMetricFamily("lineshaft_gpu_slowed", "Whether its clocks are lower for a reason.", labels=[*LABELS, "reason"])
        for gpu in reading.gpus:
            for reason in SLOWED if gpu.state == "ok" else ():
                slowed.add_metric([*self._labels(gpu), reason], float(reason in gpu.slowed_by))
        return slowed

    def _errors(self, reading: Reading) -> Metric:
        errors = CounterMetricFamily("lineshaft_gpu_xid_errors", "XID events since the agent began.", labels=[*LABELS, "xid"])
        by_index = {gpu.index: gpu for gpu in reading.gpus}
        for (index, xid), count in sorted(self._xids.items()):
            gpu = by_index.get(index) or GpuReading(index=index, name="")
            errors.add_metric([*self._labels(gpu), str(xid)], float(count))
        return errors

    def _parts(self, reading: Reading) -> Iterator[Metric]:
        labels = [*LABELS, "mig_uuid", "mig_name"]
        used = GaugeMetricFamily("lineshaft_gpu_mig_memory_used_bytes", "Memory in use of a MIG device.", labels=labels)
        size = GaugeMetricFamily("lineshaft_gpu_mig_memory_size_bytes", "Memory of a MIG device.", labels=labels)
        for gpu in reading.gpus:
            for part in gpu.mig:
                named = [*self._labels(gpu), part.uuid, part.name]
                used.add_metric(named, (part.memory_used_gib or 0) * GIB)
                size.add_metric(named, (part.memory_total_gib or 0) * GIB)
        yield used
        yield size

    def _driver(self, reading: Reading) -> Iterator[Metric]:
        driver = GaugeMetricFamily(
            "lineshaft_gpu_driver_up", "Whether the driver answers.", labels=["pool", "node", "state", "version", "cuda"]
        )
        told = reading.driver
        driver.add_metric([self._pool, self._node, told.state, told.version, told.cuda], float(told.state == "ok"))
        yield driver

    def _host(self, reading: Reading) -> Iterator[Metric]:
        for name, words, value in (
            ("cpu_cores", "Cores of the host.", reading.cores),
            ("cpu_utilization_ratio", "Share of the cores that were busy.", reading.busy_percent / HUNDRED),
            ("load_1m", "Processes that ran or waited, over a minute.", reading.load_1m),
            ("memory_size_bytes", "Memory of the host.", reading.memory_total_gib * GIB),
            ("memory_available_bytes", "Memory that programs can have.", reading.memory_available_gib * GIB),
            ("swap_used_bytes", "Swap in use.", reading.swap_used_gib * GIB),
            ("disk_size_bytes", "The disk that holds the installation's data.", reading.disk_total_gib * GIB),
            ("disk_free_bytes", "Of it, what is free.", reading.disk_free_gib * GIB),
            ("reading_timestamp_seconds", "When this was read.", reading.at.timestamp()),
        ):
            gauge = GaugeMetricFamily(f"lineshaft_node_{name}", words, labels=["pool", "node"])
            gauge.add_metric([self._pool, self._node], float(value))
            yield gauge

    def _neuron(self, reading: Reading) -> Iterator[Metric]:
        labels = ["pool", "node", "device", "kind"]
        busy = GaugeMetricFamily("lineshaft_neuron_core_utilization_ratio", "How busy a core was.", labels=[*labels, "core"])
        used = GaugeMetricFamily("lineshaft_neuron_memory_used_bytes", "Memory in use of a device.", labels=labels)
        ecc = CounterMetricFamily("lineshaft_neuron_ecc_uncorrected_errors", "Uncorrected errors of memory.", labels=labels)
        for device in reading.neuron.devices:
            named = [self._pool, self._node, str(device.index), device.kind]
            for core, percent in enumerate(device.cores_busy_percent):
                busy.add_metric([*named, str(core)], percent / HUNDRED)
            used.add_metric(named, (device.memory_used_gib or 0) * GIB)
            ecc.add_metric(named, float(device.ecc_uncorrected or 0))
        yield from (busy, used, ecc)

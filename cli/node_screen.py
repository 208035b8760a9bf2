"""The screen of a node agent: the host, a line a GPU, and what happened last."""

from collections.abc import Sequence

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from factory_infra.foundation.reliability.node_models import NodeEvent
from factory_infra.foundation.telemetry.agent import Identity
from factory_infra.foundation.telemetry.changes import worded
from factory_infra.foundation.telemetry.models import GpuReading, Reading

HOT_CELSIUS = 85.0
BAR = 10


def screen(identity: Identity, reading: Reading, events: Sequence[NodeEvent], status: str) -> Group:
    """Everything that is shown.

    Args:
        status: where metrics are and what is pushed, in a line.
    """
    title = f"{identity.name} · pool {identity.pool} · {reading.at:%Y-%m-%d %H:%M:%S} UTC"
    parts: list[Panel | Table | Text] = [Panel(host(reading), title=title, title_align="left")]
    parts.append(gpus(reading) if reading.gpus else Text(f"No GPU: driver {reading.driver.state}. {reading.driver.note}", style="yellow"))
    if reading.neuron.state != "absent":
        parts.append(Text(f"Neuron: {reading.neuron.state}, {len(reading.neuron.devices)} devices. {reading.neuron.note}"))
    lines = worded(events)
    parts.append(Panel(Text("\n".join(reversed(lines)) or "Nothing happened yet."), title="events", title_align="left"))
    parts.append(Text(status, style="dim"))
    return Group(*parts)


def host(reading: Reading) -> Text:
    """The host in two lines."""
    driver = reading.driver
    words = f"driver {driver.version}, CUDA {driver.cuda}" if driver.state == "ok" else f"driver: {driver.state}"
    memory = reading.memory_total_gib - reading.memory_available_gib
    return Text(
        f"{words} · {reading.cores} cores {reading.busy_percent:.0f} % busy, load {reading.load_1m:.1f}\n"
        f"memory {memory:.0f} of {reading.memory_total_gib:.0f} GiB · "
        f"disk {reading.disk_free_gib:.0f} of {reading.disk_total_gib:.0f} GiB free"
    )


def gpus(reading: Reading) -> Table:
    """A line a GPU, and one for each of its parts."""
    table = Table(box=None, pad_edge=False, expand=False)
    for name, justify in (
        ("gpu", "right"),
        ("model", "left"),
        ("state", "left"),
        ("busy", "left"),
        ("SM", "right"),
        ("tensor", "right"),
        ("memory GiB", "right"),
        ("°C", "right"),
        ("W", "right"),
        ("MHz", "right"),
        ("ECC c/u", "right"),
        ("rows", "right"),
        ("links", "right"),
        ("proc", "right"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    for gpu in reading.gpus:
        table.add_row(*cells(gpu))
        for part in gpu.mig:
            memory = f"{part.memory_used_gib or 0:.1f}/{part.memory_total_gib or 0:.0f}"
            table.add_row("", Text(f"  {part.name.rpartition(' ')[2]}", style="cyan"), "part", "", "", "", memory)
    return table


def cells(gpu: GpuReading) -> list[Text]:
    """One GPU's cells."""
    state = Text(gpu.state, style="green" if gpu.state == "ok" else "bold red")
    if gpu.slowed_by and gpu.state == "ok":
        state = Text(gpu.slowed_by[0], style="yellow")
    hot = gpu.temperature_celsius is not None and gpu.temperature_celsius >= HOT_CELSIUS
    limit = "" if gpu.power_limit_watts is None else f"/{gpu.power_limit_watts:.0f}"
    bad = bool(gpu.ecc_uncorrected or gpu.rows_remap_failed)
    rows = number(gpu.rows_remapped_uncorrected) + ("!" if gpu.rows_remap_failed else "*" if gpu.rows_remap_pending else "")
    down = gpu.links is not None and gpu.links_up is not None and gpu.links_up < gpu.links
    return [
        Text(str(gpu.index)),
        Text(gpu.name.removeprefix("NVIDIA ")),
        state,
        bar(gpu.busy_percent),
        Text(percent(gpu.sm_active_percent)),
        Text(percent(gpu.tensor_active_percent)),
        Text(f"{number(gpu.memory_used_gib, 1)}/{number(gpu.memory_total_gib)}"),
        Text(number(gpu.temperature_celsius), style="red" if hot else ""),
        Text(number(gpu.power_watts) + limit),
        Text(number(gpu.sm_clock_mhz)),
        Text(f"{number(gpu.ecc_corrected)}/{number(gpu.ecc_uncorrected)}", style="red" if bad else ""),
        Text(rows, style="red" if gpu.rows_remap_failed else ""),
        Text(f"{number(gpu.links_up)}/{number(gpu.links)}", style="red" if down else ""),
        Text(number(gpu.processes_count)),
    ]


def bar(value: float | None) -> Text:
    """A share as a bar with its number."""
    if value is None:
        return Text("-")
    full = round(value / 100 * BAR)
    return Text("█" * full + "·" * (BAR - full) + f" {value:3.0f} %", style="green" if full else "")


def percent(value: float | None) -> str:
    """A share, or a dash where it is not told."""
    return "-" if value is None else f"{value:.0f} %"


def number(value: float | None, digits: int = 0) -> str:
    """A number, or a dash where it is not told."""
    return "-" if value is None else f"{value:.{digits}f}"

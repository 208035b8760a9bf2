"""Metrics of eight simulated H100, and what promtool says of their names."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from factory_infra.foundation.telemetry.agent import Identity, NodeAgent, Sources
from factory_infra.foundation.telemetry.metrics import ReadingCollector
from factory_infra.foundation.telemetry.providers.neuron import NeuronReader, read_line
from factory_infra.foundation.telemetry.providers.nvml import NvmlReader
from factory_infra.foundation.telemetry.spool import Spool
from tests.nvml.simulator import Simulator, simulated

SAMPLE = Path(__file__).parent / "providers" / "neuron-monitor.json"


@pytest.fixture
def machine(nvml_library: Path, tmp_path: Path) -> Iterator[Simulator]:
    """Eight H100 that this process sees."""
    with simulated(nvml_library, tmp_path / "state") as made:
        yield made


def scraped(machine: Simulator, folder: Path) -> str:
    """The metrics of a node with everything: parts, a lost GPU, an XID, Neuron devices."""
    agent = NodeAgent(
        Identity("h100", "gpu-1"), Sources(NvmlReader(slow_seconds=0), NeuronReader(("no-such",)), folder), Spool(folder / "spool")
    )
    agent.tick()
    machine.busy(2, 90)
    machine.mig(1, 1)
    machine.xid(7, 79)
    machine.lose(7)
    agent.tick()
    assert agent.newest is not None
    newest = agent.newest.model_copy(update={"neuron": read_line(SAMPLE.read_text())})
    registry = CollectorRegistry()
    registry.register(ReadingCollector("h100", "gpu-1", lambda: newest, agent.xids))
    agent.close()
    return generate_latest(registry).decode()


def value(text: str, name: str, **labels: str) -> float:
    """One sample."""
    found = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def test_values_are_in_base_units_and_a_lost_gpu_has_none(machine: Simulator, tmp_path: Path) -> None:
    text = scraped(machine, tmp_path)
    assert value(text, "lineshaft_gpu_utilization_ratio", gpu="2", node="gpu-1", pool="h100") == 0.9
    assert value(text, "lineshaft_gpu_sm_active_ratio", gpu="2") == 0.81
    assert value(text, "lineshaft_gpu_memory_used_bytes", gpu="2") == pytest.approx(71_000 * 1024**2, rel=1e-4)
    assert value(text, "lineshaft_gpu_sm_clock_hertz", gpu="2") == 1.98e9
    assert value(text, "lineshaft_gpu_xid_errors_total", gpu="7", xid="79") == 1
    assert value(text, "lineshaft_gpu_mig_memory_size_bytes", gpu="1") == pytest.approx(9856 * 1024**2, rel=1e-4)
    assert [value(text, "lineshaft_gpu_up", gpu=str(index)) for index in range(8)] == [1] * 7 + [0]
    assert value(text, "lineshaft_neuron_core_utilization_ratio", device="0", core="1") == 0.97
    assert 'lineshaft_gpu_power_watts{gpu="7"' not in text


def test_promtool_finds_nothing_wrong(machine: Simulator, tmp_path: Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is not here: it is in Debian's package prometheus")
    done = subprocess.run(
        [tool, "check", "metrics"], input=scraped(machine, tmp_path), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_before_the_first_reading_there_is_nothing() -> None:
    registry = CollectorRegistry()
    registry.register(ReadingCollector("p", "n", lambda: None, {}))
    assert generate_latest(registry) == b""

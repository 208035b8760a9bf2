"""Every gauge of eight simulated H100 through NVIDIA's own binding, and a driver that comes and goes."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest

from factory_infra.foundation.telemetry.models import GpuReading
from factory_infra.foundation.telemetry.providers.nvml import NvmlReader
from tests.nvml.library import Machine
from tests.nvml.simulator import MIB, Lacks, Simulator, simulated

H100 = "NVIDIA H100 80GB HBM3"


@pytest.fixture
def machine(nvml_library: Path, tmp_path: Path) -> Iterator[Simulator]:
    """Eight H100 that this process sees."""
    with simulated(nvml_library, tmp_path / "state") as made:
        yield made


@pytest.fixture
def reader(machine: Simulator) -> Iterator[NvmlReader]:
    """A reader that reads everything anew each time."""
    made = NvmlReader(slow_seconds=0, processes=True)
    yield made
    made.close()


def gpu(reader: NvmlReader, index: int) -> GpuReading:
    """One GPU as it is read now."""
    return reader.read().gpus[index]


class TestGauges:
    def test_all_of_an_h100(self, machine: Simulator, reader: NvmlReader) -> None:
        machine.busy(2, 90)
        state = machine.gpu(2)
        state.ecc_corrected, state.ecc_uncorrected, state.ecc_uncorrected_lifetime = 5, 1, 9
        state.remapped_correctable, state.remapped_uncorrectable, state.remap_pending = 2, 3, 1
        state.link_up[4], state.link_crc_errors, state.link_replays, state.link_recoveries = 0, 7, 8, 9
        state.energy_mj, state.throttle = 123_000, pynvml.nvmlClocksEventReasonHwThermalSlowdown | pynvml.nvmlClocksEventReasonSwPowerCap
        reader.read()
        found = gpu(reader, 2)
        assert (found.name, found.state, found.not_supported) == (H100, "ok", [])
        assert (found.busy_percent, found.memory_busy_percent) == (90, 55)
        assert (found.sm_active_percent, found.sm_occupancy_percent, found.tensor_active_percent) == (81, 45, 54)
        assert found.memory_active_percent == 43
        assert (found.memory_used_gib, found.memory_total_gib) == (69.336, 79.647)
        assert (found.temperature_celsius, found.memory_temperature_celsius) == (66, 78)
        assert (found.power_watts, found.power_limit_watts, found.energy_joules) == (655, 700, 123)
        assert (found.sm_clock_mhz, found.memory_clock_mhz) == (1980, 2619)
        assert sorted(found.slowed_by) == ["hardware_thermal", "power_cap"]
        assert (found.ecc_corrected, found.ecc_uncorrected, found.ecc_uncorrected_lifetime) == (5, 1, 9)
        assert (found.rows_remapped_corrected, found.rows_remapped_uncorrected) == (2, 3)
        assert (found.rows_remap_pending, found.rows_remap_failed) == (True, False)
        assert (found.links, found.links_up) == (18, 17)
        assert (found.link_crc_errors, found.link_replays, found.link_recoveries) == (7, 8, 9)

    def test_activity_of_its_parts_is_told_from_the_second_reading_on(self, machine: Simulator, reader: NvmlReader) -> None:
        assert gpu(reader, 0).sm_active_percent is None
        assert gpu(reader, 0).sm_active_percent == 0

    def test_parts_and_processes(self, machine: Simulator, reader: NvmlReader) -> None:
        machine.mig(1, 1, 2)
        machine.process(0, 1, 3 * 1024 * MIB)
        report = reader.read()
        assert [(part.name, part.instance, part.memory_total_gib) for part in report.gpus[1].mig] == [
            (f"{H100} MIG 1g.10gb", 7, 9.625),
            (f"{H100} MIG 2g.20gb", 8, 19.25),
        ]
        assert report.gpus[1].not_supported == ["utilisation"]
        (process,) = report.gpus[0].processes
        assert (process.pid, process.memory_gib) == (1, 3.0)
        machine.mig(1)
        assert gpu(reader, 1).mig == []
        assert gpu(reader, 1).busy_percent == 0

    @pytest.mark.parametrize("lacks", list(Lacks))
    def test_what_a_gpu_lacks_is_none_and_named_and_the_others_are_read(self, machine: Simulator, reader: NvmlReader, lacks: Lacks) -> None:
        machine.gpu(0).lacks = lacks
        reader.read()
        found, whole = gpu(reader, 0), gpu(reader, 1)
        assert found.state == "ok" and found.not_supported
        assert found.temperature_celsius == 34
        assert whole.not_supported == []

    def test_it_stays_open(self, machine: Simulator, reader: NvmlReader) -> None:
        for _ in range(5):
            reader.read()
        assert machine.state.opened == 1


class TestFaults:
    def test_a_lost_gpu_is_a_state_and_the_others_are_read(self, machine: Simulator, reader: NvmlReader) -> None:
        reader.read()
        machine.lose(5)
        report = reader.read()
        assert [each.state for each in report.gpus] == ["ok"] * 5 + ["lost"] + ["ok"] * 2
        assert (report.gpus[5].name, report.driver.state) == (H100, "ok")
        assert "GPU 5 does not answer" in report.gpus[5].note
        machine.gpu(5).code = 0
        assert gpu(reader, 5).state == "ok"

    def test_one_that_is_lost_from_the_start_is_read_once_it_is_back(self, machine: Simulator, reader: NvmlReader) -> None:
        machine.lose(0)
        assert (gpu(reader, 0).state, gpu(reader, 0).name) == ("lost", "")
        machine.gpu(0).code = 0
        assert (gpu(reader, 0).state, gpu(reader, 0).name) == ("ok", H100)

    def test_one_that_fails_is_told_as_such(self, machine: Simulator, reader: NvmlReader) -> None:
        machine.gpu(3).code = pynvml.NVML_ERROR_UNKNOWN
        assert gpu(reader, 3).state == "failed"

    def test_one_gauge_that_fails_fails_no_gpu(self, machine: Simulator, reader: NvmlReader, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(sample: object) -> None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)

        monkeypatch.setattr(pynvml, "nvmlGpmMetricsGet", fails)
        reader.read()
        found = gpu(reader, 0)
        assert (found.state, found.sm_active_percent, found.temperature_celsius) == ("ok", None, 34)
        assert found.note == "GPU 0 does not tell sm_activity (Unknown Error)."

    @pytest.mark.parametrize(
        ("code", "state"),
        [
            (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "no_driver"),
            (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "driver_mismatch"),
            (pynvml.NVML_ERROR_NO_PERMISSION, "failed"),
        ],
    )
    def test_a_driver_that_cannot_be_opened_is_a_state(self, machine: Simulator, reader: NvmlReader, code: int, state: str) -> None:
        machine.unload(code)
        report = reader.read()
        assert (report.driver.state, report.gpus) == (state, [])
        assert report.driver.note.startswith("NVML does not answer")

    def test_a_driver_that_goes_away_is_opened_again_once_it_is_back(self, machine: Simulator, reader: NvmlReader) -> None:
        assert len(reader.read().gpus) == 8
        machine.unload()
        assert [reader.read().driver.state for _ in range(3)] == ["no_driver"] * 3
        machine.load()
        report = reader.read()
        assert (report.driver.state, len(report.gpus), machine.state.opened) == ("ok", 8, 2)

    def test_one_that_was_reloaded_between_two_readings_is_noticed(self, machine: Simulator, reader: NvmlReader) -> None:
        reader.read()
        machine.load()
        assert reader.read().driver.state == "no_driver"
        assert len(reader.read().gpus) == 8


class TestEvents:
    def test_an_xid_is_told_once_with_its_gpu(self, machine: Simulator, reader: NvmlReader) -> None:
        reader.read()
        machine.xid(3, 79)
        machine.xid(1, 31)
        assert [(event.index, event.xid) for event in reader.events()] == [(3, 79), (1, 31)]
        assert reader.events() == []

    def test_what_was_before_the_first_reading_is_not_ours_to_tell(self, machine: Simulator, reader: NvmlReader) -> None:
        machine.xid(3, 79)
        assert reader.events() == []
        reader.read()
        assert reader.events() == []

    def test_without_a_driver_there_is_none(self, machine: Simulator, reader: NvmlReader) -> None:
        reader.read()
        machine.unload()
        assert reader.events() == []


def test_gpustat_agrees(nvml_library: Path) -> None:
    if importlib.util.find_spec("gpustat") is None:  # not imported: it changes the binding for the whole process
        pytest.skip("gpustat is not here")
    machine = Machine(nvml_library, "...l....")
    for index in (0, 1, 5):
        machine.simulator.busy(index, 40 + index)
    machine.simulator.process(5, 1, 70_000 * MIB)
    command = [sys.executable, "-m", "gpustat", "--json"]
    told = subprocess.run(command, env=machine.environment, capture_output=True, text=True, timeout=60, check=True)
    theirs = {each["index"]: each for each in json.loads(told.stdout)["gpus"] if "uuid" in each and each["uuid"].startswith("GPU-")}
    ours = read_elsewhere(machine)
    assert sorted(theirs) == [each.index for each in ours if each.state == "ok"] == [0, 1, 2, 4, 5, 6, 7]
    for each in (each for each in ours if each.state == "ok"):
        other = theirs[each.index]
        assert (each.name, each.uuid) == (other["name"], other["uuid"])
        assert (each.busy_percent, each.temperature_celsius) == (other["utilization.gpu"], other["temperature.gpu"])
        assert (round(each.power_watts or 0), each.power_limit_watts) == (other["power.draw"], other["enforced.power.limit"])
        assert each.memory_used_gib == pytest.approx(other["memory.used"] / 1024, abs=0.002)
        assert each.memory_total_gib == pytest.approx(other["memory.total"] / 1024, abs=0.002)
        assert each.processes_count == len(other["processes"])


def read_elsewhere(machine: Machine) -> list[GpuReading]:
    """What our reader tells in a process of its own on that machine."""
    code = (
        "from factory_infra.foundation.telemetry.providers.nvml import NvmlReader\n"
        "print(NvmlReader(processes=True).read().model_dump_json())"
    )
    told = subprocess.run([sys.executable, "-c", code], env=machine.environment, capture_output=True, text=True, timeout=60, check=True)
    return [GpuReading.model_validate(each) for each in json.loads(told.stdout)["gpus"]]

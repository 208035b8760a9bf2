"""Lines of `neuron-monitor`, and the program that prints them."""

import json
import sys
from pathlib import Path

import pytest

from factory_infra.foundation.telemetry.providers.neuron import NeuronReader, read_line

SAMPLE = Path(__file__).with_name("neuron-monitor.json")


def test_a_line_is_read_device_by_device() -> None:
    report = read_line(SAMPLE.read_text())
    assert (report.state, report.note) == ("ok", "")
    first, second = report.devices
    assert (first.index, first.kind, first.cores_busy_percent) == (0, "trainium", [42.5, 97.0])
    assert (first.memory_used_gib, first.memory_total_gib) == (3.5, 32.0)
    assert (first.ecc_corrected, first.ecc_uncorrected) == (3, 0)
    assert (second.cores_busy_percent, second.memory_used_gib, second.ecc_uncorrected) == ([0.0], 0.0, 2)


def test_a_host_on_which_nothing_runs_is_ok() -> None:
    told = {**json.loads(SAMPLE.read_text()), "neuron_runtime_data": None}
    assert [device.cores_busy_percent for device in read_line(json.dumps(told)).devices] == [[], []]


@pytest.mark.parametrize("line", ["", "{", "[]", '{"neuron_hardware_info": {"neuron_device_count": "many"}}'])
def test_a_line_that_cannot_be_read_is_a_state(line: str) -> None:
    assert read_line(line).state == "failed"


def test_an_error_that_the_monitor_tells_is_told() -> None:
    report = read_line('{"neuron_hardware_info": {"error": "no driver"}}')
    assert (report.state, report.note) == ("failed", "neuron-monitor: no driver.")


class TestProgram:
    def test_where_it_is_not_installed_it_is_absent(self) -> None:
        report = NeuronReader(("no-such-monitor",)).read()
        assert (report.state, report.note) == ("absent", "no-such-monitor is not installed on this host.")

    def test_its_last_line_counts_and_it_is_ended(self) -> None:
        code = f"import time; print(open({str(SAMPLE)!r}).read().replace(chr(10), ''), flush=True); time.sleep(60)"
        reader = NeuronReader((sys.executable, "-c", code))
        assert reader.read(30).state == "ok"
        assert len(reader.read().devices) == 2
        reader.close()

    def test_one_that_fails_is_a_state_and_it_is_started_again(self) -> None:
        reader = NeuronReader((sys.executable, "-c", "raise SystemExit(3)"))
        for _ in range(2):
            report = reader.read(30)
            assert report.state == "failed"
        assert report.note.endswith("ended with code 3.")

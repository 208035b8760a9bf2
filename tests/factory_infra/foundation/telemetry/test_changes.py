"""From readings to events: each beginning and each end once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from factory_infra.foundation.reliability.taxonomy import load_taxonomy
from factory_infra.foundation.telemetry.changes import STEADY_READINGS, Watcher, worded
from factory_infra.foundation.telemetry.models import DriverReading, DriverState, GpuEvent, GpuReading, NeuronReading, NeuronReport, Reading

OK = DriverReading(state="ok", version="1")


def gpu(index: int = 0, **fields: Any) -> GpuReading:
    return GpuReading.model_validate({"index": index, "name": "H100", "uuid": f"u{index}", **fields})


def read(*gpus: GpuReading, driver: DriverReading = OK, **fields: Any) -> Reading:
    known = dict.fromkeys(
        ("busy_percent", "load_1m", "load_5m", "load_15m", "memory_total_gib", "memory_available_gib", "swap_used_gib"), 1.0
    )
    at = datetime(2026, 1, 1, tzinfo=UTC)
    disk = {"disk_total_gib": 1, "disk_free_gib": 1, "files_open_max": 1}
    return Reading.model_validate({"at": at, "cores": 1, **known, **disk, "driver": driver, "gpus": list(gpus), **fields})


def codes(watcher: Watcher, reading: Reading, *xids: GpuEvent) -> list[str]:
    return [f"{'-' if each.recovered else '+'}{each.code}" for each in watcher.look(reading, xids)]


CONDITIONS = [
    ({"state": "lost"}, "gpu_lost"),
    ({"state": "failed"}, "gpu_failed"),
    ({"rows_remap_failed": True}, "remap_failed"),
    ({"rows_remap_pending": True}, "remap_pending"),
    ({"links": 18, "links_up": 17}, "nvlink_down"),
]


@pytest.mark.parametrize(("fields", "code"), CONDITIONS)
def test_what_begins_is_told_once_and_its_end_once(fields: dict[str, Any], code: str) -> None:
    watcher, sound = Watcher(), gpu(links=18, links_up=18)
    assert codes(watcher, read(sound)) == []
    assert [codes(watcher, read(gpu(**fields))) for _ in range(3)] == [[f"+{code}"], [], []]
    assert [codes(watcher, read(sound)) for _ in range(2)] == [[f"-{code}"], []]
    assert code in load_taxonomy()


@pytest.mark.parametrize(("reason", "code"), [("hardware_thermal", "thermal"), ("power_brake", "power_brake")])
def test_what_flickers_is_told_once_it_lasts(reason: str, code: str) -> None:
    watcher = Watcher()
    hot, cool = read(gpu(slowed_by=[reason])), read(gpu())
    assert [codes(watcher, each) for each in (hot, cool, hot, cool)] == [[]] * 4
    told = [codes(watcher, hot) for _ in range(STEADY_READINGS[code] + 2)]
    assert [each for each in told if each] == [[f"+{code}"]]
    assert codes(watcher, cool) == [f"-{code}"]


def test_each_uncorrected_error_that_is_new_is_an_event() -> None:
    watcher = Watcher()
    assert codes(watcher, read(gpu(ecc_uncorrected=3))) == []  # from before
    assert codes(watcher, read(gpu(ecc_uncorrected=4))) == ["+ecc_uncorrectable"]
    assert codes(watcher, read(gpu(ecc_uncorrected=4))) == []
    assert codes(watcher, read(gpu(ecc_uncorrected=0))) == []  # the driver was reloaded
    assert codes(watcher, read(gpu(ecc_uncorrected=1))) == ["+ecc_uncorrectable"]


def test_a_flood_of_corrected_errors_is_told() -> None:
    watcher = Watcher()
    assert [codes(watcher, read(gpu(ecc_corrected=count))) for count in (0, 999, 5000)] == [[], [], ["+ecc_rate"]]


def test_errors_of_a_neuron_device_are_told() -> None:
    watcher = Watcher()
    for count, told in ((0, []), (2, ["+neuron_ecc"])):
        report = NeuronReport(state="ok", devices=[NeuronReading(index=0, ecc_uncorrected=count)])
        assert codes(watcher, read(neuron=report)) == told


def test_xids_are_told_as_they_come() -> None:
    events = Watcher().look(read(gpu()), [GpuEvent(index=3, uuid="u3", xid=79)])
    assert [(each.code, each.accelerator, each.uuid) for each in events] == [("xid_79", 3, "u3")]
    assert worded(events) == ["00:00:00 xid_79 on 3: XID 79"]


def test_a_flood_of_one_xid_is_told_once_a_minute_with_its_number() -> None:
    watcher, flood = Watcher(), [GpuEvent(index=3, uuid="u3", xid=31)] * 250
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    told = [
        event.words
        for second in range(121)
        for event in watcher.look(read(gpu()).model_copy(update={"at": begin + timedelta(seconds=second)}), flood)
    ]
    assert told == ["XID 31", "XID 31, 14999 more since 00:00:00", "XID 31, 14999 more since 00:01:00"]


def test_a_host_that_never_had_a_driver_is_in_order() -> None:
    watcher = Watcher()
    assert codes(watcher, read(driver=DriverReading())) == []
    assert codes(watcher, read(gpu())) == []
    assert codes(watcher, read(driver=DriverReading())) == ["+driver_gone"]
    assert codes(watcher, read(gpu())) == ["-driver_gone"]


def test_of_a_gpu_that_nobody_can_ask_nothing_is_said_to_be_over() -> None:
    watcher = Watcher()
    codes(watcher, read(gpu(rows_remap_failed=True)))
    assert codes(watcher, read(gpu(state="lost"))) == ["+gpu_lost"]
    gone: DriverState = "driver_mismatch"
    assert codes(watcher, read(driver=DriverReading(state=gone))) == ["+driver_mismatch"]
    assert codes(watcher, read(gpu())) == ["-remap_failed", "-gpu_lost", "-driver_mismatch"]

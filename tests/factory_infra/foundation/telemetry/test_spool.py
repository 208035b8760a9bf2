"""Events on disk: in order, whole after a crash, bounded."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from factory_infra.errors import StorageFull
from factory_infra.foundation.reliability.node_models import NodeEvent
from factory_infra.foundation.telemetry.spool import Spool


def event(number: int, words: str = "") -> NodeEvent:
    return NodeEvent(id=f"event-{number:04}", code="xid_79", at=datetime(2026, 1, 1, tzinfo=UTC), words=words)


def test_they_wait_in_order_also_for_the_next_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "deep" / "spool.jsonl")
    spool.add([event(1), event(2)])
    spool.add([event(3)])
    again = Spool(tmp_path / "deep" / "spool.jsonl")
    assert [each.id for each in again.first(2)] == ["event-0001", "event-0002"]
    again.done({"event-0001", "event-0002"})
    assert (len(again), len(Spool(tmp_path / "deep" / "spool.jsonl"))) == (1, 1)


def test_a_line_that_was_cut_off_is_left_aside(tmp_path: Path) -> None:
    path = tmp_path / "spool.jsonl"
    Spool(path).add([event(1)])
    path.write_bytes(path.read_bytes() + event(2).model_dump_json().encode()[:40])
    assert [each.id for each in Spool(path).first(9)] == ["event-0001"]


def test_it_is_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.jsonl", bytes_max=3000)
    for number in range(100):
        spool.add([event(number, "w" * 300)])
    assert (tmp_path / "spool.jsonl").stat().st_size <= 3000
    assert spool.first(1000)[-1].id == "event-0099"
    assert spool.dropped == 100 - len(spool) > 0


def test_a_disk_that_takes_nothing_is_told_and_the_events_wait_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spool = Spool(tmp_path / "file" / "spool.jsonl")
    with pytest.raises(StorageFull):
        spool.add([event(1)])
    assert len(spool) == 1

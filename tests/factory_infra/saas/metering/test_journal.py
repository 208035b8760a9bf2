"""The journal: what was written is read again after any cut, a full disk leaves nothing half, the lock is the life."""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from factory_infra.errors import StorageFull, Unavailable
from factory_infra.saas.metering.journal import Found, Journal
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.metering.records import Reserved, Served, Settled, Share, transfers
from factory_infra.saas.metering.recovery import take_over
from tests.factory_infra.saas.metering.meters import RATE, WHOSE

USAGE = Usage(11, 7, 5, 1, 3, 1.25, 9, estimated=True)
Opened = Callable[..., Journal]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    def make(name: str = "p1", *, kind: type[Journal] = Journal, write: Callable[[int, bytes], int] = os.write) -> Journal:
        journal = kind(tmp_path / "journals", name, "here", write=write)
        journal.open()
        return journal

    return make


def reserved(name: str) -> Reserved:
    shares = (Share("budget/vision", 0, "money", Decimal("0.000000000001")), Share("l", 60, "tokens", Decimal(20)))
    return Reserved(0, 12.5, name, WHOSE, "house", "model", RATE, 10, 9, 5, Decimal("20.5"), shares)


def settled(record: Reserved) -> Settled:
    return Settled(0, 13.5, record, USAGE, "done", Decimal("3.25"))


def found(journal: Journal) -> Found:
    descriptor = os.open(journal.path, os.O_RDONLY)
    try:
        return Found.read(descriptor)
    finally:
        os.close(descriptor)


class Disk:
    """A disk with so many bytes left; the last write goes in part, as it does on a real one."""

    def __init__(self) -> None:
        self.left = 1 << 30

    def write(self, descriptor: int, data: bytes) -> int:
        if not self.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = min(self.left, len(data))
        self.left -= part
        return os.write(descriptor, data[:part])


class TestFile:
    def test_only_the_owner_reads_it(self, opened: Opened) -> None:
        journal = opened()
        assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700

    def test_its_lock_is_held_for_life(self, opened: Opened) -> None:
        journal = opened()
        assert take_over(journal.path) is None
        journal.close(remove=False)
        descriptor = take_over(journal.path)
        assert descriptor is not None
        os.close(descriptor)

    def test_removed_it_is_gone(self, opened: Opened) -> None:
        journal = opened()
        journal.close(remove=True)
        journal.close(remove=True)
        assert not journal.path.exists()

    def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(Unavailable, match="journal"):
            Journal(tmp_path / "file" / "journals", "p1", "here").open()


class TestRecords:
    def test_are_read_as_they_were_written(self, opened: Opened) -> None:
        journal = opened()
        first, second = reserved("a/1"), reserved("b/1")
        journal.reserve(first)
        journal.reserve(second)
        journal.progress(second, USAGE)
        end, served = settled(first), Served(0, 14.5, "hit/1", WHOSE, "house", "model", USAGE)
        journal.settle(end)
        journal.serve(served)
        back = found(journal)
        for record in (first, second, end, served):
            record.line = b""
        second.last_line = b""
        assert back.records == [first, second, end, served]
        assert back.open == {"b/1": second}
        assert [record.number for record in back.records] == [1, 2, 4, 5]

    def test_why_one_failed_is_kept_and_absent_where_there_is_nothing_to_say(self, opened: Opened) -> None:
        journal = opened()
        records = [reserved("a/1"), reserved("b/1")]
        for record in records:
            journal.reserve(record)
        well, failed = settled(records[0]), replace(settled(records[1]), outcome="failed", reason="model_unavailable")
        journal.settle(well)
        journal.settle(failed)
        assert b"reason" not in well.line  # as every journal was written before
        back = [record for record in found(journal).records if isinstance(record, Settled)]
        assert [record.reason for record in back] == ["", "model_unavailable"]
        assert [each.reason for each in transfers(back[1])] == ["model_unavailable"] * 2

    @hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(cut=st.floats(0, 1), calls=st.integers(1, 6))
    def test_a_file_that_is_cut_anywhere_gives_all_whole_lines(self, opened: Opened, cut: float, calls: int) -> None:
        journal = opened()
        head = journal.bytes
        written = []
        for number in range(calls):
            record = reserved(f"{number}/1")
            journal.reserve(record)
            written.append((journal.bytes, record.name, "reserve"))
            journal.settle(settled(record))
            written.append((journal.bytes, record.name, "settle"))
        size = head + int((journal.bytes - head) * cut)
        os.truncate(journal.path, size)
        whole = [(name, kind) for end, name, kind in written if end <= size + 1]  # the line's end is not needed to read it
        back = found(journal)
        assert [(getattr(record, "name", None) or record.reserved.name, kind_of(record)) for record in back.records] == whole  # type: ignore[union-attr]
        assert set(back.open) == {name for name, kind in whole if kind == "reserve"} - {name for name, kind in whole if kind == "settle"}
        journal.close(remove=True)


def kind_of(record: object) -> str:
    return "reserve" if isinstance(record, Reserved) else "settle"


class Uncut(Journal):
    """The control: half a line stays where a full disk left it."""

    def _cut(self) -> None:
        pass


class Uncuttable(Journal):
    """A disk so full that not even a file can be shortened."""

    def _cut(self) -> None:
        self._torn = True


class TestFullDisk:
    @pytest.mark.parametrize("left", [0, 1, 40])
    def test_a_reservation_is_refused_and_leaves_nothing(self, opened: Opened, left: int) -> None:
        disk = Disk()
        journal = opened(write=disk.write)
        disk.left = left
        with pytest.raises(StorageFull, match="p1"):
            journal.reserve(reserved("a/1"))
        assert journal.number == 0
        disk.left = 1 << 30
        journal.reserve(reserved("b/1"))
        assert set(found(journal).open) == {"b/1"}

    @pytest.mark.parametrize(("kind", "kept"), [(Uncut, set()), (Uncuttable, {"b/1"})])
    def test_without_the_cut_the_next_line_would_be_lost(self, opened: Opened, kind: type[Journal], kept: set[str]) -> None:
        disk = Disk()
        journal = opened(kind=kind, write=disk.write)
        disk.left = 40
        with pytest.raises(StorageFull):
            journal.reserve(reserved("a/1"))
        disk.left = 1 << 30
        journal.reserve(reserved("b/1"))
        assert set(found(journal).open) == kept

    def test_a_settlement_waits_for_space(self, opened: Opened) -> None:
        disk = Disk()
        journal = opened(write=disk.write)
        record = reserved("a/1")
        journal.reserve(record)
        disk.left = 0
        journal.settle(settled(record))
        journal.progress(record, USAGE)
        assert set(found(journal).open) == {"a/1"}
        disk.left = 1 << 30
        journal.reserve(reserved("b/1"))
        assert set(found(journal).open) == {"b/1"}
        assert [record.number for record in found(journal).records] == [1, 2, 3]


class TestRotation:
    def test_keeps_what_is_open_or_unposted_and_the_lock(self, opened: Opened) -> None:
        journal = opened()
        old, open_, unposted = reserved("old/1"), reserved("open/1"), reserved("unposted/1")
        for record in (old, open_, unposted):
            journal.reserve(record)
        journal.settle(settled(old))
        journal.progress(open_, USAGE)
        end = settled(unposted)
        journal.settle(end)
        journal.rotate([open_, end])
        back = found(journal)
        assert [record.number for record in back.records] == [2, 3, end.number]
        assert back.open["open/1"].last == USAGE
        assert take_over(journal.path) is None
        journal.reserve(reserved("next/1"))
        assert set(found(journal).open) == {"open/1", "next/1"}
        assert journal.bytes == journal.path.stat().st_size

    def test_on_a_full_disk_changes_nothing(self, opened: Opened) -> None:
        disk = Disk()
        journal = opened(write=disk.write)
        record = reserved("a/1")
        journal.reserve(record)
        disk.left = 10
        journal.rotate([record])
        assert set(found(journal).open) == {"a/1"}
        assert [path.name for path in journal.path.parent.iterdir()] == [journal.path.name]
        disk.left = 1 << 30
        journal.settle(settled(record))
        assert found(journal).open == {}

    def test_who_waits_for_the_old_file_does_not_take_it_for_the_new(self, opened: Opened) -> None:
        journal = opened()
        old = os.open(journal.path, os.O_RDWR)
        journal.rotate([])
        assert os.fstat(old).st_ino != journal.path.stat().st_ino
        assert take_over(journal.path) is None
        os.close(old)

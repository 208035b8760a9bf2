"""The data centre's state is the same for every process and survives them: a pure fold of entry, log and time."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from factory_infra.errors import EffectFailed
from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.foundation.twin import commands
from factory_infra.foundation.twin.centre import LOG, DataCentre, node_name
from factory_infra.foundation.twin.clock import Anchor
from factory_infra.foundation.twin.commands import CommandLog
from factory_infra.settings import Settings

POOL = TwinPool(name="twin", nodes=50, failures="rsc-1", failure_scale=100, speed=1000)


class Clock:
    """Real time as a test sets it."""

    def __init__(self) -> None:
        self.at = 1_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestState:
    def test_is_the_same_for_who_comes_later(self, settings: Settings, clock: Clock) -> None:
        first = DataCentre(POOL, settings, clock)
        assert first.now() == 0
        clock.at += 500
        seen = first.nodes()
        assert any(node.failure for node in seen)
        assert DataCentre(POOL, settings, clock).nodes() == seen

    def test_of_a_failure_that_was_asked_for_is_seen_by_all_and_ends(self, settings: Settings, clock: Clock) -> None:
        pool = TwinPool(name="twin", speed=1000)
        name = node_name(pool, 2)
        DataCentre(pool, settings, clock).fail(name, hours=1)
        other = DataCentre(pool, settings, clock)
        assert [node.name for node in other.nodes() if node.failure] == [name]
        clock.at += 3.7
        assert not [node for node in other.nodes() if node.failure]

    def test_a_clock_that_is_set_back_does_not_turn_time_back(self, settings: Settings, clock: Clock) -> None:
        centre = DataCentre(POOL, settings, clock)
        centre.now()
        clock.at -= 5000
        assert centre.now() == 0

    def test_another_speed_goes_on_from_where_it_was(self, settings: Settings, clock: Clock) -> None:
        DataCentre(POOL, settings, clock).now()
        clock.at += 10
        slower = DataCentre(POOL.model_copy(update={"speed": 1.0}), settings, clock)
        assert slower.now() == pytest.approx(10_000)
        clock.at += 10
        assert slower.now() == pytest.approx(10_010)

    def test_many_writers_lose_nothing(self, settings: Settings, clock: Clock) -> None:
        names = [node_name(POOL, number) for number in range(30)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: DataCentre(POOL, settings, clock).fail(name), names))
        found = [each["node"] for each in DataCentre(POOL, settings, clock).commands() if each["do"] == "fail"]
        assert sorted(map(str, found)) == names


class TestLog:
    def test_a_line_that_was_cut_off_is_written_over(self, tmp_path: Path) -> None:
        file = tmp_path / LOG
        log = CommandLog(file)
        with log.writing() as writer:
            writer.append({"do": "a"})
        with file.open("a") as stream:
            stream.write('{"do": "half')
        again = CommandLog(file)
        assert again.read() == [{"do": "a"}]
        with again.writing() as writer:
            writer.append({"do": "b"})
        assert [json.loads(line)["do"] for line in file.read_text().splitlines()] == ["a", "b"]
        assert CommandLog(file).read() == [{"do": "a"}, {"do": "b"}]

    def test_one_that_is_damaged_is_told_with_its_line(self, tmp_path: Path) -> None:
        file = tmp_path / LOG
        file.write_text('{"do": "a"}\nnonsense\n')
        with pytest.raises(EffectFailed) as told:
            CommandLog(file).read()
        assert told.value.error_code == "twin_log" and "Line 2" in told.value.reason and told.value.remedy

    def test_only_what_is_new_is_read(self, tmp_path: Path) -> None:
        file = tmp_path / LOG
        one, other = CommandLog(file), CommandLog(file)
        for number in range(3):
            with one.writing() as writer:
                writer.append({"do": str(number)})
            assert [each["do"] for each in other.read()] == [str(each) for each in range(number + 1)]

    def test_one_that_was_removed_begins_anew(self, tmp_path: Path) -> None:
        file = tmp_path / LOG
        log = CommandLog(file)
        with log.writing() as writer:
            writer.append({"do": "a"})
        file.unlink()
        assert log.read() == []


def test_an_anchor_turns_times_into_each_other() -> None:
    anchor = Anchor(100.0, 50.0, 10.0)
    assert anchor.virtual_at(101) == 60 and anchor.real_at(60) == 101 and anchor.virtual_at(0) == 50


def test_without_its_lock_a_writer_overwrites_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what the lock holds off is really lost without it."""
    monkeypatch.setattr(commands, "hold", lambda file: nullcontext(0))
    one, other = CommandLog(tmp_path / LOG), CommandLog(tmp_path / LOG)
    with one.writing() as first:
        with other.writing() as second:
            second.append({"do": "lost"})
        first.append({"do": "kept"})
    assert CommandLog(tmp_path / LOG).read() == [{"do": "kept"}]

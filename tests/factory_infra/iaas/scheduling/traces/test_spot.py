"""Spot availability: read as it was published, refused otherwise."""

import json
from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.traces.spot import read, read_folder


def written(folder: Path, name: str, data: object, gap: object = 195) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"metadata": {"gap_seconds": gap}, "data": data}))
    return path


class TestSpot:
    def test_a_zone_is_named_by_its_file(self, tmp_path: Path) -> None:
        zone = read(written(tmp_path, "us-west-2a_v100_1", [1, 0, 4, 16]))
        assert (zone.zone, zone.tick_seconds) == ("us-west-2a_v100_1", 195.0)
        assert zone.up().tolist() == [True, False, True, True]
        assert zone.up(machines=5).tolist() == [False, False, False, True]
        assert zone.days == pytest.approx(4 * 195 / 86400)

    def test_a_folder_is_cut_to_what_all_zones_have(self, tmp_path: Path) -> None:
        written(tmp_path, "b", [1, 1, 0])
        written(tmp_path, "a", [1, 0])
        assert [(zone.zone, len(zone.machines)) for zone in read_folder(tmp_path)] == [("a", 2), ("b", 2)]

    @pytest.mark.parametrize(
        ("data", "gap", "words"),
        [
            ([1, -1], 195, "tick 1 is -1"),
            ([1, 0.5], 195, "tick 1 is 0.5"),
            ([True], 195, "tick 0 is True"),
            ([], 195, "it has no tick"),
            ([1], 0, "'gap_seconds' is 0"),
            ([1], "195", "'gap_seconds' is '195'"),
            ("111", 195, "'metadata' or 'data' is missing"),
        ],
    )
    def test_what_is_no_availability_is_refused(self, tmp_path: Path, data: object, gap: object, words: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            read(written(tmp_path, "zone", data, gap))
        assert words in caught.value.reason
        assert caught.value.reason.startswith("zone.json")
        assert caught.value.remedy

    def test_zones_that_tick_differently_and_an_empty_folder_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match=r"no \.json file"):
            read_folder(tmp_path)
        written(tmp_path, "a", [1])
        written(tmp_path, "b", [1], gap=300)
        with pytest.raises(InvalidInput, match="it ticks every 300 s"):
            read_folder(tmp_path)

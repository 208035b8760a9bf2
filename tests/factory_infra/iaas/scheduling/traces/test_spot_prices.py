"""Spot price histories, as JSON and as CSV."""

import json
from pathlib import Path

import numpy as np
import pytest

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.traces.spot_prices import read

ENTRIES = [
    {"Timestamp": "2023-02-16T00:00:00+00:00", "InstanceType": "p3.2xlarge", "AvailabilityZone": "us-west-2a", "SpotPrice": "1.10"},
    {"Timestamp": "2023-02-15T00:00:00+00:00", "InstanceType": "p3.2xlarge", "AvailabilityZone": "us-west-2a", "SpotPrice": "0.97"},
    {"Timestamp": "2023-02-15T00:00:00Z", "InstanceType": "p3.2xlarge", "AvailabilityZone": "us-west-2b", "SpotPrice": "0.90"},
]


def as_json(folder: Path, entries: object) -> Path:
    path = folder / "prices.json"
    path.write_text(json.dumps({"SpotPriceHistory": entries}))
    return path


class TestSpotPrices:
    def test_markets_are_in_the_order_of_time(self, tmp_path: Path) -> None:
        first, second = read(as_json(tmp_path, ENTRIES))
        assert (first.machine_type, first.zone, second.zone) == ("p3.2xlarge", "us-west-2a", "us-west-2b")
        assert first.hourly.tolist() == [0.97, 1.10]
        moments = np.array([first.since[0] - 1, first.since[0] + 5, first.since[1], first.since[1] + 9])
        assert first.at(moments).tolist() == [0.97, 0.97, 1.10, 1.10]

    def test_csv_reads_alike(self, tmp_path: Path) -> None:
        path = tmp_path / "prices.csv"
        names = list(ENTRIES[0])
        path.write_text("\n".join([",".join(names), *(",".join(entry[name] for name in names) for entry in ENTRIES)]))
        assert [(each.zone, each.hourly.tolist()) for each in read(path)] == [
            (each.zone, each.hourly.tolist()) for each in read(as_json(tmp_path, ENTRIES))
        ]

    @pytest.mark.parametrize(
        ("entries", "words"),
        [
            ([{**ENTRIES[0], "SpotPrice": "-1"}], "entry 1 costs '-1'"),
            ([{**ENTRIES[0], "SpotPrice": "free"}], "entry 1 costs 'free'"),
            ([{**ENTRIES[0], "Timestamp": "soon"}], "no time"),
            ([{"InstanceType": "p3"}], "entry 1 lacks"),
            ([], "it has no price"),
            ("none", "'SpotPriceHistory' is missing"),
        ],
    )
    def test_what_is_no_history_is_refused(self, tmp_path: Path, entries: object, words: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            read(as_json(tmp_path, entries))
        assert words in caught.value.reason

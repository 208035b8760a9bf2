"""Spot prices and stock from files, in a scenario."""

import json
from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.iaas.twin.engine import run
from factory_infra.iaas.twin.scenario_file import read

SCENARIO = """
name: spot
pools:
  - name: spot
    nodes: 2
    price_class: spot
    elastic:
      market: {spot: true, on_demand_hourly: 10, start_seconds: 0}
      prices: {file: prices.csv, zone: us-east-1a}
      stock: {file: stock.json}
workloads:
  jobs:
    - {name: train, queue: a, hours: 3, gpus: 8, checkpoint_minutes: 5}
policies:
  default: {placement: first_fit}
"""
PRICES = (
    "Timestamp,InstanceType,AvailabilityZone,SpotPrice",
    "2026-01-01T01:00:00Z,p5.48xlarge,us-east-1a,4.0",
    "2026-01-01T00:00:00Z,p5.48xlarge,us-east-1a,2.0",
    "2026-01-01T00:00:00Z,p5.48xlarge,us-east-1b,1.0",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prices.csv").write_text("\n".join(PRICES))
    ticks = [1] * 6 + [0] * 2 + [3] * 40
    (tmp_path / "stock.json").write_text(json.dumps({"metadata": {"gap_seconds": 600}, "data": ticks}))
    return tmp_path


class TestFiles:
    def test_prices_and_stock_are_those_of_the_files(self, folder: Path) -> None:
        _, (made,) = read(SCENARIO, "s.yaml", folder)
        market = made.elastic["spot"].market
        assert market.prices == ((0.0, 2.0), (3600.0, 4.0))
        assert market.stock == ((0.0, True), (3600.0, False), (4800.0, True))

    def test_the_simulation_pays_them_and_loses_machines_with_the_stock(self, folder: Path) -> None:
        _, (made,) = read(SCENARIO, "s.yaml", folder)
        found = run(made)
        assert found.counts.finished == 1
        assert found.counts.machines["interruptions"] == 1
        dearer = found.cost["spot"]
        (folder / "prices.csv").write_text("\n".join(PRICES).replace("4.0", "2.0"))
        cheaper = run(read(SCENARIO, "s.yaml", folder)[1][0]).cost["spot"]
        assert dearer > cheaper > 0

    def test_it_may_begin_later_in_the_file(self, folder: Path) -> None:
        later = SCENARIO.replace("zone: us-east-1a", "zone: us-east-1a, from_hours: 1.5").replace(
            "file: stock.json", "file: stock.json, from_hours: 1"
        )
        market = read(later, "s.yaml", folder)[1][0].elastic["spot"].market
        assert market.prices == ((0.0, 4.0),)
        assert market.stock == ((0.0, False), (1200.0, True))

    def test_so_many_machines_together(self, folder: Path) -> None:
        market = read(SCENARIO.replace("file: stock.json", "file: stock.json, machines: 2"), "s.yaml", folder)[1][0].elastic["spot"].market
        assert market.stock == ((0.0, False), (4800.0, True))

    @pytest.mark.parametrize(
        ("before", "after", "told"),
        [
            ("zone: us-east-1a", "zone: mars", "has no such market"),
            (", zone: us-east-1a", "", "has 2 markets that would do"),
            ("spot: true", "spot: false", "are of a spot market"),
            ("file: stock.json", "file: stock.json, from_hours: 9", "would begin after that"),
            ("zone: us-east-1a", "zones: us-east-1a", "zones"),
        ],
    )
    def test_what_cannot_be_is_refused(self, folder: Path, before: str, after: str, told: str) -> None:
        with pytest.raises(InvalidInput, match=told):
            read(SCENARIO.replace(before, after), "s.yaml", folder)

    def test_a_price_below_zero_names_file_and_line(self, folder: Path) -> None:
        (folder / "prices.csv").write_text("\n".join(PRICES).replace("4.0", "-4.0"))
        with pytest.raises(InvalidInput, match=r"prices.csv, line 2"):
            read(SCENARIO, "s.yaml", folder)

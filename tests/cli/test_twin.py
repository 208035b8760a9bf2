"""`lineshaft twin`: a scenario file runs here, side by side, and everything about it is refused in words."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import twin
from cli.listing import JsonObject
from cli.twin import app, print_answer
from factory_infra.errors import Conflict, InvalidInput

RUNNER = CliRunner()
SCENARIO = """\
name: two policies
seeds: [1, 2]
pools: [{name: simulated, nodes: 2, gpus: 8}]
workloads:
  jobs:
    - {name: wide, queue: a, hours: 2, gpus: 8, members: 2, at_hours: 0.1}
    - {name: small, queue: b, hours: 1, gpus: 4, count: 5, every_minutes: 3}
policies:
  arrival: {order: fifo, placement: first_fit}
  shortest: {order: shortest, placement: first_fit, backfill: false}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO)
    return path


class TestRun:
    def test_policies_are_laid_side_by_side(self, scenario: Path) -> None:
        done = RUNNER.invoke(app, ["run", str(scenario), "--metrics", "occupancy,queue_mean"], catch_exceptions=False)
        lines = done.stdout.splitlines()
        assert lines[0] == "simulated, mean of 2 seeds"
        assert [line.split()[0] for line in lines[1:4]] == ["scenario", "arrival", "shortest"]

    def test_json_says_that_it_is_simulated(self, scenario: Path, tmp_path: Path) -> None:
        file = tmp_path / "out" / "result.json"
        arguments = ["run", str(scenario), "--json", "--seeds", "5", "--only", "arrival", "--result", str(file)]
        printed = json.loads(RUNNER.invoke(app, arguments, catch_exceptions=False).stdout)
        assert printed["simulated"] is True
        assert [(each["scenario"], each["seed"], each["simulated"]) for each in printed["results"]] == [("arrival", 5, True)]
        assert json.loads(file.read_text()) == printed
        assert [path.name for path in file.parent.iterdir()] == ["result.json"]

    def test_a_seed_gives_the_same_again(self, scenario: Path) -> None:
        first, second = (RUNNER.invoke(app, ["run", str(scenario), "--json"], catch_exceptions=False).stdout for _ in range(2))
        assert first == second

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--only", "nobody"], "no policy 'nobody'"),
            (["--seeds", "one"], "'one' are no seeds"),
            (["--metrics", "beauty"], "no metric 'beauty'"),
        ],
    )
    def test_what_is_not_there_is_refused(self, scenario: Path, arguments: list[str], words: str) -> None:
        with pytest.raises(InvalidInput, match=words):
            RUNNER.invoke(app, ["run", str(scenario), *arguments], catch_exceptions=False)

    def test_an_unknown_key_is_refused_with_its_line(self, scenario: Path) -> None:
        scenario.write_text(SCENARIO.replace("order: fifo", "oder: fifo"))
        with pytest.raises(InvalidInput, match=r"scenario\.yaml, line 9"):
            RUNNER.invoke(app, ["run", str(scenario)], catch_exceptions=False)

    def test_it_can_be_ended(self, scenario: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*arguments: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(twin, "compare", interrupted)
        with pytest.raises(Conflict) as caught:
            RUNNER.invoke(app, ["run", str(scenario)], catch_exceptions=False)
        assert caught.value.error_code == "twin_cancelled"


class TestWhatIf:
    def test_an_answer_says_that_it_is_simulated(self, capsys: pytest.CaptureFixture[str]) -> None:
        line: JsonObject = {"lease_id": "lease-1", "queue": "a", "slots": 8, "starts_then": None, "sooner_seconds": 60.0}
        print_answer(
            {
                "as_of": "2026-01-01T00:00:00Z",
                "pools": ["twin"],
                "told": ["1 more nodes in pool twin"],
                "leases": [line],
                "others": 2,
                "others_delayed": 1,
                "figures": [{"scenario": "as it is", "occupancy": 61.234}],
            }
        )
        printed = capsys.readouterr().out
        assert printed.startswith("simulated, from 2026-01-01 00:00:00 UTC in twin")
        assert "1 of them would start later" in printed
        assert "61.2" in printed

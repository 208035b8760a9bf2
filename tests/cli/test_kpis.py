"""`lineshaft kpis`: what is asked, and how a figure is told."""

import json
from pathlib import Path

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from cli import kpis
from factory_infra.errors import InvalidInput
from factory_infra.paas.kpis.facts import measured, window
from factory_infra.paas.kpis.metrics.book import METRICS
from tests.cli.control import Answers
from tests.factory_infra.paas.kpis.life import BEGIN, lived

OVER = window(BEGIN, BEGIN.replace(year=2027))
FOUND = measured(lived(2, size=60), OVER)
FIGURES: dict[str, dict[str, JsonValue]] = {
    name: metric.of(FOUND).model_copy(update={"query": "SELECT 1"}).model_dump(mode="json") for name, metric in METRICS.items()
}
PAGE = {
    "since": "2026-01-01T00:00:00Z",
    "until": "2026-02-01T00:00:00Z",
    "log_events": 7,
    "milliseconds": 12.5,
    "kpis": list(FIGURES.values()),
}


def run(monkeypatch: pytest.MonkeyPatch, *words: str, **answers: object) -> tuple[str, Answers]:
    api = Answers({"/v1/kpis": PAGE, **{f"/v1/kpis/{name}": each for name, each in FIGURES.items()}, **answers})
    monkeypatch.setattr(kpis, "client_of", lambda _: api)
    result = CliRunner(env={"COLUMNS": "240"}).invoke(kpis.app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout, api


def test_the_page_is_a_table_and_says_of_what(monkeypatch: pytest.MonkeyPatch) -> None:
    said, api = run(monkeypatch, "list", "--since", "7d", "--until", "2026-02-01")
    assert "of 7 events" in said.replace("\n", " ")
    assert api.asked[0][2] == {"since": "2026-01-25T00:00:00+00:00", "until": "2026-02-01T00:00:00+00:00"}


def test_json_is_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(run(monkeypatch, "list", "--json")[0]) == PAGE
    assert json.loads(run(monkeypatch, "show", "node_mtbf", "--json")[0]) == FIGURES["node_mtbf"]


@pytest.mark.parametrize("name", METRICS)
def test_each_figure_is_explained(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    said = run(monkeypatch, "show", name)[0]
    assert str(FIGURES[name]["title"]) in said and "numerator" in said and "denominator" in said


def test_the_query_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "show", "availability", "--query")[0] == "SELECT 1\n"


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01", "7 weeks"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="no moment"):
        kpis.window(text, "")


def test_a_document_is_fixed_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text('{"name": "list"}')
    _, api = run(monkeypatch, "fix", str(file), **{"/v1/kpis/counterfactuals": {"digest": "d"}})
    assert api.asked == [("POST", "/v1/kpis/counterfactuals", {"name": "list"})]
    file.write_text("[]")
    with pytest.raises(InvalidInput, match="no object"):
        kpis.read(file)

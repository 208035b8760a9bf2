"""What Prometheus and Grafana are given asks for metrics that are exposed, and the rules are rules."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from factory_infra.database import utcnow
from factory_infra.paas.kpis.burn import PACES
from factory_infra.paas.kpis.exposition import exposition
from factory_infra.paas.kpis.facts import measured, window
from factory_infra.paas.kpis.metrics.book import METRICS
from factory_infra.paas.kpis.models import Burn, KpiPage
from factory_infra.paas.kpis.tables import ShownRow
from factory_infra.strict_yaml import load_strict
from tests.factory_infra.paas.kpis.life import BEGIN, DAYS, lived

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES, BOARD = DEPLOY / "prometheus" / "lineshaft.rules.yaml", DEPLOY / "grafana" / "lineshaft-kpis.json"
NAME = re.compile(r"lineshaft_[a-z_]+")


@pytest.fixture(scope="module")
def exposed() -> str:
    """What a scrape of an installation with a full log gets."""
    over = window(BEGIN, BEGIN.replace(year=2027))
    found = measured(lived(1, size=60), over)
    kpis = [metric.of(found) for metric in METRICS.values()]
    page = KpiPage(since=over.since, until=over.until, log_read_at=utcnow(), log_events=DAYS, kpis=kpis, milliseconds=1)
    burns = [
        Burn(
            objective="o",
            severity=p.severity,
            long_seconds=p.long_seconds,
            short_seconds=p.short_seconds,
            factor=p.factor,
            long=1,
            short=1,
            burning=True,
        )
        for p in PACES
    ]
    document = {"page": page.model_dump(mode="json"), "burns": [each.model_dump(mode="json") for each in burns]}
    return exposition(ShownRow(id=1, at=utcnow(), document=document)).decode()


@pytest.mark.parametrize("file", [RULES, BOARD], ids=lambda path: path.name)
def test_only_metrics_are_asked_for_that_are_exposed(file: Path, exposed: str) -> None:
    asked = set(NAME.findall(file.read_text(encoding="utf-8")))
    assert asked and all(f"# TYPE {name} gauge" in exposed for name in asked)
    assert set(re.findall(r'window=\\?"(\d+s)', file.read_text(encoding="utf-8"))) <= set(re.findall(r'window="(\d+s)"', exposed))


def test_the_rules_have_the_factors_of_the_alerts() -> None:
    found = load_strict(RULES.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    expressions = [rule["expr"] for group in found["groups"] for rule in group["rules"]]
    for pace in PACES:
        (asked,) = [each for each in expressions if f'"{pace.long_seconds}s"' in each.split("and on")[0] and "burn_rate" in each]
        assert f'"{pace.short_seconds}s"' in asked and asked.count(f"> {pace.factor:g}") == 2


def test_the_board_shows_every_figure_and_no_two_panels_lie_on_each_other() -> None:
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    text = json.dumps(board)
    assert all(f'kpi=\\"{name}\\"' in text for name in METRICS)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_takes_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr

"""Agents see the key figures for the platform only."""

from types import SimpleNamespace
from typing import cast

import pytest

from agents.wording import word
from factory_infra.errors import Forbidden
from factory_infra.factory import Factory
from factory_infra.paas.kpis.facts import measured, window
from factory_infra.paas.kpis.metrics.book import METRICS
from factory_infra.paas.kpis.models import KpiPage
from tests.factory_infra.paas.kpis.life import BEGIN, lived
from tools.kpis import ShowArguments, show
from tools.spec import ToolContext

OVER = window(BEGIN, BEGIN.replace(year=2027))


class Kpis:
    async def page(self, *asked: object) -> KpiPage:
        found = measured(lived(3, size=60), OVER)
        kpis = [metric.of(found) for metric in METRICS.values()]
        return KpiPage(since=OVER.since, until=OVER.until, log_read_at=OVER.until, log_events=1, kpis=kpis, milliseconds=1)


def context(tenant: str) -> ToolContext:
    factory = cast(Factory, SimpleNamespace(kpis=Kpis()))
    return ToolContext(factory=factory, tenant=tenant, actor="a", key="", plan_id="", agent="auditor")


async def test_the_platform_is_shown_every_figure_in_words() -> None:
    told = await show(context("platform"), ShowArguments())
    said = word("kpis.show", told.model_dump(mode="json"))
    assert len(told.kpis) == len(METRICS)
    assert "GPU occupancy" in said and "no number" in said


async def test_a_team_is_not() -> None:
    with pytest.raises(Forbidden):
        await show(context("vision"), ShowArguments())

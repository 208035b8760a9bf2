"""The newest key figures for Prometheus."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from factory_infra.database import utcnow
from factory_infra.paas.kpis.models import Burn, KpiPage
from factory_infra.paas.kpis.tables import ShownRow

WINDOW = "30d"


def exposition(kept: ShownRow | None) -> bytes:
    """What the worker kept last, in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(KpiCollector(kept))
    return generate_latest(registry)


class KpiCollector(Collector):
    """Turns what the worker kept last into metrics."""

    def __init__(self, kept: ShownRow | None) -> None:
        self._kept = kept

    def collect(self) -> Iterator[Metric]:
        """Figures, goals, bounds, parts, burn rates, and how old all of it is."""
        if self._kept is None:
            return
        document = self._kept.document
        page = KpiPage.model_validate(document["page"])
        age = GaugeMetricFamily("lineshaft_kpi_age_seconds", "Seconds since the figures were measured.")
        age.add_metric([], (utcnow() - self._kept.at).total_seconds())
        yield age
        yield from figures(page)
        told = document["burns"]
        yield from rates([Burn.model_validate(each) for each in told] if isinstance(told, list) else [])


def figures(page: KpiPage) -> Iterator[Metric]:
    """A figure without a number is absent: zero would be one."""
    named = ("value", "The figure; absent while too little has happened."), ("goal", "What is wanted of it."), ("lower", "Its lower bound.")
    for field, words in named:
        gauge = GaugeMetricFamily(f"lineshaft_kpi_{field}", words, labels=["kpi", "window"])
        for kpi in page.kpis:
            value = kpi.goal.value if field == "goal" else kpi.value if field == "value" else kpi.lower
            if value is not None:
                gauge.add_metric([kpi.name, WINDOW], value)
        yield gauge
    met = GaugeMetricFamily("lineshaft_kpi_met", "Whether the goal is met; absent where it cannot be told.", labels=["kpi", "window"])
    parts = GaugeMetricFamily("lineshaft_kpi_part_value", "The figure of a pool, a surface or a node.", labels=["kpi", "part", "window"])
    for kpi in page.kpis:
        if kpi.met is not None:
            met.add_metric([kpi.name, WINDOW], float(kpi.met))
        for part in kpi.parts:
            if part.value is not None:
                parts.add_metric([kpi.name, part.name, WINDOW], part.value)
    yield from (met, parts)


def rates(told: list[Burn]) -> Iterator[Metric]:
    """How quickly budgets of errors are used up, by window."""
    rate = GaugeMetricFamily("lineshaft_slo_burn_rate", "Share of errors over the share that is allowed.", labels=["objective", "window"])
    seen: dict[tuple[str, int], float] = {}
    for each in told:
        for seconds, value in ((each.long_seconds, each.long), (each.short_seconds, each.short)):
            if value is not None:
                seen[each.objective, seconds] = value
    for (objective, seconds), value in sorted(seen.items()):
        rate.add_metric([objective, f"{seconds}s"], value)
    burning = GaugeMetricFamily(
        "lineshaft_slo_burning", "Whether both windows of a pair are over its factor.", labels=["objective", "severity", "window"]
    )
    for each in told:
        burning.add_metric([each.objective, each.severity, f"{each.long_seconds}s"], float(each.burning))
    yield from (rate, burning)

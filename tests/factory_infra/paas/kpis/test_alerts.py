"""Alerts come when both windows burn, once; they go when the short one does not; and each says so in the log."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue
from sqlalchemy import select

from factory_infra.database import Database
from factory_infra.paas.kpis.alerts import Alerts
from factory_infra.paas.kpis.burn import PACES, WINDOWS, burns
from factory_infra.paas.kpis.exposition import exposition
from factory_infra.paas.kpis.facts import LogEvent, Window, measured
from factory_infra.paas.kpis.models import Burn
from factory_infra.paas.kpis.service import Kpis
from factory_infra.records.tables import EventRow
from tests.factory_infra.paas.kpis.logs import write

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def probes(bad: range, surface: str = "api") -> list[LogEvent]:
    """Four days of minutes until now; in those that are named, nothing was answered."""
    found = []
    for ago in range(1, 4 * 1440):
        failed = 6 if ago in bad else 0
        payload: dict[str, JsonValue] = {"surface": surface, "ok": 6 - failed, "failed": failed}
        found.append(LogEvent(f"probe-{surface}-{ago}/probed", "surface.probed", None, payload, NOW - timedelta(minutes=ago)))
    return found


def judged(events: list[LogEvent], now: datetime = NOW) -> dict[tuple[str, int], Burn]:
    found = {seconds: measured(events, Window(now - timedelta(seconds=seconds), now)) for seconds in WINDOWS}
    return {(each.objective, each.long_seconds): each for each in burns(found)}


class TestBurn:
    def test_an_outage_pages_by_both_windows(self) -> None:
        burn = judged(probes(range(1, 4)))["availability/api", 3600]
        assert burn.burning and burn.severity == "page"
        assert burn.long == pytest.approx(3 / 60 / 0.001) and burn.short == pytest.approx(3 / 5 / 0.001)

    def test_one_that_is_over_pages_no_more(self) -> None:
        burn = judged(probes(range(20, 30)))["availability/api", 3600]
        assert not burn.burning and burn.short == 0 and (burn.long or 0) > 14.4

    def test_a_slow_leak_is_a_ticket_only(self) -> None:
        found = judged(probes(range(40, 4 * 1440, 300)))
        assert not any(each.burning for (name, seconds), each in found.items() if seconds in {3600, 21_600} and name == "availability/api")
        assert found["availability/api", 259_200].burning

    def test_of_too_little_nothing_is_said(self) -> None:
        late = LogEvent("lease-1/begun", "lease.begun", "a", {"slots": 1, "provision_ms": 10**9}, NOW - timedelta(minutes=1))
        assert judged([late])["provisioning_slots", 3600].long is None

    @pytest.mark.parametrize("minutes", [2, 5, 15, 27])
    def test_one_probe_that_failed_of_a_young_log_pages_nobody(self, minutes: int) -> None:
        young = [each for each in probes(range(0)) if each.at >= NOW - timedelta(minutes=minutes)]
        failed: dict[str, JsonValue] = {"surface": "api", "ok": 5, "failed": 1}
        assert not any(each.burning for each in judged([young[0]._replace(payload=failed), *young[1:]]).values())

    @pytest.mark.parametrize("minutes", [2, 5, 15, 27])
    def test_a_surface_that_never_answered_pages_soon(self, minutes: int) -> None:
        young = [each for each in probes(range(1, 30)) if each.at >= NOW - timedelta(minutes=minutes)]
        assert judged(young)["availability/api", 3600].burning

    def test_one_wall_that_broke_is_enough(self) -> None:
        audit = LogEvent("a/audited", "isolation.audited", None, {"holds": False, "attempts": 1, "refused": 0}, NOW - timedelta(minutes=1))
        assert judged([audit])["isolation", 3600].burning

    def test_the_paces_are_those_of_the_workbook(self) -> None:
        month = 30 * 86_400
        shares = [round(pace.factor * pace.long_seconds / month, 4) for pace in PACES]
        assert shares == [0.02, 0.05, 0.1]
        assert all(pace.short_seconds == pace.long_seconds / 12 for pace in PACES)


@pytest.mark.stack
async def test_an_alert_is_raised_once_cleared_once_and_told(database: Database) -> None:
    kpis = Kpis(database)
    alerts = Alerts(database, kpis)
    await write(database, [each for each in probes(range(1, 6)) if each.at > NOW - timedelta(hours=7)])
    await kpis.aggregates.catch_up(batches=50)
    for _ in range(2):
        await alerts.look(NOW)
    standing = await kpis.alerts(open_only=True)
    assert {(each.objective, each.severity) for each in standing} == {("availability/api", "page"), ("availability/api", "ticket")}
    assert "times too quickly" in standing[0].reason
    await alerts.look(NOW + timedelta(days=5))
    await alerts.look(NOW + timedelta(days=5))
    assert not await kpis.alerts(open_only=True)
    assert len(await kpis.alerts()) == 2
    async with database.transaction() as session:
        kinds = list(await session.scalars(select(EventRow.kind).where(EventRow.kind.like("alert.%")).order_by(EventRow.id)))
    assert kinds == ["alert.raised"] * 2 + ["alert.cleared"] * 2


@pytest.mark.stack
async def test_figures_and_rates_are_exposed_and_what_has_no_number_is_absent(database: Database) -> None:
    kpis = Kpis(database)
    alerts = Alerts(database, kpis)
    assert exposition(await alerts.shown()) == b""
    await write(database, probes(range(1, 6)))
    await kpis.aggregates.catch_up(batches=50)
    burning = await alerts.look(NOW)
    for _ in range(2):
        await alerts.keep(await kpis.page(NOW - timedelta(days=30), NOW), burning)
    told = exposition(await alerts.shown()).decode()
    assert 'lineshaft_kpi_value{kpi="availability",window="30d"} 0.99' in told
    assert 'lineshaft_kpi_goal{kpi="node_mtbf",window="30d"} 1000.0' in told
    assert 'lineshaft_kpi_value{kpi="node_mtbf"' not in told
    assert 'lineshaft_slo_burning{objective="availability/api",severity="page",window="3600s"} 1.0' in told
    assert 'lineshaft_slo_burn_rate{objective="availability/api",window="300s"} 1000.0' in told

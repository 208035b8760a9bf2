"""Availability with its gaps, costs against what was fixed before, walls: by hand."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from factory_infra.paas.kpis.facts import Counterfactual, LogEvent, Window, measured
from factory_infra.paas.kpis.metrics.book import METRICS
from factory_infra.paas.kpis.metrics.promises import digest_of, hourly
from factory_infra.paas.kpis.models import Kpi

DAY = datetime(2026, 5, 1, tzinfo=UTC)
DAYS = Window(DAY, DAY + timedelta(hours=10))
LISTED: dict[str, JsonValue] = {"name": "list", "currency": "EUR", "hourly": {"gpu": 10.0}, "used_share": 0.5, "basis": ""}


def told(thing: str, what: str, minutes: float, **payload: JsonValue) -> LogEvent:
    return LogEvent(f"{thing}/{what.partition('.')[2]}", what, None, payload, DAY + timedelta(minutes=minutes))


def minutes(surface: str, bad: int = 0, missing: int = 0) -> list[LogEvent]:
    """Ten hours of probes."""
    events = [told(f"surface-{surface}", "surface.watched", 0, surface=surface)]
    for number in range(600 - missing):
        failed = 6 if number < bad else 0
        events.append(told(f"probe-{surface}-{number}", "surface.probed", number, surface=surface, ok=6 - failed, failed=failed))
    return events


def figure(name: str, events: list[LogEvent], fixed: tuple[Counterfactual, ...] = (), over: Window = DAYS) -> Kpi:
    return METRICS[name].of(measured(events, over, fixed))


class TestAvailability:
    def test_the_worst_surface_is_shown(self) -> None:
        kpi = figure("availability", minutes("api") + minutes("mcp", bad=6))
        assert kpi.value == pytest.approx(0.99) and kpi.met is False
        assert {part.name: part.value for part in kpi.parts} == {"api": 1.0, "mcp": 0.99}

    def test_a_gap_is_told_and_bounds_it_for_others_and_is_downtime_of_the_worker(self) -> None:
        kpi = figure("availability", minutes("api", missing=60) + minutes("worker", missing=60))
        parts = {part.name: part for part in kpi.parts}
        assert parts["api"].value == 1.0 and "60 min" in parts["api"].note
        assert parts["worker"].value == kpi.value == pytest.approx(0.9)
        assert kpi.lower == pytest.approx(0.9)
        assert {each.amount for each in kpi.exclusions} == {60}

    def test_a_few_probes_give_no_number(self) -> None:
        kpi = figure("availability", minutes("api", missing=500))
        assert kpi.value is None and kpi.parts[0].value is None and kpi.lower is None


def settled(count: int, subject: str = "gpu:H100:spot", currency: str = "EUR") -> list[LogEvent]:
    """Each an hour of a slot for four."""
    paid: dict[str, JsonValue] = {"subject": subject, "currency": currency, "slot_ms": 3_600_000, "amount_nano": 4 * 10**9}
    return [told(f"usage-{subject}-{currency}-{number}", "usage.settled", number, **paid) for number in range(count)]


class TestCost:
    def fixed(self, before: timedelta = timedelta(days=1), document: dict[str, JsonValue] | None = None) -> Counterfactual:
        return Counterfactual(digest_of(LISTED), DAY - before, document or LISTED)

    def test_less_than_what_was_fixed_before(self) -> None:
        kpi = figure("cost_reduction", settled(20), (self.fixed(),))
        assert kpi.value == pytest.approx(1 - 4 / 20) and kpi.met is True
        assert kpi.denominator.value == pytest.approx(20 * 20) and digest_of(LISTED)[:16] in kpi.source

    @pytest.mark.parametrize("spoilt", ["later", "changed"])
    def test_one_that_was_fixed_later_or_changed_counts_not(self, spoilt: str) -> None:
        fixed = self.fixed(-timedelta(seconds=1)) if spoilt == "later" else self.fixed(document={**LISTED, "used_share": 0.01})
        kpi = figure("cost_reduction", settled(20), (fixed,))
        assert kpi.value is None and "before this window" in kpi.note

    def test_what_it_does_not_price_is_left_out_of_both_sides(self) -> None:
        kpi = figure("cost_reduction", settled(20) + settled(3, "cpu") + settled(2, currency="USD"), (self.fixed(),))
        assert kpi.value == pytest.approx(0.8)
        assert [each.amount for each in kpi.exclusions] == [pytest.approx(20)]

    def test_the_order_of_keys_does_not_change_a_digest(self) -> None:
        assert digest_of(json.loads(json.dumps(dict(reversed(LISTED.items()))))) == digest_of(LISTED)
        assert [hourly({"gpu": 1.0, "gpu:H100": 2.0}, each) for each in ("gpu:H100:spot", "gpu:L4", "cpu")] == [2.0, 1.0, None]


class TestIsolation:
    def test_one_audit_that_did_not_hold_is_enough(self) -> None:
        audits = [told(f"audit-{n}", "isolation.audited", n, pool="p", holds=n != 3, attempts=9, refused=9 - (n == 3)) for n in range(10)]
        kpi = figure("isolation_verified", audits)
        assert kpi.value == pytest.approx(0.9) and kpi.met is False
        good = figure("isolation_verified", [each for each in audits if each.payload["holds"]])
        assert good.value == 1.0 and good.met is True
        assert figure("isolation_verified", []).value is None

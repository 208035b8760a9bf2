"""Figures of what teams do: by hand."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from factory_infra.paas.kpis.facts import LogEvent, Window, measured
from factory_infra.paas.kpis.metrics.book import METRICS
from factory_infra.paas.kpis.models import Kpi

DAY = datetime(2026, 5, 1, tzinfo=UTC)
WEEK = Window(DAY, DAY + timedelta(days=7))


def told(subject: str, what: str, hours: float, team: str | None = "vision", **payload: JsonValue) -> LogEvent:
    return LogEvent(f"{subject}/{what.partition('.')[2]}", what, team, payload, DAY + timedelta(hours=hours))


def figure(name: str, events: list[LogEvent]) -> Kpi:
    return METRICS[name].of(measured(events, WEEK))


class TestDeployments:
    def test_each_is_judged_when_its_day_is_over(self) -> None:
        events = [told(f"deployment-{n}", "deployment.live", 10 + n) for n in range(30)]
        events += [
            told("deployment-0", "deployment.rolled_back", 33.9),  # within the day
            told("deployment-1", "deployment.rolled_back", 35.1),  # after it
            told("deployment-x", "deployment.failed", 20),
            told("deployment-y", "deployment.aborted", 20),
            told("deployment-z", "deployment.live", 150),  # not judged yet
            told("deployment-w", "deployment.live", -20),  # judged within the window
        ]
        kpi = figure("deployment_success", events)
        assert (kpi.numerator.value, kpi.denominator.value) == (30, 32)
        assert [each.amount for each in kpi.exclusions] == [1]
        assert kpi.met is False


class TestSelfService:
    def test_done_without_an_administrator(self) -> None:
        events = []
        for number, (state, hands) in enumerate(
            [("done", "policy")] * 6 + [("done", "team")] * 2 + [("done", "platform"), ("failed", "team")]
        ):
            events.append(told(f"plan-{number}", "plan.closed", number, state=state, hands=hands))
        events += [
            told("plan-r", "plan.closed", 1, state="refused", hands="team"),
            told("plan-p", "plan.closed", 1, "platform", state="done"),
        ]
        kpi = figure("self_service", events)
        assert kpi.value == pytest.approx(0.8) and kpi.met is True
        assert [(each.words, each.amount) for each in kpi.exclusions] == [("plans that were refused", 1)]
        assert figure("self_service", events[:5]).value is None


class TestTeams:
    def test_teams_that_are_there_and_do_something(self) -> None:
        events = [told(f"team-{name}", "team.made", -9, name) for name in ("a", "b", "c", "d", "audit-victim")]
        events += [
            told("team-d", "team.closed", 100, "d"),
            told("lease-1", "lease.begun", 5, "a", slots=1),
            told("job-1-1", "job.started", 5, "b"),
        ]
        events += [told("lease-2", "lease.begun", 5, "d", slots=1), told("lease-3", "lease.begun", -5, "c", slots=1)]
        kpi = figure("use_across_teams", events)
        assert (kpi.numerator.value, kpi.denominator.value) == (2, 3)
        assert [part.name for part in kpi.parts] == ["c"]
        assert [each.amount for each in kpi.exclusions] == [1]


class TestCycle:
    def test_the_median_and_what_is_not_known(self) -> None:
        events = [told(f"model-{n}", "model.live", n, cycle_seconds=n * 3600) for n in range(1, 8)] + [told("model-x", "model.live", 1)]
        kpi = figure("model_cycle", events)
        assert kpi.value == pytest.approx(4.0) and kpi.met is True
        assert [each.amount for each in kpi.exclusions] == [1]

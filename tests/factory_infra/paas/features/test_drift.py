"""Monitors: checked when they are due, one alert for one drift, and another past once it is answered."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from pydantic import ValidationError

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.paas.features.drift import Drift
from factory_infra.paas.features.drift_models import Monitor, MonitorSpec, Past
from factory_infra.paas.features.models import StoredView
from factory_infra.paas.features.service import Features
from factory_infra.paas.features.training_sets import TrainingSets
from factory_infra.paas.training.pipelines.definitions import Pipelines
from factory_infra.paas.training.pipelines.models import NewTrigger
from factory_infra.paas.training.pipelines.reading import read
from factory_infra.paas.training.pipelines.runs import PipelineRuns
from factory_infra.paas.training.pipelines.triggers import PipelineTriggers
from tests.factory_infra.paas.features.conftest import NOW, row

pytestmark = pytest.mark.stack
PAST = Past(start=NOW - timedelta(days=2), end=NOW - timedelta(days=1))
SPEC = MonitorSpec(name="buyers", view="customers", features=("spent", "city"), past=PAST, window_seconds=6 * 3600, every_seconds=60)


class Answered(NamedTuple):
    """A request that was kept."""

    at: datetime
    rows: list[list[float]]
    labels: list[str]
    probabilities: list[list[float]] | None


class Log:
    """What an endpoint was asked."""

    def __init__(self) -> None:
        self.kept: list[Answered] = []

    async def recent(self, tenant: str, name: str, since: datetime, limit: int, offset: int, /) -> Sequence[Answered]:
        """Newest first."""
        found = sorted((each for each in self.kept if each.at >= since), key=lambda each: each.at, reverse=True)
        return found[offset : offset + limit]


class Clock:
    """A moment that a test moves on."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def drift(database: Database, features: Features, sets: TrainingSets, clock: Clock, log: Log) -> Drift:
    return Drift(database, features, sets, log, clock)


async def filled(features: Features, view: StoredView, key: str, hours: float, spent: float, now: datetime = NOW) -> None:
    """A hundred customers within an hour."""
    rows = [row(n, hours + n / 200, spent=spent + n % 17, city="Bern" if n % 3 else "Chur") for n in range(100)]
    await features.write(view, rows, key, now=now, online=False)


async def checked(drift: Drift, clock: Clock) -> tuple[str, str | None]:
    """A second later, the verdict, and the alert that is open then."""
    clock.now += timedelta(seconds=1)
    check, alert = await drift.check(await drift.book.get("vision", "buyers"))
    return check.verdict, alert.id if alert else None


async def test_one_drift_is_one_alert_until_it_is_gone(
    drift: Drift, features: Features, customers: StoredView, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dated(streams: dict[str, object]) -> dict[str, int | None]:
        return dict.fromkeys(streams, 40)

    monkeypatch.setattr("factory_infra.paas.features.drift.onsets", dated)
    await drift.define("vision", SPEC, "alice")
    assert await checked(drift, clock) == ("unknown", None)
    await filled(features, customers, "past", 30, 0)
    await filled(features, customers, "now", 2, 0)
    assert await checked(drift, clock) == ("stable", None)
    await filled(features, customers, "shifted", 1, 30)
    verdict, alert = await checked(drift, clock)
    assert verdict == "drifted"
    assert await checked(drift, clock) == ("drifted", alert), "the same drift has no second alert"
    [found] = await drift.book.alerts("vision")
    assert "spent" in found.reason
    assert "city" not in found.reason
    [newest, *older] = await drift.book.checks("vision", "buyers")
    assert [each.verdict for each in older] == ["drifted", "stable", "unknown"]
    assert newest.report.features[0].since is not None
    clock.now = NOW + timedelta(hours=8)
    await features.write(
        customers,
        [row(n, -7 + n / 200, spent=float(n % 17), city="Bern" if n % 3 else "Chur") for n in range(100)],
        "b",
        now=clock.now,
        online=False,
    )
    assert await checked(drift, clock) == ("stable", None)
    [closed] = await drift.book.alerts("vision", every=True)
    assert closed.closed_at == clock.now


async def test_many_checks_at_once_open_one_alert(
    drift: Drift, features: Features, customers: StoredView, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(streams: dict[str, object]) -> dict[str, int | None]:
        return {}

    monkeypatch.setattr("factory_infra.paas.features.drift.onsets", nothing)
    await filled(features, customers, "past", 30, 0)
    await filled(features, customers, "now", 1, 30)
    monitor = await drift.define("vision", SPEC, "alice")
    found = await asyncio.gather(*(drift.check(monitor) for _ in range(6)))
    assert len({alert.id for _, alert in found if alert}) == 1


async def test_since_when_is_found_by_the_stream(drift: Drift, features: Features, customers: StoredView) -> None:
    await filled(features, customers, "past", 30, 0)
    await filled(features, customers, "before", 4, 0)
    await filled(features, customers, "after", 1, 40)
    monitor = await drift.define("vision", SPEC, "alice")
    check, _ = await drift.check(monitor)
    [spent] = [each for each in check.report.features if each.feature == "spent"]
    assert spent.since is not None
    assert abs(spent.since - (NOW - timedelta(hours=1.5))) < timedelta(minutes=15)


async def test_due_ones_are_taken_once(drift: Drift, customers: StoredView) -> None:
    monitor = await drift.define("vision", SPEC, "alice")
    taken = await asyncio.gather(*(drift.book.due(monitor.due_at) for _ in range(4)))
    assert [each.name for some in taken for each in some] == ["buyers"]
    assert await drift.book.due(monitor.due_at + timedelta(seconds=59)) == []
    assert len(await drift.book.due(monitor.due_at + timedelta(seconds=60))) == 1


async def test_two_people_do_not_overwrite_each_other(drift: Drift, customers: StoredView) -> None:
    first = await drift.define("vision", SPEC, "alice")
    assert await drift.define("vision", SPEC, "bob") == first
    changed = SPEC.model_copy(update={"every_seconds": 120})
    second = await drift.define("vision", changed, "alice", first.revision)
    assert (first.revision, second.revision) == (1, 2)
    for revision in (None, first.revision):
        with pytest.raises(Conflict) as refused:
            await drift.define("vision", SPEC.model_copy(update={"window_seconds": 60}), "bob", revision)
        assert refused.value.error_code == "monitor_changed"
    assert (await drift.book.get("vision", "buyers")).every_seconds == 120


async def test_a_monitor_of_what_is_not_there_is_refused(drift: Drift, customers: StoredView) -> None:
    with pytest.raises(NotFound):
        await drift.define("language", SPEC, "alice")
    with pytest.raises(InvalidInput) as refused:
        await drift.define("vision", SPEC.model_copy(update={"features": ("nothing",)}), "alice")
    assert refused.value.error_code == "feature_unknown"
    with pytest.raises(NotFound):
        await drift.define("vision", SPEC.model_copy(update={"past": Past(set_id="set-1")}), "alice")
    for wrong in ({"view": None}, {"endpoint": "reader"}):
        with pytest.raises(ValidationError, match="a view or an endpoint"):
            MonitorSpec.model_validate({**SPEC.model_dump(), **wrong})
    with pytest.raises(ValidationError, match="set_id"):
        Past(start=NOW)


async def test_a_removed_one_is_watched_no_more(drift: Drift, features: Features, customers: StoredView) -> None:
    monitor = await drift.define("vision", SPEC, "alice")
    for _ in range(2):
        await drift.book.remove("vision", "buyers")
    assert await drift.book.list("vision") == []
    assert await drift.book.due(monitor.due_at + timedelta(days=1)) == []
    with pytest.raises(NotFound):
        await drift.book.get("vision", "buyers")
    with pytest.raises(NotFound):
        await drift.book.remove("language", "buyers")
    assert (await drift.define("vision", SPEC, "bob")).revision == 2


async def test_predictions_of_an_endpoint_are_watched(drift: Drift, log: Log) -> None:
    def asked(hours: float, label: str, number: int) -> Answered:
        return Answered(NOW - timedelta(hours=hours + number / 1000), [[number % 7, 1.0]], [label], [[0.9, 0.1]])

    log.kept = [asked(30, "cat" if n % 2 else "dog", n) for n in range(200)] + [asked(1, "cat", n) for n in range(200)]
    spec = MonitorSpec(name="answers", endpoint="reader", past=PAST, window_seconds=3 * 3600)
    monitor: Monitor = await drift.define("vision", spec, "alice")
    report = await drift.compared(monitor, NOW)
    assert (report.verdict, report.rows_before, report.rows_now) == ("drifted", 200, 200)
    assert [each.feature for each in report.features if each.drifted] == ["label"]
    assert {each.feature for each in report.features} == {"input_0", "input_1", "label", "confidence"}


async def test_the_present_begins_where_the_past_ends(drift: Drift, features: Features, customers: StoredView) -> None:
    """What a model has learnt, and what it unlearnt, is not held against it."""
    await filled(features, customers, "unlearnt", 5, 60)
    await filled(features, customers, "learnt", 3, 0)
    await filled(features, customers, "now", 1, 0)
    past = Past(start=NOW - timedelta(hours=4), end=NOW - timedelta(hours=2))
    report = await drift.compared(SPEC.model_copy(update={"past": past}), NOW, "vision")
    assert (report.verdict, report.rows_before, report.rows_now, report.start) == ("stable", 100, 100, past.end)


async def test_a_comparison_with_a_past_that_was_answered_meanwhile_opens_nothing(
    drift: Drift, features: Features, customers: StoredView
) -> None:
    await filled(features, customers, "past", 30, 0)
    await filled(features, customers, "now", 1, 30)
    old = await drift.define("vision", SPEC, "alice")
    report = await drift.compared(old.model_copy(update={"features": ("city",)}), NOW)
    check = await drift.book.keep(old, report.model_copy(update={"verdict": "drifted"}), NOW)
    await drift.book.rebase("vision", "buyers", Past(start=NOW - timedelta(hours=3), end=NOW - timedelta(hours=2)), "answered")
    assert await drift.book.alarm(old, check, NOW) is None
    assert await drift.book.alarm(await drift.book.get("vision", "buyers"), check, NOW) is not None


async def test_a_drift_that_is_found_starts_the_pipeline_that_waits_for_it_once(
    database: Database, drift: Drift, features: Features, customers: StoredView, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipelines = Pipelines(database)
    runs = PipelineRuns(database, pipelines)
    triggers = PipelineTriggers(database, pipelines, runs, b"pepper")
    text = "pipeline: retrain\nparameters: {monitor: none, alert: none}\nsteps:\n  - {id: s, argv: [/bin/echo, '${monitor}']}\n"
    await pipelines.apply("vision", read(text, "retrain.yaml"), "alice")
    monkeypatch.setattr("factory_infra.paas.training.pipelines.triggers.utcnow", lambda: NOW)
    wanted = NewTrigger(name="drift", kind="drift", monitor="buyers", overlap="allow")
    trigger = await triggers.put("vision", "retrain", wanted, ("alice", "user"))
    await drift.define("vision", SPEC, "alice")
    await filled(features, customers, "past", 30, 0)
    await filled(features, customers, "now", 2, 0)
    assert await checked(drift, clock) == ("stable", None)
    assert not await triggers.new_drift()
    await filled(features, customers, "shifted", 1, 30)
    _, alert = await checked(drift, clock)
    [(found, opened, reason)] = await triggers.new_drift()
    assert (found.id, opened) == (trigger.id, alert) and "spent" in reason
    fired = await triggers.fire(found, opened, {"alert": opened, "monitor": found.monitor})
    assert fired.outcome == "started" and not await triggers.new_drift()
    run = await runs.get(fired.run_id, "vision")
    assert run.parameters == {"monitor": "buyers", "alert": alert} and run.trigger == "drift"

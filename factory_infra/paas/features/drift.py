"""Drift: what is watched is compared with its past, and what is found becomes an alert, once until it is answered."""

import asyncio
import json
import sys
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from factory_infra.database import Database, utcnow
from factory_infra.errors import InvalidInput
from factory_infra.iaas.jobs.programs import SOURCE_ROOT
from factory_infra.paas.features.comparing import Sample, Window, compare
from factory_infra.paas.features.drift_models import Alert, Check, DriftReport, Monitor, MonitorSpec, Past
from factory_infra.paas.features.models import Feature, FeatureRow, StoredView, TrainingSet, Value
from factory_infra.paas.features.monitors import MonitorBook
from factory_infra.paas.features.predictions import PredictionLog, answered, answers_of_set, prediction_features
from factory_infra.paas.features.service import Features
from factory_infra.paas.features.set_files import read_set
from factory_infra.paas.features.training_sets import TrainingSets

ONSET = "factory_infra.paas.features.programs.onset"
ONSET_SECONDS_MAX = 120.0
ONSETS_MAX = 20


class Sides(NamedTuple):
    """What is compared: the past, and the present with the moment of each row."""

    features: list[Feature]
    before: Sample
    present: Sample
    moments: list[datetime]
    window: Window


class Clock(Protocol):
    """The present moment."""

    def __call__(self) -> datetime:
        """The moment, with its zone."""
        ...


class Drift:
    """Checks monitors.

    Args:
        database: monitors, checks, alerts.
        features: the views that are watched.
        sets: the training sets that the present is compared with.
        predictions: what endpoints were asked and answered.
        clock: the present moment.
    """

    def __init__(
        self, database: Database, features: Features, sets: TrainingSets, predictions: PredictionLog, clock: Clock = utcnow
    ) -> None:
        self.book = MonitorBook(database)
        self._features = features
        self._sets = sets
        self._predictions = predictions
        self._clock = clock

    async def define(self, tenant: str, spec: MonitorSpec, by: str, revision: int | None = None) -> Monitor:
        """Keep a monitor whose view, features and past there are. Raises NotFound, InvalidInput, Conflict."""
        if spec.view is not None:
            await self._watched(tenant, spec)
        if spec.past.set_id:
            await self._sets.get(tenant, spec.past.set_id)
        return await self.book.define(tenant, spec, by, revision)

    async def rebase(self, tenant: str, name: str, set_id: str, because: str) -> Monitor:
        """Compare with a training set from now on, and close what is open. Raises NotFound."""
        await self._sets.get(tenant, set_id)
        return await self.book.rebase(tenant, name, Past(set_id=set_id), because)

    async def check(self, monitor: Monitor) -> tuple[Check, Alert | None]:
        """Compare now and keep what was found; return it with the alert that is open then."""
        now = self._clock()
        report = await self.compared(monitor, now)
        check = await self.book.keep(monitor, report, now)
        return check, await self.book.alarm(monitor, check, now)

    async def compared(self, monitor: MonitorSpec | Monitor, now: datetime, tenant: str = "") -> DriftReport:
        """Compare and keep nothing. Raises NotFound, InvalidInput, Conflict where a file changed.

        The present begins where the past ends: what a model has learnt is not compared with itself, nor with what it unlearnt.
        """
        team = monitor.tenant if isinstance(monitor, Monitor) else tenant
        sides = await (self._of_view(team, monitor, now) if monitor.view is not None else self._of_endpoint(team, monitor, now))
        features = [each for each in sides.features if not monitor.features or each.name in monitor.features]
        report = await asyncio.to_thread(compare, features, sides.before, sides.present, monitor.thresholds, sides.window, monitor.rows_min)
        if report.verdict == "drifted":
            await dated(report, sides)
        return report

    async def _of_view(self, tenant: str, monitor: MonitorSpec, now: datetime) -> Sides:
        """What was written to a view, lately and before."""
        view, features = await self._watched(tenant, monitor)
        before, end = await self._past(tenant, monitor, view, features)
        window = window_of(monitor, now, end)
        rows = await self._features.history(view, window.start, window.end, monitor.rows_max)
        return Sides(features, before, sample_of(features, rows), [row.event_at for row in rows], window)

    async def _watched(self, tenant: str, monitor: MonitorSpec) -> tuple[StoredView, list[Feature]]:
        """The view and the features that are watched. Raises NotFound, InvalidInput."""
        name, _, version = (monitor.view or "").partition(":")[0].partition("@")
        view = await self._features.get(tenant, name, int(version) if version else None)
        strangers = sorted({*monitor.features} - {each.name for each in view.features})
        if strangers:
            raise InvalidInput(f"{view.title} has no feature {strangers[0]}.", remedy="Watch those that it has.", code="feature_unknown")
        return view, [each for each in view.features if not monitor.features or each.name in monitor.features]

    async def _past(self, tenant: str, monitor: MonitorSpec, view: StoredView, features: list[Feature]) -> tuple[Sample, datetime]:
        """The past of a view, and when it ends."""
        past = monitor.past
        if past.start is not None and past.end is not None:
            return sample_of(features, await self._features.history(view, past.start, past.end, monitor.rows_max)), past.end
        kept = await self._sets.get(tenant, past.set_id)
        lacking = [each.name for each in features if f"{view.name}__{each.name}" not in kept.features]
        if lacking:
            raise InvalidInput(
                f"Training set {kept.id} has no {view.name}:{lacking[0]}.", remedy="Watch what it has, or compare with a window."
            )
        rows = await asyncio.to_thread(read_set, kept)
        columns = {each.name: rows.columns[f"{view.name}__{each.name}"][-monitor.rows_max :] for each in features}
        return Sample(min(kept.rows, monitor.rows_max), columns), rows.end

    async def _of_endpoint(self, tenant: str, monitor: MonitorSpec, now: datetime) -> Sides:
        """What an endpoint was asked and answered, lately and before."""
        endpoint, past = monitor.endpoint or "", monitor.past
        if past.start is not None and past.end is not None:
            end = past.end
            before = await answered(self._predictions, tenant, endpoint, Window(past.start, past.end), monitor.rows_max)
        else:
            kept: TrainingSet = await self._sets.get(tenant, past.set_id)
            rows_of_past = await asyncio.to_thread(read_set, kept)
            before, end = answers_of_set(rows_of_past, kept, monitor.rows_max), rows_of_past.end
        window = window_of(monitor, now, end)
        rows = await answered(self._predictions, tenant, endpoint, window, monitor.rows_max)
        features = prediction_features(before, rows)
        return Sides(features, sample_of(features, before), sample_of(features, rows), [row.event_at for row in rows], window)


def window_of(monitor: MonitorSpec, now: datetime, past_end: datetime) -> Window:
    """The present: so far back as the monitor reaches, but not into the past."""
    return Window(min(max(now - timedelta(seconds=monitor.window_seconds), past_end), now), now)


def sample_of(features: list[Feature], rows: list[FeatureRow]) -> Sample:
    """Rows as columns."""
    columns: dict[str, list[Value]] = {each.name: [row.values.get(each.name) for row in rows] for each in features}
    return Sample(len(rows), columns)


async def dated(report: DriftReport, found_in: Sides) -> None:
    """Say of the features that drifted furthest since about when; where that cannot be told, nothing is said."""
    furthest = sorted(
        (each for each in report.features if each.drifted and each.kind in {"int", "float"}), key=lambda each: -(each.psi or 0)
    )
    streams = {}
    for each in furthest[:ONSETS_MAX]:
        sides = [
            [float(value) for value in side.values[each.feature] if isinstance(value, int | float)]
            for side in (found_in.before, found_in.present)
        ]
        if len(sides[1]) == len(found_in.moments):
            streams[each.feature] = sides
    if not streams:
        return
    found = await onsets(streams)
    for each in furthest:
        position = found.get(each.feature)
        if position is not None:
            each.since = found_in.moments[min(position, len(found_in.moments) - 1)]


async def onsets(streams: dict[str, list[list[float]]]) -> dict[str, int | None]:
    """Where each stream changed, by a process that loads River; nothing where it fails, for drift is told all the same."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", ONSET, cwd=SOURCE_ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(ONSET_SECONDS_MAX):
            told, _ = await process.communicate(json.dumps(streams).encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        return {}
    if process.returncode:
        return {}
    found: dict[str, int | None] = json.loads(told)
    return found

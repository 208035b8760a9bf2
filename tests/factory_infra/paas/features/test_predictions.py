"""What an endpoint was asked and answered, from its own log: as many pages as there are, and nothing where nothing is kept."""

from datetime import timedelta

import pytest

from factory_infra.database import utcnow
from factory_infra.errors import NotFound
from factory_infra.factory import Factory
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.deployments.traffic_tables import RequestRow
from factory_infra.paas.features.drift_models import MonitorSpec, Past
from factory_infra.saas.models.transcripts.seal import seal_of
from factory_infra.settings import Settings
from tests.parts import factory_with_slots

pytestmark = pytest.mark.stack
NOW = utcnow()
SPEC = MonitorSpec(
    name="answers", endpoint="reader", window_seconds=3600, past=Past(start=NOW - timedelta(days=2), end=NOW - timedelta(days=1))
)


async def kept(factory: Factory, settings: Settings) -> None:
    """Three hundred requests of yesterday, of cats and dogs, and as many of just now, of cats."""
    seal = seal_of(settings)
    async with factory.database.transaction() as session:
        known = {"tenant": "vision", "name": "reader", "model_name": "m", "version": 1}
        session.add(EndpointRow(**known, previous=[], state="live", job_id="j", port=1))
        await session.flush()
        for number in range(600):
            label = "cat" if number < 300 or number % 2 else "dog"
            at = NOW - timedelta(minutes=10 if number < 300 else 60 * 30) + timedelta(milliseconds=number)
            value = seal.close("vision", f"rq-{number}", {"rows": [[number % 7 * 1.0]], "labels": [label], "probabilities": None})
            session.add(RequestRow(id=f"rq-{number}", **known, at=at, expires_at=NOW + timedelta(days=1), sealed=value))


async def test_predictions_that_changed_are_drift(connected: Settings) -> None:
    factory = factory_with_slots(connected, 1)
    monitor = await factory.drift.define("vision", SPEC, "alice")
    with pytest.raises(NotFound):
        await factory.drift.compared(monitor, NOW)
    await kept(factory, connected)
    report = await factory.drift.compared(monitor, NOW)
    assert (report.verdict, report.rows_before, report.rows_now) == ("drifted", 300, 300)
    assert [each.feature for each in report.features if each.drifted] == ["label"]
    await factory.close()

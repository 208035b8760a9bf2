"""Activities of the look for drift: which monitors are due, what they find, and what follows."""

from temporalio import activity

from factory_infra.database import utcnow
from factory_infra.errors import NotFound
from factory_infra.factory import Factory
from workflows.activities.beating import beating
from workflows.activities.context import translated
from workflows.drifting import Answer, Answers, Comparison, DriftInput, DueMonitors, MonitorName
from workflows.proposal import Starter
from workflows.retraining import answer


class DriftActivities:
    """Compares and proposes. Run twice nothing happens twice: one alert is open at a time, and its plan has its id."""

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._factory: Factory = starter.factory

    @activity.defn(name="due_monitors")
    @translated
    async def due(self, request: DriftInput) -> DueMonitors:
        """Take the monitors whose time has come."""
        found = await self._factory.drift.book.due(utcnow(), request.monitors_max)
        return DueMonitors(monitors=[MonitorName(tenant=each.tenant, name=each.name) for each in found])

    @activity.defn(name="check_monitor")
    @translated
    async def check(self, request: MonitorName) -> Comparison:
        """Compare one; drift opens its alert."""
        async with beating():
            try:
                monitor = await self._factory.drift.book.get(request.tenant, request.name)
            except NotFound:  # removed meanwhile
                return Comparison(tenant=request.tenant, name=request.name)
            check, alert = await self._factory.drift.check(monitor)
            return Comparison(
                tenant=request.tenant, name=request.name, verdict=check.verdict, alert_id=alert.id if alert is not None else ""
            )

    @activity.defn(name="answer_drift")
    @translated
    async def answer(self) -> Answers:
        """Tell of every open alert without a plan, and propose one where its monitor says which."""
        answers = []
        async with beating():
            for alert, monitor in await self._factory.drift.book.planless():
                told = await answer(self._starter, alert, monitor)
                answers.append(Answer(alert_id=told.id, plan_id=told.plan_id))
        return Answers(answers=answers)

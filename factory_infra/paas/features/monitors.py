"""Monitors, their checks and their alerts, as they are kept."""

import builtins
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, NotFound
from factory_infra.paas.features.drift_models import Alert, Check, DriftReport, Monitor, MonitorSpec, Past
from factory_infra.paas.features.tables import AlertRow, CheckRow, MonitorRow

CHECKS_KEPT = 1_000
"""Of a monitor; older ones are forgotten."""
RETRY = timedelta(seconds=60)


class MonitorBook:
    """Keeps what is watched and what was found."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def define(self, tenant: str, spec: MonitorSpec, by: str, revision: int | None = None) -> Monitor:
        """Keep a monitor; an equal one is left as it is.

        Args:
            tenant: whose.
            spec: what it watches.
            by: who asks.
            revision: of a change: the revision that was read. Raises Conflict `monitor_changed` where it is another by now.
        """
        definition = spec.model_dump(mode="json")
        async with self._database.transaction(lock=f"drift-monitor:{tenant}/{spec.name}") as session:
            row = await session.get(MonitorRow, (tenant, spec.name))
            if row is None:
                row = MonitorRow(tenant=tenant, name=spec.name, revision=0, checked_at=None, verdict="", created_by=by[:128])
                session.add(row)
            elif row.enabled and row.definition == definition:
                return monitor_of(row)
            elif row.revision != revision and row.enabled:
                raise Conflict(
                    f"Monitor {spec.name} is at revision {row.revision}, not {revision or 'new'}.",
                    remedy="Read it, and change what you read; or take another name.",
                    code="monitor_changed",
                )
            row.definition, row.revision, row.enabled = definition, row.revision + 1, True
            row.due_at = row.updated_at = utcnow()
            return monitor_of(row)

    async def get(self, tenant: str, name: str) -> Monitor:
        """Return a monitor. Raises NotFound, also for another team's and for one that was removed."""
        async with self._database.transaction() as session:
            return monitor_of(await found(session, tenant, name))

    async def list(self, tenant: str | None, limit: int = 100, offset: int = 0) -> list[Monitor]:
        """Return monitors by team and name."""
        query = select(MonitorRow).where(MonitorRow.enabled).order_by(MonitorRow.tenant, MonitorRow.name).limit(limit).offset(offset)
        if tenant is not None:
            query = query.where(MonitorRow.tenant == tenant)
        async with self._database.transaction() as session:
            return [monitor_of(row) for row in await session.scalars(query)]

    async def remove(self, tenant: str, name: str) -> None:
        """Watch no more; an open alert is closed, what was found stays. Idempotent. Raises NotFound where there never was one."""
        async with self._database.transaction(lock=f"drift-monitor:{tenant}/{name}") as session:
            row = await session.get(MonitorRow, (tenant, name))
            if row is None:
                raise unknown(tenant, name)
            row.enabled, row.updated_at = False, utcnow()
            await close_open(session, tenant, name, "The monitor was removed.")

    async def rebase(self, tenant: str, name: str, past: Past, because: str) -> Monitor:
        """Compare with another past from now on, and close what is open: a model of that past answers now. Idempotent."""
        async with self._database.transaction(lock=f"drift-monitor:{tenant}/{name}") as session:
            row = await found(session, tenant, name)
            definition = MonitorSpec.model_validate(row.definition).model_copy(update={"past": past}).model_dump(mode="json")
            if row.definition != definition:
                row.definition, row.revision, row.updated_at = definition, row.revision + 1, utcnow()
            await close_open(session, tenant, name, because)
            return monitor_of(row)

    async def due(self, now: datetime, limit: int = 20) -> builtins.list[Monitor]:
        """Take monitors whose time has come, each by one asker only: they are due again after their interval, done or not."""
        query = select(MonitorRow).where(MonitorRow.enabled, MonitorRow.due_at <= now).order_by(MonitorRow.due_at).limit(limit)
        async with self._database.transaction() as session:
            taken = []
            for row in await session.scalars(query.with_for_update(skip_locked=True)):
                monitor = monitor_of(row)
                row.due_at = now + timedelta(seconds=monitor.every_seconds)
                taken.append(monitor)
            return taken

    async def keep(self, monitor: Monitor, report: DriftReport, now: datetime) -> Check:
        """Keep what was found."""
        check = CheckRow(
            id=f"check-{uuid.uuid4().hex}",
            tenant=monitor.tenant,
            monitor=monitor.name,
            at=now,
            verdict=report.verdict,
            report=report.model_dump(mode="json"),
        )
        async with self._database.transaction() as session:
            session.add(check)
            row = await session.get(MonitorRow, (monitor.tenant, monitor.name))
            if row is not None:
                row.checked_at, row.verdict = now, report.verdict
            own = (CheckRow.tenant == monitor.tenant) & (CheckRow.monitor == monitor.name)
            oldest = select(CheckRow.at).where(own).order_by(CheckRow.at.desc()).offset(CHECKS_KEPT).limit(1).scalar_subquery()
            await session.execute(delete(CheckRow).where(own, CheckRow.at <= oldest))
            return check_of(check)

    async def checks(self, tenant: str, name: str, limit: int = 100, offset: int = 0) -> builtins.list[Check]:
        """Return what was found, newest first. Raises NotFound."""
        query = select(CheckRow).where(CheckRow.tenant == tenant, CheckRow.monitor == name).order_by(CheckRow.at.desc(), CheckRow.id)
        async with self._database.transaction() as session:
            await found(session, tenant, name)
            return [check_of(row) for row in await session.scalars(query.limit(limit).offset(offset))]

    async def alarm(self, monitor: Monitor, check: Check, now: datetime) -> Alert | None:
        """Open an alert for drift, or close the open one once it is gone; return the alert that is open then.

        While one is open its drift is known: nothing new is opened, so that one drift has one plan. What was compared by a revision that
        is not the present one says nothing: its past may have been answered meanwhile.
        """
        async with self._database.transaction(lock=f"drift-monitor:{monitor.tenant}/{monitor.name}") as session:
            row = await open_alert(session, monitor.tenant, monitor.name)
            now_kept = await session.get(MonitorRow, (monitor.tenant, monitor.name))
            if now_kept is None or not now_kept.enabled or now_kept.revision != monitor.revision:
                return alert_of(row) if row is not None else None
            if check.verdict == "stable" and row is not None:
                row.closed_at, row.closed_because = now, "A later check found no drift."
                return None
            if check.verdict == "drifted" and row is None:
                row = AlertRow(
                    id=f"drift-{uuid.uuid4().hex[:16]}",
                    tenant=monitor.tenant,
                    monitor=monitor.name,
                    check_id=check.id,
                    reason=check.report.reason[:1000],
                    plan_id="",
                    opened_at=now,
                    closed_at=None,
                    closed_because="",
                )
                session.add(row)
            return alert_of(row) if row is not None else None

    async def planned(self, alert_id: str, plan_id: str) -> None:
        """Note which plan answers an alert."""
        async with self._database.transaction() as session:
            row = await session.get(AlertRow, alert_id)
            if row is not None:
                row.plan_id = plan_id

    async def alerts(self, tenant: str | None, *, every: bool = False, limit: int = 100, offset: int = 0) -> builtins.list[Alert]:
        """Return alerts, newest first.

        Args:
            tenant: whose; None for all teams'.
            every: closed ones too.
            limit: at most so many.
            offset: leave out so many.
        """
        query = select(AlertRow).order_by(AlertRow.opened_at.desc(), AlertRow.id).limit(limit).offset(offset)
        if tenant is not None:
            query = query.where(AlertRow.tenant == tenant)
        if not every:
            query = query.where(AlertRow.closed_at.is_(None))
        async with self._database.transaction() as session:
            return [alert_of(row) for row in await session.scalars(query)]

    async def planless(self) -> Sequence[tuple[Alert, Monitor]]:
        """Open alerts without a plan, with their monitors: what a crash left half done is found here."""
        query = select(AlertRow, MonitorRow).join(
            MonitorRow, (MonitorRow.tenant == AlertRow.tenant) & (MonitorRow.name == AlertRow.monitor)
        )
        query = query.where(AlertRow.closed_at.is_(None), AlertRow.plan_id == "", MonitorRow.enabled)
        async with self._database.transaction() as session:
            return [(alert_of(alert), monitor_of(row)) for alert, row in await session.execute(query.order_by(AlertRow.opened_at))]


async def found(session: AsyncSession, tenant: str, name: str) -> MonitorRow:
    """A monitor's row. Raises NotFound."""
    row = await session.get(MonitorRow, (tenant, name))
    if row is None or not row.enabled:
        raise unknown(tenant, name)
    return row


def unknown(tenant: str, name: str) -> NotFound:
    """Say that there is no such monitor."""
    return NotFound(f"Team {tenant} has no drift monitor {name[:40]}.", remedy="List the monitors.", code="monitor_unknown")


async def open_alert(session: AsyncSession, tenant: str, name: str) -> AlertRow | None:
    """A monitor's open alert, None where none is open."""
    query = select(AlertRow).where(AlertRow.tenant == tenant, AlertRow.monitor == name, AlertRow.closed_at.is_(None))
    row: AlertRow | None = await session.scalar(query)
    return row


async def close_open(session: AsyncSession, tenant: str, name: str, because: str) -> None:
    """Close a monitor's open alert, if there is one."""
    row = await open_alert(session, tenant, name)
    if row is not None:
        row.closed_at, row.closed_because = utcnow(), because[:400]


def monitor_of(row: MonitorRow) -> Monitor:
    """Shape a row for callers."""
    kept = {name: getattr(row, name) for name in ("tenant", "revision", "enabled", "due_at", "checked_at", "verdict", "created_by")}
    return Monitor.model_validate({**row.definition, **kept, "updated_at": row.updated_at})


def check_of(row: CheckRow) -> Check:
    """Shape a row for callers."""
    return Check.model_validate({name: getattr(row, name) for name in Check.model_fields})


def alert_of(row: AlertRow) -> Alert:
    """Shape a row for callers."""
    return Alert(**{name: getattr(row, name) for name in Alert.model_fields})

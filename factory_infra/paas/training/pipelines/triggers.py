"""What starts runs by itself: the clock, new data, drift, a push. Each firing is kept, and starts one run however often it is told."""

import builtins
import uuid
from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, LineshaftError, NotFound
from factory_infra.paas.features.tables import AlertRow
from factory_infra.paas.training.data.tables import DatasetVersionRow
from factory_infra.paas.training.pipelines.cron import check_schedule
from factory_infra.paas.training.pipelines.definitions import Pipelines
from factory_infra.paas.training.pipelines.hooks import secret_of
from factory_infra.paas.training.pipelines.models import Firing, NewRun, NewTrigger, PipelineRun, Trigger
from factory_infra.paas.training.pipelines.runs import PipelineRuns, run_id
from factory_infra.paas.training.pipelines.spec import Scalar
from factory_infra.paas.training.pipelines.tables import FiringRow, TriggerRow

TRIGGERS_MAX = 50
"""Of one pipeline."""


class PipelineTriggers:
    """Keeps triggers and fires them.

    Args:
        database: where.
        pipelines: whose they are.
        runs: what they start.
        pepper: what secrets of webhooks are derived from.
    """

    def __init__(self, database: Database, pipelines: Pipelines, runs: PipelineRuns, pepper: bytes) -> None:
        self._database = database
        self._pipelines = pipelines
        self._runs = runs
        self._pepper = pepper

    async def put(self, tenant: str, pipeline: str, wanted: NewTrigger, who: tuple[str, str]) -> Trigger:
        """Make a trigger, or change it; its runs are asked for by whoever did last, with their role.

        Raises NotFound `pipeline_unknown`, InvalidInput `schedule_invalid`, `trigger_invalid`, and for parameters.
        """
        check_trigger(wanted)
        version = await self._pipelines.get(tenant, pipeline)
        self._pipelines.defined(version, {**wanted.parameters}, stand_ins=True)
        async with self._database.transaction(lock=f"pipeline-triggers:{tenant}/{pipeline}") as session:
            mine = select(TriggerRow).where(TriggerRow.tenant == tenant, TriggerRow.pipeline == pipeline)
            rows = builtins.list(await session.scalars(mine))
            row = next((each for each in rows if each.name == wanted.name), None)
            if row is not None and row.kind != wanted.kind and row.enabled:
                raise Conflict(f"Trigger {wanted.name} is of kind {row.kind}.", remedy="Remove it first, or choose another name.")
            if row is None:
                if len(rows) >= TRIGGERS_MAX:
                    raise InvalidInput(f"A pipeline has at most {TRIGGERS_MAX} triggers.", remedy="Remove one.")
                row = TriggerRow(id=f"tr-{uuid.uuid4().hex[:20]}", tenant=tenant, pipeline=pipeline, name=wanted.name, generation=1)
                row.revision = row.scheduled = row.cursor = 0
                row.created_at = utcnow()
                session.add(row)
            if not row.enabled:
                row.created_at = utcnow()  # what happened while it was not there starts nothing
            row.kind, row.enabled, row.definition = wanted.kind, True, wanted.model_dump(mode="json")
            row.revision += 1
            row.actor, row.role = who[0][:128], who[1]
            return shaped(row)

    def secret(self, trigger: Trigger) -> str:
        """What a push to this trigger is signed with."""
        return secret_of(self._pepper, trigger.id, trigger.generation)

    async def rotate(self, trigger: Trigger) -> Trigger:
        """Make its secret anew: what is signed with the old one is refused from now on."""
        async with self._database.transaction() as session:
            row = await session.get_one(TriggerRow, trigger.id, with_for_update=True)
            row.generation += 1
            return shaped(row)

    async def get(self, tenant: str | None, trigger_id: str) -> Trigger:
        """Return a trigger in use. Raises NotFound `trigger_unknown`, also for another team's."""
        async with self._database.transaction() as session:
            row = await session.get(TriggerRow, trigger_id)
        if row is None or not row.enabled or (tenant is not None and row.tenant != tenant):
            remedy = "List them: lineshaft pipelines triggers PIPELINE."
            raise NotFound(f"There is no trigger {trigger_id[:64]}.", remedy=remedy, code="trigger_unknown")
        return shaped(row)

    async def list(self, tenant: str | None, pipeline: str | None = None, limit: int = 100, offset: int = 0) -> builtins.list[Trigger]:
        """Return triggers in use, by team, pipeline and name."""
        query = select(TriggerRow).where(TriggerRow.enabled).order_by(TriggerRow.tenant, TriggerRow.pipeline, TriggerRow.name)
        query = query.where(TriggerRow.tenant == tenant) if tenant is not None else query
        query = query.where(TriggerRow.pipeline == pipeline) if pipeline is not None else query
        async with self._database.transaction() as session:
            return [shaped(row) for row in await session.scalars(query.limit(limit).offset(offset))]

    async def remove(self, trigger: Trigger) -> None:
        """Take a trigger out of use; what it started stays, and its secret opens nothing any more."""
        async with self._database.transaction() as session:
            row = await session.get_one(TriggerRow, trigger.id, with_for_update=True)
            row.enabled = False
            row.revision += 1
            row.generation += 1

    async def firings(self, trigger_id: str, limit: int = 100, offset: int = 0) -> builtins.list[Firing]:
        """Return when it fired and what came of it, newest first. The caller has shown that it may be seen."""
        query = select(FiringRow).where(FiringRow.trigger_id == trigger_id).order_by(FiringRow.at.desc(), FiringRow.key)
        async with self._database.transaction() as session:
            return [Firing.model_validate(row) for row in await session.scalars(query.limit(limit).offset(offset))]

    async def fire(self, trigger: Trigger, key: str, found: dict[str, Scalar]) -> Firing:
        """Start a run, once for the key. A trigger whose run is not over starts none, where it says so; what refuses a run is kept too.

        Args:
            trigger: which.
            key: what happened: the same key is the same firing.
            found: what is known of it; it fills the parameters of the same names that the pipeline declares.
        """
        async with self._database.transaction(lock=f"pipeline-trigger:{trigger.id}") as session:
            row = await session.get(FiringRow, (trigger.id, key[:128]))
        if row is not None:
            return Firing.model_validate(row)
        running = await self._runs.open_of(trigger.id) if trigger.overlap == "skip" else None
        if running is not None and running.id != run_id(trigger.tenant, run_key(trigger, key)):
            return await self._keep(trigger, key, ("skipped", running.id, f"Run {running.id} is not over."))
        try:
            run = await self._started(trigger, key, found)
        except LineshaftError as error:
            if error.retryable:
                raise
            return await self._keep(trigger, key, ("refused", "", f"{error.error_code}: {error.reason} {error.remedy}"))
        return await self._keep(trigger, key, ("started", run.id, ""))

    async def ignore(self, trigger: Trigger, key: str, reason: str) -> Firing:
        """Keep that something was told and starts nothing."""
        return await self._keep(trigger, key, ("ignored", "", reason))

    async def _started(self, trigger: Trigger, key: str, found: dict[str, Scalar]) -> PipelineRun:
        version = await self._pipelines.get(trigger.tenant, trigger.pipeline)
        declared = version.document.get("parameters")
        names = set(declared) if isinstance(declared, dict) else set()
        told = {name: value for name, value in found.items() if name in names}
        return await self._runs.ask(
            NewRun(
                tenant=trigger.tenant,
                pipeline=trigger.pipeline,
                parameters={**trigger.parameters, **told},
                key=run_key(trigger, key),
                actor=trigger.actor,
                role=trigger.role,
                trigger=trigger.kind,
                trigger_id=trigger.id,
            )
        )

    async def _keep(self, trigger: Trigger, key: str, came: tuple[str, str, str]) -> Firing:
        """Write a firing down; one of this key that is there already is returned as it was."""
        outcome, run_id, reason = came
        values = {"trigger_id": trigger.id, "key": key[:128], "tenant": trigger.tenant, "at": utcnow()}
        said = {"outcome": outcome, "run_id": run_id, "reason": reason[:500]}
        async with self._database.transaction() as session:
            await session.execute(insert(FiringRow).values({**values, **said}).on_conflict_do_nothing())
            return Firing.model_validate(await session.get_one(FiringRow, (trigger.id, key[:128])))

    async def unscheduled(self) -> Sequence[tuple[Trigger, bool, int]]:
        """Triggers by the clock that the clock does not know as they are: each with whether it is in use, and its revision."""
        query = select(TriggerRow).where(TriggerRow.kind == "schedule", TriggerRow.scheduled != TriggerRow.revision).limit(50)
        async with self._database.transaction() as session:
            return [(shaped(row), row.enabled, row.revision) for row in await session.scalars(query)]

    async def scheduled(self, trigger_id: str, revision: int) -> None:
        """Note which revision the clock knows now."""
        async with self._database.transaction() as session:
            await session.execute(update(TriggerRow).where(TriggerRow.id == trigger_id).values(scheduled=revision))

    async def new_data(self) -> Sequence[tuple[Trigger, int]]:
        """Versions of datasets that came since their triggers were made and have not fired, oldest first."""
        name, key = TriggerRow.definition["dataset"].astext, func.concat("version/", DatasetVersionRow.version)
        fired = select(FiringRow.key).where(FiringRow.trigger_id == TriggerRow.id, FiringRow.key == key)
        query = (
            select(TriggerRow, DatasetVersionRow.version)
            .join(DatasetVersionRow, (DatasetVersionRow.tenant == TriggerRow.tenant) & (DatasetVersionRow.name == name))
            .where(TriggerRow.kind == "data", TriggerRow.enabled, DatasetVersionRow.created_at > TriggerRow.created_at)
            .where(~fired.correlate(TriggerRow, DatasetVersionRow).exists())
            .order_by(DatasetVersionRow.created_at)
            .limit(50)
        )
        async with self._database.transaction() as session:
            return [(shaped(row), int(version)) for row, version in await session.execute(query)]

    async def new_drift(self) -> Sequence[tuple[Trigger, str, str]]:
        """Alerts that were opened since their triggers were made and have not fired: trigger, alert, reason; oldest first."""
        fired = select(FiringRow.key).where(FiringRow.trigger_id == TriggerRow.id, FiringRow.key == AlertRow.id)
        monitor = TriggerRow.definition["monitor"].astext
        query = (
            select(TriggerRow, AlertRow)
            .join(AlertRow, (AlertRow.tenant == TriggerRow.tenant) & (AlertRow.monitor == monitor))
            .where(
                TriggerRow.kind == "drift",
                TriggerRow.enabled,
                AlertRow.opened_at > TriggerRow.created_at,
                ~fired.correlate(TriggerRow, AlertRow).exists(),
            )
            .order_by(AlertRow.opened_at)
            .limit(50)
        )
        async with self._database.transaction() as session:
            return [(shaped(row), alert.id, alert.reason) for row, alert in await session.execute(query)]


def run_key(trigger: Trigger, key: str) -> str:
    """What a trigger's run is asked for by."""
    return f"{trigger.id}/{key}"[:255]


def check_trigger(wanted: NewTrigger) -> None:
    """Raise InvalidInput for a trigger that could not fire, or that says what its kind does not know."""
    said = {"schedule": wanted.schedule is not None, "data": bool(wanted.dataset), "drift": bool(wanted.monitor)}
    if wanted.kind != "push" and not said[wanted.kind]:
        needed = {"schedule": "schedule", "data": "dataset", "drift": "monitor"}[wanted.kind]
        raise InvalidInput(f"A trigger of kind {wanted.kind} needs '{needed}'.", remedy="Give it.", code="trigger_invalid")
    strangers = [kind for kind, given in said.items() if given and kind != wanted.kind]
    if strangers or (wanted.branch and wanted.kind != "push"):
        raise InvalidInput(
            f"A trigger of kind {wanted.kind} knows nothing of {', '.join(strangers) or 'branch'}.",
            remedy="Leave it out, or make two triggers.",
            code="trigger_invalid",
        )
    if wanted.schedule is not None:
        check_schedule(wanted.schedule)


def shaped(row: TriggerRow) -> Trigger:
    """Shape a row for callers."""
    kept = {name: getattr(row, name) for name in ("id", "tenant", "pipeline", "enabled", "generation", "actor", "role", "created_at")}
    return Trigger.model_validate({**row.definition, **kept})

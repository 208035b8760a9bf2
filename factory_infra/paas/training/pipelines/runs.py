"""Runs of pipelines: asked for once under a key, moved by their workflow, told step by step."""

import builtins
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningUpdate

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, NotFound
from factory_infra.paas.training.pipelines.definitions import Pipelines
from factory_infra.paas.training.pipelines.models import (
    OPEN,
    Kept,
    NewRun,
    PipelineRun,
    PipelineVersion,
    RunState,
    RunStep,
    StepState,
)
from factory_infra.paas.training.pipelines.tables import CacheRow, RunRow, StepRow

CANCELLING = "cancelling"
"""The code of a run whose end was asked for by a tool."""
OPEN_STATES = tuple(state.value for state in OPEN)


class PipelineRuns:
    """Keeps runs, their steps, and what steps left.

    Args:
        database: where.
        pipelines: whose versions are run.
    """

    def __init__(self, database: Database, pipelines: Pipelines) -> None:
        self._database = database
        self._pipelines = pipelines

    async def ask(self, wanted: NewRun) -> PipelineRun:
        """Keep a run that is asked for; the same key is the same run. The worker starts it.

        Raises NotFound `pipeline_unknown`, Conflict `pipeline_retired`, `key_reused`, InvalidInput for parameters.
        """
        version = await self._pipelines.get(wanted.tenant, wanted.pipeline, wanted.version)
        if version.retired_at is not None:
            raise Conflict(f"Pipeline {version.name} is retired.", remedy="Apply it again.", code="pipeline_retired")
        definition = self._pipelines.defined(version, {**wanted.parameters})
        row = fresh(wanted, version)
        async with self._database.transaction() as session:
            made = await session.scalar(insert(RunRow).values(row).on_conflict_do_nothing().returning(RunRow.id))
            if made is not None:
                steps = [blank(row, number, step.id, step.kind) for number, step in enumerate(definition.spec.steps)]
                await session.execute(insert(StepRow).values(steps))
            kept = PipelineRun.model_validate(await session.get_one(RunRow, row["id"]))
        if (kept.pipeline, kept.parameters) != (wanted.pipeline, wanted.parameters):
            raise Conflict("This key asked for another run.", remedy="Use a key once.", code="key_reused")
        return kept

    async def get(self, run_id: str, tenant: str | None) -> PipelineRun:
        """Return a run. Raises NotFound `pipeline_run_unknown`, also for another team's."""
        async with self._database.transaction() as session:
            row = await session.get(RunRow, run_id)
        if row is None or (tenant is not None and row.tenant != tenant):
            raise NotFound(
                f"There is no pipeline run {run_id[:64]}.", remedy="List them: lineshaft pipelines runs.", code="pipeline_run_unknown"
            )
        return PipelineRun.model_validate(row)

    async def list(
        self, tenant: str | None, *, pipeline: str | None = None, state: str | None = None, limit: int = 100, offset: int = 0
    ) -> builtins.list[PipelineRun]:
        """Return runs, newest first; the state `open` means every run that is not over."""
        query = select(RunRow).order_by(RunRow.asked_at.desc(), RunRow.id).limit(limit).offset(offset)
        query = query.where(RunRow.tenant == tenant) if tenant is not None else query
        query = query.where(RunRow.pipeline == pipeline) if pipeline is not None else query
        if state is not None:
            query = query.where(RunRow.state.in_(OPEN_STATES) if state == "open" else RunRow.state == state)
        async with self._database.transaction() as session:
            return [PipelineRun.model_validate(row) for row in await session.scalars(query)]

    async def unstarted(self, limit: int = 50) -> Sequence[PipelineRun]:
        """Runs that were asked for and whose workflow has not begun, oldest first."""
        query = select(RunRow).where(RunRow.state == RunState.ASKED.value).order_by(RunRow.asked_at).limit(limit)
        async with self._database.transaction() as session:
            return [PipelineRun.model_validate(row) for row in await session.scalars(query)]

    async def open_of(self, trigger_id: str) -> PipelineRun | None:
        """A run of a trigger that is not over."""
        query = select(RunRow).where(RunRow.trigger_id == trigger_id, RunRow.state.in_(OPEN_STATES)).limit(1)
        async with self._database.transaction() as session:
            row = await session.scalar(query)
        return PipelineRun.model_validate(row) if row is not None else None

    async def move(self, run_id: str, state: RunState, **changes: JsonValue) -> PipelineRun:
        """Write where a run is now; one that is over stays as it is."""
        async with self._database.transaction() as session:
            row = await session.get_one(RunRow, run_id, with_for_update=True)
            if not RunState(row.state).ended:
                row.state = state.value
                for name, value in changes.items():
                    setattr(row, name, value[:1000] if isinstance(value, str) else value)
                row.remedy = row.remedy[:500]
                row.started_at = row.started_at or (utcnow() if state is RunState.RUNNING else None)
                row.ended_at = utcnow() if state.ended else None
                if state.ended:  # what never came to its turn
                    left = StepRow.state.in_((StepState.WAITING.value, StepState.ASKING.value, StepState.RUNNING.value))
                    mine = update(StepRow).where(StepRow.run_id == run_id, left)
                    await session.execute(mine.values(state=StepState.SKIPPED.value, ended_at=row.ended_at))
            return PipelineRun.model_validate(row)

    async def wish(self, run_id: str, tenant: str | None, reason: str) -> PipelineRun:
        """Note that a run is to be ended: the worker tells its workflow. Again, it stays so; one that is over stays as it is."""
        await self.get(run_id, tenant)
        async with self._database.transaction() as session:
            row = await session.get_one(RunRow, run_id, with_for_update=True)
            if not RunState(row.state).ended:
                row.code, row.reason = CANCELLING, reason[:1000]
            return PipelineRun.model_validate(row)

    async def wished(self, limit: int = 50) -> Sequence[PipelineRun]:
        """Runs that are to be ended and are not over."""
        query = select(RunRow).where(RunRow.code == CANCELLING, RunRow.state.in_(OPEN_STATES)).limit(limit)
        async with self._database.transaction() as session:
            return [PipelineRun.model_validate(row) for row in await session.scalars(query)]

    async def steps(self, run_id: str) -> builtins.list[RunStep]:
        """Return the steps of a run in the order of the file. The caller has shown that the run may be seen."""
        query = select(StepRow.__table__).where(StepRow.run_id == run_id).order_by(StepRow.place)
        async with self._database.reading() as connection:
            return [RunStep.model_validate(dict(row)) for row in (await connection.execute(query)).mappings()]

    async def step(self, run_id: str, step: str) -> RunStep:
        """Return a step. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(StepRow, (run_id, step))
        if row is None:
            raise NotFound(f"Run {run_id[:64]} has no step {step[:40]!r}.", remedy="Read the run to see its steps.", code="step_unknown")
        return RunStep.model_validate(row)

    async def move_step(self, run_id: str, step: str, state: StepState, **changes: JsonValue) -> str:
        """Write where a step is now. Returns its code: `cancelled` where somebody ended it before it ran."""
        async with self._database.transaction() as session:
            return str(await session.scalar(moved(run_id, step, state, changes)))

    async def mark_cancelled(self, run_id: str, step: str) -> None:
        """Note that a step that is not over is not to run any more; who is about to start it sees that."""
        open_now = StepRow.state.in_((StepState.WAITING.value, StepState.RUNNING.value))
        query = update(StepRow).where(StepRow.run_id == run_id, StepRow.step == step, open_now).values(code="cancelled")
        async with self._database.transaction() as session:
            await session.execute(query)

    async def cached(self, tenant: str, key: str) -> Kept | None:
        """What a step of this key left, None where none is known; that it is used is noted."""
        mine = (CacheRow.tenant == tenant, CacheRow.key == key)
        query = update(CacheRow).where(*mine).values(used_at=utcnow()).returning(CacheRow.outputs, CacheRow.result, CacheRow.run_id)
        async with self._database.transaction() as session:
            row = (await session.execute(query)).one_or_none()
        return Kept.model_validate({"outputs": row.outputs, "result": row.result, "run_id": row.run_id}) if row is not None else None

    async def done(self, tenant: str, step: tuple[str, str], key: str, left: Kept) -> None:
        """Write that a step is done and what it left.

        Args:
            tenant: whose.
            step: the run's id, and the step's.
            key: by which later runs know it, in place of what was known under it: that was not whole any more, or was not to be used.
                Empty where they are not to know it.
            left: what it left.
        """
        now = utcnow()
        found: dict[str, JsonValue] = {"outputs": {**left.outputs}, "result": left.result}
        kept = {**found, "run_id": left.run_id, "created_at": now, "used_at": now}
        values = insert(CacheRow).values(tenant=tenant, key=key, **kept)
        async with self._database.transaction() as session:
            if key:
                await session.execute(values.on_conflict_do_update(index_elements=["tenant", "key"], set_=kept))
            await session.execute(moved(*step, StepState.DONE, {**found, "cached_from": "", "code": "", "reason": ""}))


def moved(run_id: str, step: str, state: StepState, changes: Mapping[str, JsonValue]) -> ReturningUpdate[tuple[str]]:
    """The statement that writes where a step is; it returns the step's code."""
    values: dict[str, JsonValue | datetime | None] = {**changes, "state": state.value}
    for name, most in (("reason", 1000), ("remedy", 500), ("code", 64)):
        if isinstance(text := values.get(name), str):
            values[name] = text[:most]
    if state is StepState.RUNNING:
        values |= {"started_at": utcnow(), "ended_at": None}
    elif state not in {StepState.WAITING, StepState.ASKING}:
        values["ended_at"] = utcnow()
    return update(StepRow).where(StepRow.run_id == run_id, StepRow.step == step).values(values).returning(StepRow.code)


def run_id(tenant: str, key: str) -> str:
    """The id of the run that a key asks for."""
    return "pr-" + hashlib.sha256(f"{tenant}/{key}".encode()).hexdigest()[:20]


def fresh(wanted: NewRun, version: PipelineVersion) -> dict[str, object]:
    """The row of a new run."""
    name = run_id(wanted.tenant, wanted.key)
    asked = wanted.model_dump(exclude={"version", "key"})
    return {
        **asked,
        "id": name,
        "key": wanted.key[:255],
        "version": version.version,
        "digest": version.digest,
        "actor": wanted.actor[:128],
        "state": RunState.ASKED.value,
        "thread_id": f"thread-{name}",
        **{"code": "", "reason": "", "remedy": "", "card": {}},
        "asked_at": utcnow(),
    }


def blank(run: dict[str, object], place: int, step: str, kind: str) -> dict[str, object]:
    """The row of a step that waits."""
    return {
        **{"run_id": run["id"], "tenant": run["tenant"], "place": place, "step": step, "kind": kind, "state": StepState.WAITING.value},
        **{"attempt": 0, "job_id": "", "lease_id": "", "cache_key": "", "cached_from": "", "code": "", "reason": "", "remedy": ""},
        **{"inputs": {}, "outputs": {}, "result": {}, "card": {}},
    }

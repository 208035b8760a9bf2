"""Studies and trials as rows, and as they are told."""

from collections.abc import Sequence
from datetime import datetime
from typing import cast

from pydantic import JsonValue
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import utcnow
from factory_infra.errors import NotFound
from factory_infra.paas.training.studies.models import Study, StudyReport, StudySpec, StudyState, Trial, TrialState
from factory_infra.paas.training.studies.sampling import Past
from factory_infra.paas.training.studies.tables import StudyRow, TrialRow

OPEN = (StudyState.RUNNING.value, StudyState.STOPPING.value)
TRIALS_OPEN = (TrialState.ASKED.value, TrialState.RUNNING.value, TrialState.PRUNING.value)
SECONDS_AN_HOUR = 3600.0


def study_of(row: StudyRow) -> Study:
    """Shape a row for callers."""
    return Study.model_validate(row)


def trial_of(row: TrialRow) -> Trial:
    """Shape a row for callers."""
    return Trial.model_validate(row)


def past_of(row: TrialRow) -> Past:
    """A trial as the sampler knows it."""
    return Past.model_validate(row, from_attributes=True)


async def find(session: AsyncSession, study_id: str, tenant: str | None) -> StudyRow:
    """Return a study's row. Raises NotFound, for another team's too."""
    query = select(StudyRow).where(StudyRow.id == study_id)
    row = await session.scalar(query if tenant is None else query.where(StudyRow.tenant == tenant))
    if row is None:
        raise NotFound(f"There is no study {study_id[:64]!r}.", remedy="List the studies to see those that exist.", code="study_unknown")
    return row


async def trials_of(session: AsyncSession, study: StudyRow) -> list[TrialRow]:
    """All trials of a study by number."""
    query = select(TrialRow).where(TrialRow.tenant == study.tenant, TrialRow.study_id == study.id)
    return list(await session.scalars(query.order_by(TrialRow.number)))


async def trial_row(session: AsyncSession, trial: Trial, tenant: str) -> TrialRow:
    """A trial's row, held until the transaction ends."""
    return await session.get_one(TrialRow, (tenant, trial.study_id, trial.number), with_for_update=True)


async def slots_taken(session: AsyncSession, lease_id: str) -> set[int]:
    """The slots of a lease on which trials run, of whichever study."""
    query = (
        select(TrialRow.slots)
        .join(StudyRow, (StudyRow.tenant == TrialRow.tenant) & (StudyRow.id == TrialRow.study_id))
        .where(StudyRow.lease_id == lease_id, TrialRow.state.in_(TRIALS_OPEN))
    )
    return {slot for slots in await session.scalars(query) for slot in slots}


async def report_of(session: AsyncSession, row: StudyRow) -> StudyReport:
    """A study with its best trial and how many are in which state."""
    mine = (TrialRow.tenant == row.tenant, TrialRow.study_id == row.id)
    counts = (await session.execute(select(TrialRow.state, func.count()).where(*mine).group_by(TrialRow.state))).all()
    best = await session.get(TrialRow, (row.tenant, row.id, row.best_number)) if row.best_number is not None else None
    study = study_of(row)
    times = (await session.execute(select(TrialRow.started_at, TrialRow.ended_at).where(*mine, TrialRow.started_at.is_not(None)))).all()
    now = utcnow()
    seconds = sum(max(((ended or now) - started).total_seconds(), 0.0) for started, ended in times if started)
    return StudyReport(
        study=study,
        best=trial_of(best) if best is not None else None,
        trials={str(state): int(count) for state, count in counts},
        slot_hours=round(seconds * study.spec.slots_per_trial / SECONDS_AN_HOUR, 6),
    )


def better(spec: StudySpec, one: float, other: float | None) -> bool:
    """Whether a value is better than another; the earlier one of equals stays."""
    return other is None or (one > other if spec.direction == "maximize" else one < other)


def note_best(row: StudyRow, trials: Sequence[TrialRow]) -> None:
    """Write down which of the complete trials is the best, the first one of equals."""
    spec = StudySpec.model_validate(row.spec)
    row.best_number, row.best_value = None, None
    for trial in trials:
        if trial.state == TrialState.COMPLETE.value and trial.value is not None and better(spec, trial.value, row.best_value):
            row.best_number, row.best_value = trial.number, trial.value


def new_trial(study: StudyRow, number: int, parameters: dict[str, bool | int | float | str], slots: list[int]) -> TrialRow:
    """A trial whose job is not started yet."""
    return TrialRow(
        tenant=study.tenant,
        study_id=study.id,
        number=number,
        state=TrialState.ASKED.value,
        parameters=cast("dict[str, JsonValue]", parameters),
        reports=[],
        rungs={},
        job_id=f"{study.id}-{number}",
        slots=slots,
        run_id="",
        starts=0,
        code="",
        reason="",
        asked_at=utcnow(),
    )


def end_trial(row: TrialRow, state: TrialState, code: str = "", reason: str = "", at: datetime | None = None) -> None:
    """Write down how a trial ended."""
    row.state, row.code, row.reason, row.ended_at = state.value, code, reason[:1000], at or utcnow()

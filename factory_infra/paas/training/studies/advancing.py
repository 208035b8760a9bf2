"""The one transaction in which a study goes on: whether it ends, and which trials come next on which slots."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import utcnow
from factory_infra.iaas.leases.models import Lease, LeaseState
from factory_infra.paas.training.studies.ending import bound_reached, deadline_of
from factory_infra.paas.training.studies.models import Study, StudySpec, StudyState, Trial, TrialState
from factory_infra.paas.training.studies.sampling import suggest
from factory_infra.paas.training.studies.store import TRIALS_OPEN, find, new_trial, past_of, slots_taken, study_of, trial_of, trials_of
from factory_infra.paas.training.studies.tables import StudyRow, TrialRow


@dataclass(frozen=True)
class Advance:
    """What is to be done outside of the transaction."""

    study: Study
    deadline: datetime
    to_start: list[Trial] = field(default_factory=list)
    to_end: list[Trial] = field(default_factory=list)
    over: bool = False


async def advance(session: AsyncSession, study: Study, lease: Lease, *, may_advance: bool) -> Advance:
    """Decide, and ask for the next trials. Called under the lock of the lease's slots, which no two trials then share."""
    row = await find(session, study.id, study.tenant)
    spec, trials = study.spec, await trials_of(session, row)
    deadline = deadline_of(row, spec, lease)
    if row.state == StudyState.RUNNING.value and (end := bound_reached(row, spec, trials, lease, utcnow())) is not None:
        row.state, row.code, row.reason = StudyState.STOPPING.value, end[0], end[1][:1000]
    if row.state == StudyState.RUNNING.value and may_advance and lease.state is LeaseState.ACTIVE:
        trials += await ask(session, row, spec, trials, lease)
    running = [each for each in trials if each.state in TRIALS_OPEN]
    if row.state != StudyState.RUNNING.value:
        return Advance(study_of(row), deadline, to_end=[trial_of(each) for each in running], over=not running)
    startable = may_advance and lease.state is LeaseState.ACTIVE
    to_start = [trial_of(each) for each in running if each.state == TrialState.ASKED.value] if startable else []
    return Advance(study_of(row), deadline, to_start=to_start, over=bool(row.code) and not running)


async def ask(session: AsyncSession, row: StudyRow, spec: StudySpec, trials: list[TrialRow], lease: Lease) -> list[TrialRow]:
    """Ask the sampler for as many trials as there is room for. Where there is none to come, the study's code says why."""
    taken, made = await slots_taken(session, lease.id), list[TrialRow]()
    while sum(each.state in TRIALS_OPEN for each in trials) + len(made) < spec.bounds.parallel:
        number = len(trials) + len(made)
        if number >= spec.bounds.trials_max:
            row.code, row.reason = "trials_max", f"All {number} trials were made."
            break
        slots = room(lease, taken, spec.slots_per_trial)
        if slots is None:
            break
        parameters = await asyncio.to_thread(suggest, spec, [past_of(each) for each in [*trials, *made]], number)
        if parameters is None:
            row.code, row.reason = "space_tried", f"All {number} combinations were tried."
            break
        trial = new_trial(row, number, parameters, slots)
        session.add(trial)
        made.append(trial)
        taken |= set(slots)
    await session.flush()
    return made


def room(lease: Lease, taken: set[int], wanted: int) -> list[int] | None:
    """Free slots of a lease for one more trial; None where there are too few. A lease that names no slots bounds nothing."""
    if not lease.slots:
        return []
    free = [slot for slot in lease.slots if slot not in taken]
    return free[:wanted] if len(free) >= wanted else None

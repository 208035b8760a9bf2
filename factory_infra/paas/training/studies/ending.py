"""How a trial and a study end: what the job says, in the words of a search."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel

from factory_infra.iaas.jobs.models import Job, JobState
from factory_infra.iaas.leases.models import Lease
from factory_infra.paas.training.studies.models import Study, StudySpec, StudyState, Trial, TrialState
from factory_infra.paas.training.studies.reports import value_of
from factory_infra.paas.training.studies.store import SECONDS_AN_HOUR, trial_of
from factory_infra.paas.training.studies.tables import StudyRow, TrialRow


class TrialEnd(BaseModel):
    """What a trial came to."""

    state: TrialState
    value: float | None = None
    code: str = ""
    reason: str = ""


def verdict_of(study: Study, trial: Trial, job: Job, result: str | None) -> TrialEnd:
    """Say what a trial came to whose job has ended. One that succeeded counts, also where it was about to be ended as too bad."""
    if job.state is JobState.SUCCEEDED:
        value = value_of(result, study.spec.metric, trial.reports)
        if value is not None:
            return TrialEnd(state=TrialState.COMPLETE, value=value)
        reason = f"Job {job.id} left no finite number as '{study.spec.metric}' or 'value' in result.json, and reported none."
        return TrialEnd(state=TrialState.FAILED, code="trial_no_value", reason=reason)
    if trial.state is TrialState.PRUNING:
        last = trial.reports[-1].value if trial.reports else None
        return TrialEnd(state=TrialState.PRUNED, value=last, code="pruned", reason=trial.reason)
    if job.state is JobState.CANCELLED:
        return TrialEnd(state=TrialState.STOPPED, code="stopped", reason=study.reason or "Its job was cancelled.")
    failure = job.failure
    reason = failure.reason if failure else f"Job {job.id} ended with code {job.exit_code}."
    return TrialEnd(state=TrialState.FAILED, code=failure.code if failure else "job_failed", reason=reason)


def begins_at(row: StudyRow, lease: Lease) -> datetime:
    """From when its time counts: not while its lease waits."""
    return max(row.created_at, lease.granted_at)


def deadline_of(row: StudyRow, spec: StudySpec, lease: Lease) -> datetime:
    """When it ends whatever it has found: its own time, or its lease's."""
    return min(begins_at(row, lease) + timedelta(seconds=spec.bounds.seconds_max), lease.expires_at)


def bound_reached(row: StudyRow, spec: StudySpec, trials: Sequence[TrialRow], lease: Lease, now: datetime) -> tuple[str, str] | None:
    """Return why a study ends now, as a code and in words; None where it goes on."""
    bounds = spec.bounds
    if not lease.state.open:
        return "lease_ended", f"Lease {lease.id} is {lease.state}."
    if lease.state.held and now >= deadline_of(row, spec, lease):
        return "seconds_max", f"Its time of {bounds.seconds_max} s, or that of its lease, is over."
    if enough(row, spec):
        return "value_enough", f"Trial {row.best_number} reached {row.best_value:g}."
    failed = failures_in_a_row(trials)
    if len(failed) >= bounds.failures_max:
        return "trials_failed", f"{len(failed)} trials failed one after another; the last: {failed[-1].reason}"
    used = sum(trial_of(each).slot_seconds(spec.slots_per_trial, now) for each in trials) / SECONDS_AN_HOUR
    if bounds.slot_hours_max is not None and used >= bounds.slot_hours_max:
        return "slot_hours_max", f"Its trials used {used:.3f} slot-hours."
    return None


def enough(row: StudyRow, spec: StudySpec) -> bool:
    """Whether the best trial reached what was wanted."""
    wanted, best = spec.bounds.value_enough, row.best_value
    if wanted is None or best is None:
        return False
    return best >= wanted if spec.direction == "maximize" else best <= wanted


def failures_in_a_row(trials: Sequence[TrialRow]) -> list[TrialRow]:
    """The trials that failed last, with none in between that came to something."""
    ended = sorted((each for each in trials if each.ended_at), key=lambda each: (each.ended_at or each.asked_at, each.number))
    found: list[TrialRow] = []
    for each in ended:
        found = [*found, each] if each.state == TrialState.FAILED.value else []
    return found


def end_state(code: str, best: Trial | None) -> StudyState:
    """As what a study ends."""
    if code == "stopped":
        return StudyState.STOPPED
    return StudyState.FAILED if best is None or code == "trials_failed" else StudyState.FINISHED

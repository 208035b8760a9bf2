"""A study's turn: look at its trials, end what is worse than others, ask for the next, start their jobs.

Nothing is held in memory between turns, and every step may be done again: parameters are written before a job starts, a job's id is its
trial's, and a trial ends once. So a turn that was cut off anywhere is simply taken again, by any process.
"""

import asyncio
from collections.abc import Awaitable, Callable

from factory_infra.database import Database, utcnow
from factory_infra.errors import LineshaftError, NotFound
from factory_infra.iaas.jobs.models import Job, JobState
from factory_infra.paas.training.studies.advancing import Advance, advance
from factory_infra.paas.training.studies.around import Around
from factory_infra.paas.training.studies.ending import TrialEnd, end_state, verdict_of
from factory_infra.paas.training.studies.models import STARTS_MAX, Report, Study, StudyState, Trial, TrialState
from factory_infra.paas.training.studies.sampling import Past, judge
from factory_infra.paas.training.studies.store import end_trial, find, note_best, past_of, study_of, trial_of, trial_row, trials_of

AT_ONCE_MAX = 8


class StudyTurns:
    """Takes turns of studies."""

    def __init__(self, database: Database, around: Around) -> None:
        self._database = database
        self._around = around

    async def turn(self, study_id: str, *, may_advance: bool = True) -> Study:
        """Move a study as far as it goes now. Raises what the jobs' engine or the tracking server raise: then it is taken again.

        Args:
            study_id: which.
            may_advance: whether new jobs may start; what runs is looked at in any case.
        """
        study, trials = await self._load(study_id)
        if study.state.ended:
            return study
        if not study.run_id:
            study = await self._tracked(study)
        started = [each for each in trials if each.state in {TrialState.RUNNING, TrialState.PRUNING}]
        await self._each(started, lambda trial: self._look(study, trial))
        told = await self._advance(study, may_advance=may_advance)
        await self._each(told.to_start, lambda trial: self._begin(told, trial))
        await self._each(told.to_end, lambda trial: self._stop(told.study, trial))
        return await self._closed(told.study) if told.over else told.study

    async def _load(self, study_id: str) -> tuple[Study, list[Trial]]:
        async with self._database.transaction() as session:
            row = await find(session, study_id, None)
            return study_of(row), [trial_of(each) for each in await trials_of(session, row)]

    async def _tracked(self, study: Study) -> Study:
        run_id, url = await self._around.runs.begin(study)
        async with self._database.transaction() as session:
            row = await find(session, study.id, study.tenant)
            row.run_id, row.run_url = run_id, url
            return study_of(row)

    async def _each(self, trials: list[Trial], work: Callable[[Trial], Awaitable[None]]) -> None:
        """Work on trials side by side; one that fails holds up no other, and is told at the end."""
        room = asyncio.Semaphore(AT_ONCE_MAX)

        async def one(trial: Trial) -> None:
            async with room:
                await work(trial)

        done = await asyncio.gather(*(one(trial) for trial in trials), return_exceptions=True)
        for error in done:
            if error is not None:
                raise error

    async def _look(self, study: Study, trial: Trial) -> None:
        """See how far a trial is; end it where it is worse than others were, and write down its end."""
        try:
            job = await self._around.jobs.get(trial.job_id, study.tenant)
        except NotFound:
            await self._lost(study, trial)
            return
        if job.state is JobState.LOST:
            await self._lost(study, trial)
        elif job.state is not JobState.PENDING:
            await self._read(study, trial, job)

    async def _read(self, study: Study, trial: Trial, job: Job) -> None:
        reports = await self._around.reports(study, trial, job)
        if reports != trial.reports or job.state.final:
            trial = await self._judged(study, trial, reports, job)
        if job.state.final:
            result = await self._around.result(study, job)
            end = verdict_of(study, trial, job, result)
            await self._ended(study, trial.model_copy(update={"started_at": trial.started_at or job.started_at}), end, job)
        elif trial.state is TrialState.PRUNING:
            await self._stop(study, trial)

    async def _lost(self, study: Study, trial: Trial) -> None:
        """Let a trial whose host is gone start once more under its own id, unless it was about to end or was started too often."""
        if trial.state is TrialState.PRUNING:
            last = trial.reports[-1].value if trial.reports else None
            await self._ended(study, trial, TrialEnd(state=TrialState.PRUNED, value=last, code="pruned", reason=trial.reason))
        elif study.state is StudyState.STOPPING:
            await self._ended(study, trial, TrialEnd(state=TrialState.STOPPED, code="stopped", reason=study.reason))
        elif trial.starts >= STARTS_MAX:
            reason = f"Job {trial.job_id} was lost with its host {trial.starts} times."
            await self._ended(study, trial, TrialEnd(state=TrialState.FAILED, code="trial_lost", reason=reason))
        else:
            async with self._database.transaction() as session:
                row = await trial_row(session, trial, study.tenant)
                row.state = TrialState.ASKED.value if row.state == TrialState.RUNNING.value else row.state

    async def _judged(self, study: Study, trial: Trial, reports: list[Report], job: Job) -> Trial:
        """Keep what was reported, and decide whether the trial goes on."""
        async with self._database.transaction(lock=f"study/{study.id}") as session:
            others = [past_of(each) for each in await trials_of(session, await find(session, study.id, study.tenant))]
            me = next(each for each in others if each.number == trial.number)
            verdict = await asyncio.to_thread(
                judge, study.spec, others, Past.model_validate({**me.model_dump(), "reports": [each.model_dump() for each in reports]})
            )
            row = await trial_row(session, trial, study.tenant)
            row.reports = [each.model_dump(mode="json") for each in reports]
            row.rungs = {**verdict.rungs}
            row.started_at = job.started_at or row.started_at
            if verdict.prune and row.state == TrialState.RUNNING.value and not job.state.final:
                row.state, row.reason = TrialState.PRUNING.value, f"Worse than others at step {reports[-1].step}."
            return trial_of(row)

    async def _ended(self, study: Study, trial: Trial, end: TrialEnd, job: Job | None = None) -> None:
        """Write down how a trial ended, on the tracking server first: a turn that is cut off in between does it again."""
        at = (job.finished_at if job is not None else None) or utcnow()
        done = trial.model_copy(update={"state": end.state, "value": end.value, "ended_at": at})
        await self._around.runs.end_trial(study, done)
        async with self._database.transaction(lock=f"study/{study.id}") as session:
            row = await trial_row(session, trial, study.tenant)
            if TrialState(row.state).ended:
                return
            row.value, row.started_at, row.run_id = end.value, trial.started_at, trial.run_id or row.run_id
            end_trial(row, end.state, end.code, end.reason, at)
            await session.flush()
            note_best(found := await find(session, study.id, study.tenant), await trials_of(session, found))

    async def _stop(self, study: Study, trial: Trial) -> None:
        """End a trial's job; its end is written down by the next turn. One whose job never began ends here."""
        try:
            await self._around.jobs.cancel(trial.job_id, study.tenant)
        except NotFound:
            if trial.state is TrialState.ASKED:
                await self._ended(study, trial, TrialEnd(state=TrialState.STOPPED, code="stopped", reason=study.reason))
            return
        if trial.state is TrialState.ASKED:
            await self._running(study, trial)

    async def _advance(self, study: Study, *, may_advance: bool) -> Advance:
        lease = await self._around.leases.get(study.tenant, study.lease_id)
        async with self._database.transaction(lock=f"study-slots/{study.lease_id}") as session:
            return await advance(session, study, lease, may_advance=may_advance)

    async def _begin(self, told: Advance, trial: Trial) -> None:
        """Start a trial's job. What can never start is a failed trial; what cannot start now is tried at the next turn."""
        study = told.study
        trial = trial.model_copy(update={"run_id": await self._around.runs.begin_trial(study, trial)})
        try:
            job = await self._around.jobs.submit(await self._around.job(study, trial, told.deadline))
        except LineshaftError as error:
            if error.retryable:
                raise
            await self._ended(study, trial, TrialEnd(state=TrialState.FAILED, code=error.error_code, reason=str(error)))
            return
        if not await self._running(study, trial.model_copy(update={"started_at": job.started_at or utcnow()})):
            await self._around.jobs.cancel(trial.job_id, study.tenant)

    async def _running(self, study: Study, trial: Trial) -> bool:
        """Write down that a trial's job began; return whether the trial is open still."""
        async with self._database.transaction(lock=f"study/{study.id}") as session:
            row = await trial_row(session, trial, study.tenant)
            if row.state == TrialState.ASKED.value:
                row.state, row.run_id, row.starts = TrialState.RUNNING.value, trial.run_id, row.starts + 1
                row.started_at = trial.started_at
            return not TrialState(row.state).ended

    async def _closed(self, study: Study) -> Study:
        """End a study of which nothing runs any more."""
        async with self._database.transaction() as session:
            row = await find(session, study.id, study.tenant)
            best = next((trial_of(each) for each in await trials_of(session, row) if each.number == row.best_number), None)
        await self._around.runs.end(study, best)
        await self._around.remember(study, best)
        async with self._database.transaction(lock=f"study/{study.id}") as session:
            row = await find(session, study.id, study.tenant)
            if not StudyState(row.state).ended:
                row.state, row.ended_at = end_state(row.code, best).value, utcnow()
            return study_of(row)

"""A study and its trials as nested runs on the tracking server. Everything here may be done again: it changes nothing then."""

from datetime import datetime

from factory_infra.paas.training.studies.models import Study, StudySpec, Trial, TrialState
from factory_infra.paas.training.tracking import Run, Tracking

STATUSES = {TrialState.COMPLETE: "FINISHED", TrialState.FAILED: "FAILED", TrialState.PRUNED: "KILLED", TrialState.STOPPED: "KILLED"}


class StudyRuns:
    """Keeps the runs of studies: `TENANT/NAME` is the experiment, the study's run the parent, each trial's a child."""

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking

    async def begin(self, study: Study) -> tuple[str, str]:
        """Return the study's run, made where there is none, and where a person sees it."""
        run = await self._run(study, f"study/{study.id}", study.created_at)
        spec = study.spec
        await self._tracking.log(run.info.run_id, {}, settings_of(spec), named(study) | {"mlflow.runName": f"study {study.name}"})
        return run.info.run_id, self._tracking.run_url(run)

    async def begin_trial(self, study: Study, trial: Trial) -> str:
        """Return the trial's run, made where there is none."""
        run = await self._run(study, f"study/{study.id}/{trial.number}", trial.asked_at)
        parameters = {name: str(value) for name, value in trial.parameters.items()}
        marks = {"mlflow.parentRunId": study.run_id, "mlflow.runName": f"trial {trial.number}", "lineshaft.trial": str(trial.number)}
        await self._tracking.log(run.info.run_id, {}, parameters, named(study) | marks)
        return run.info.run_id

    async def end_trial(self, study: Study, trial: Trial) -> None:
        """Write down what a trial came to."""
        if not trial.run_id:
            return
        metric, moment = study.spec.metric, int((trial.ended_at or trial.asked_at).timestamp() * 1000)
        await self._tracking.log_series(trial.run_id, [(f"{metric} on the way", each.value, each.step) for each in trial.reports], moment)
        value = {metric: trial.value} if trial.value is not None else {}
        await self._tracking.log(trial.run_id, value, {}, {"lineshaft.trial_state": trial.state.value})
        await self._tracking.finish(trial.run_id, STATUSES[trial.state])

    async def end(self, study: Study, best: Trial | None) -> None:
        """Write down what a study came to."""
        if not study.run_id:
            return
        if best is not None and best.value is not None:
            found = {f"best.{name}": str(value) for name, value in best.parameters.items()}
            await self._tracking.log(study.run_id, {f"best {study.spec.metric}": best.value}, found, {"lineshaft.best_run": best.run_id})
        await self._tracking.log(study.run_id, {}, {}, {"lineshaft.ended": f"{study.code}: {study.reason}"[:500]})
        await self._tracking.finish(study.run_id)

    async def _run(self, study: Study, key: str, at: datetime) -> Run:
        experiment = await self._tracking.experiment(f"{study.tenant}/{study.name}")
        return await self._tracking.run_of_key(experiment, key, at.timestamp())


def named(study: Study) -> dict[str, str]:
    """Whose run it is."""
    return {"mlflow.user": study.tenant, "lineshaft.tenant": study.tenant, "lineshaft.study": study.id, "lineshaft.plan_id": study.plan_id}


def settings_of(spec: StudySpec) -> dict[str, str]:
    """A study's parameters."""
    return {
        "direction": spec.direction,
        "metric": spec.metric,
        "sampler": spec.sampler,
        "pruner": spec.pruner.kind,
        "seed": str(spec.seed),
        "trials_max": str(spec.bounds.trials_max),
        "parallel": str(spec.bounds.parallel),
    }

"""Which parameters come next, and which trial is ended early: Optuna, told everything from our rows each time it is asked.

Nothing of it outlives the question, so any process asks, and asks the same again: each trial's draw has a seed of its own.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel

from factory_infra.paas.training.studies.models import Pruner, Report, StudySpec, TrialState
from factory_infra.paas.training.studies.space import (
    ChoiceParameter,
    FloatParameter,
    IntParameter,
    Scalar,
    combinations,
    grid,
)

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

DRAWS_MAX = 20
"""So often is drawn again what was tried before."""
SEED_STEP = 1_000_003
SEEDS = 2**32
OPTUNA_STATES = {TrialState.COMPLETE: "COMPLETE", TrialState.PRUNED: "PRUNED"}
TOLD = {TrialState.ASKED, TrialState.RUNNING, TrialState.PRUNING, *OPTUNA_STATES}
"""Failed and stopped trials say nothing of their parameters."""


class Past(BaseModel):
    """A trial as the sampler and the pruner know it."""

    number: int
    state: TrialState
    parameters: dict[str, Scalar]
    value: float | None = None
    reports: list[Report] = []
    rungs: dict[str, float] = {}


class Verdict(BaseModel):
    """Whether a trial is ended early, and the rungs that it has reached."""

    prune: bool
    rungs: dict[str, float]


def suggest(spec: StudySpec, past: Sequence[Past], number: int) -> dict[str, Scalar] | None:
    """Return the parameters of a study's next trial, None where everything was tried. The same past gives the same answer.

    Args:
        spec: the study.
        past: its trials so far, those that run among them.
        number: the trial's, from 0.
    """
    if number < len(spec.first):
        return dict(spec.first[number])
    tried = {word(each.parameters) for each in past}
    if spec.sampler == "grid":
        return next((each for each in grid(spec.space) if word(each) not in tried), None)
    total = combinations(spec.space)
    if total is not None and len(tried) >= total:
        return None
    drawn: dict[str, Scalar] = {}
    for attempt in range(DRAWS_MAX):
        drawn = draw(spec, past, (spec.seed * SEED_STEP + number * DRAWS_MAX + attempt) % SEEDS)
        if word(drawn) not in tried:
            return drawn
    # What is left is rare: the first of what was not tried, where that can be counted, else the same once more.
    left = (each for each in grid(spec.space) if word(each) not in tried) if total is not None else iter(())
    return next(itertools.chain(left, [drawn]))


def draw(spec: StudySpec, past: Sequence[Past], seed: int) -> dict[str, Scalar]:
    """Ask the sampler once."""
    import optuna  # noqa: PLC0415 - heavy: loaded by the worker when a study runs

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = (
        optuna.samplers.RandomSampler(seed=seed)
        if spec.sampler == "random"
        else optuna.samplers.TPESampler(seed=seed, n_startup_trials=spec.startup_trials, constant_liar=True, multivariate=True)
    )
    study = optuna.create_study(direction=spec.direction, sampler=sampler)
    distributions = distributions_of(spec)
    study.add_trials([told(spec, each, distributions) for each in past if each.state in TOLD])
    asked: dict[str, Scalar] = dict(study.ask({name: distributions[name] for name in sorted(distributions)}).params)
    return {name: asked[name] for name in sorted(asked)}


def judge(spec: StudySpec, others: Sequence[Past], trial: Past) -> Verdict:
    """Say whether a running trial is ended early, step by step as it reported: the answer does not hang on how often it is looked at."""
    if spec.pruner.kind == "none" or not trial.reports:
        return Verdict(prune=False, rungs=trial.rungs)
    import optuna  # noqa: PLC0415 - heavy: loaded by the worker when a study runs

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner, rungs = pruner_of(spec.pruner), dict(trial.rungs)
    distributions = distributions_of(spec)
    comparable = [told(spec, each, distributions) for each in others if each.state in TOLD and each.number != trial.number]
    for count in range(1, len(trial.reports) + 1):
        if trial.reports[count - 1].step <= int(rungs.get("judged", -1)):
            continue
        so_far = trial.model_copy(update={"state": TrialState.RUNNING, "reports": trial.reports[:count], "rungs": rungs})
        study = optuna.create_study(direction=spec.direction, pruner=pruner)
        study.add_trials([*comparable, told(spec, so_far, distributions)])
        prune = bool(pruner.prune(study, study.trials[-1]))
        kept = study.trials[-1].system_attrs
        rungs = {name: float(value) for name, value in kept.items() if isinstance(value, int | float)}
        rungs["judged"] = float(trial.reports[count - 1].step)
        if prune:
            return Verdict(prune=True, rungs=rungs)
    return Verdict(prune=False, rungs=rungs)


def told(spec: StudySpec, trial: Past, distributions: Mapping[str, "BaseDistribution"]) -> "optuna.trial.FrozenTrial":
    """A trial as Optuna keeps one."""
    import optuna  # noqa: PLC0415 - heavy: loaded by the worker when a study runs

    state = optuna.trial.TrialState[OPTUNA_STATES.get(trial.state, "RUNNING")]
    value = trial.value if trial.state is TrialState.COMPLETE else None
    if trial.state is TrialState.PRUNED and trial.reports:
        value = trial.reports[-1].value
    return optuna.trial.create_trial(
        state=state,
        value=value,
        params=dict(trial.parameters),
        distributions=dict(distributions),
        intermediate_values={each.step: each.value for each in trial.reports},
        system_attrs={name: at for name, at in trial.rungs.items() if name != "judged"},
    )


def distributions_of(spec: StudySpec) -> dict[str, "BaseDistribution"]:
    """The space in Optuna's words."""
    from optuna.distributions import (  # noqa: PLC0415 - heavy: loaded by the worker when a study runs
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    def one(parameter: FloatParameter | IntParameter | ChoiceParameter) -> "BaseDistribution":
        if isinstance(parameter, FloatParameter):
            return FloatDistribution(parameter.low, last(parameter), log=parameter.log, step=parameter.step)
        if isinstance(parameter, IntParameter):
            return IntDistribution(parameter.low, int(last(parameter)), log=parameter.log, step=parameter.step)
        return CategoricalDistribution(parameter.choices)

    return {name: one(parameter) for name, parameter in spec.space.items()}


def last(parameter: FloatParameter | IntParameter) -> float:
    """The highest value that can be reached in steps."""
    if parameter.step in (None, 1):
        return parameter.high
    return float((parameter.values or [parameter.high])[-1])


def pruner_of(asked: Pruner) -> "optuna.pruners.BasePruner":
    """The pruner in Optuna's words."""
    from optuna import pruners  # noqa: PLC0415 - heavy: loaded by the worker when a study runs

    if asked.kind == "asha":
        return pruners.SuccessiveHalvingPruner(min_resource=asked.steps_min, reduction_factor=asked.reduction)
    if asked.kind == "percentile":
        return pruners.PercentilePruner(asked.percentile, n_startup_trials=asked.startup_trials, n_warmup_steps=asked.warmup_steps)
    return pruners.MedianPruner(n_startup_trials=asked.startup_trials, n_warmup_steps=asked.warmup_steps)


def word(parameters: Mapping[str, Scalar]) -> str:
    """Parameters as a text that is the same for the same ones."""
    return json.dumps({name: parameters[name] for name in sorted(parameters)})

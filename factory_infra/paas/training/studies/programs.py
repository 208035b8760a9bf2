"""From a trial to the job that tries its parameters."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from factory_infra.errors import InvalidInput
from factory_infra.iaas.jobs.models import JobLimits, JobSpec
from factory_infra.iaas.jobs.programs import python_argv, python_environment
from factory_infra.iaas.leases.models import Lease
from factory_infra.paas.training.spec import DATA_FILE
from factory_infra.paas.training.studies.models import CommandProgram, Study, TabularProgram, Trial
from factory_infra.paas.training.studies.reports import TRIAL_FILE
from factory_infra.paas.training.studies.space import Scalar

PROGRAM = "factory_infra.paas.training.programs.trial"
PYTHON = "python"
"""As the first word of a command with a training environment: that environment's own interpreter."""
KERNELS = {"rbf", "linear", "poly", "sigmoid"}
ACTIVATIONS = {"relu", "tanh", "logistic"}
Holds = Callable[[Scalar], bool]


def number(low: float, high: float) -> Holds:
    """A number within bounds, the lower one excluded."""
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low < value <= high


def whole(low: int, high: int) -> Holds:
    """A whole number within bounds, both included."""
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def one_of(words: set[str]) -> Holds:
    """A word of a list."""
    return lambda value: isinstance(value, str) and value in words


TABULAR_PARAMETERS: Mapping[str, Mapping[str, Holds]] = {
    "mlp": {
        "hidden": whole(1, 2048),
        "layers": whole(1, 4),
        "alpha": number(0, 1e6),
        "learning_rate": number(0, 10),
        "batch": whole(1, 65_536),
        "activation": one_of(ACTIVATIONS),
    },
    "logistic_regression": {"C": number(0, 1e9)},
    "svm": {"C": number(0, 1e9), "gamma": number(0, 1e9), "kernel": one_of(KERNELS)},
    "k_neighbors": {"n_neighbors": whole(1, 1000), "weights": one_of({"uniform", "distance"})},
    "random_forest": {
        "n_estimators": whole(1, 2000),
        "max_depth": whole(1, 200),
        "min_samples_leaf": whole(1, 10_000),
        "max_features": number(0, 1),
    },
}
"""What may be searched of each algorithm, and the values that it may take."""


class TrialOrder(BaseModel):
    """`trial.json`: what a trial's program is told."""

    study_id: str
    number: int
    tenant: str
    parameters: dict[str, Scalar]
    metric: str
    direction: str
    seed: int
    run_id: str = ""
    dataset: str = ""
    algorithm: str = ""
    epochs: int = 0


@dataclass(frozen=True)
class Place:
    """Where and how far a trial's job runs.

    Args:
        lease: whose slots it runs on.
        seconds: its wall time.
        file_gib: how large a file of its may grow.
        mlflow_url: where our own program tracks.
        rows: the rows of a training set, where it is trained on one.
        python: the interpreter of the program's training environment.
    """

    lease: Lease
    seconds: float
    file_gib: float
    mlflow_url: str
    rows: str | None = None
    python: Path | None = None


def trial_job(study: Study, trial: Trial, place: Place) -> JobSpec:
    """Return the job of a trial. Its id is the trial's, so that it is started once however often it is asked for."""
    program, lease = study.spec.program, place.lease
    order = order_of(study, trial)
    inputs = {TRIAL_FILE: order.model_dump_json(indent=1)}
    if isinstance(program, TabularProgram):
        argv = python_argv(PROGRAM)
        environment = python_environment() | {"MLFLOW_TRACKING_URI": place.mlflow_url}
        inputs |= {DATA_FILE: place.rows} if place.rows is not None else {}
    else:
        argv, environment = command(program, trial.parameters, place.python), dict(program.environment)
        inputs = {**program.inputs, **inputs}
    return JobSpec(
        id=trial.job_id,
        tenant=study.tenant,
        name=f"trial {trial.number} of study {study.name}",
        argv=argv,
        environment=environment,
        inputs=inputs,
        slot_kind=lease.slot_kind,
        slots=trial.slots,
        devices=devices_of(lease, trial.slots),
        limits=JobLimits(memory_gib=study.spec.memory_gib, file_gib=place.file_gib, seconds=place.seconds),
        pool=lease.pool,
        lease_id=lease.id,
        image=program.image if isinstance(program, CommandProgram) else "",
    )


def order_of(study: Study, trial: Trial) -> TrialOrder:
    """What the program is told."""
    program = study.spec.program
    ours = (
        {"dataset": program.dataset, "algorithm": program.algorithm, "epochs": program.epochs}
        if isinstance(program, TabularProgram)
        else {}
    )
    return TrialOrder(
        study_id=study.id,
        number=trial.number,
        tenant=study.tenant,
        parameters=trial.parameters,
        metric=study.spec.metric,
        direction=study.spec.direction,
        seed=study.spec.seed,
        run_id=trial.run_id,
        **ours,
    )


def command(program: CommandProgram, parameters: Mapping[str, Scalar], python: Path | None) -> list[str]:
    """The argument vector with the parameters in it. Raises InvalidInput where the environment that it names is not there."""
    argv = list(program.argv)
    if program.python and argv[0] == PYTHON:
        if python is None:
            raise InvalidInput(
                f"The training environment {program.python} is not installed.",
                remedy=f"lineshaft training environments install {program.python}",
                code="environment_missing",
            )
        argv[0] = str(python)
    for name, value in parameters.items():
        shown = value if isinstance(value, str) else json.dumps(value)
        argv = [each.replace(f"{{{name}}}", shown) for each in argv]
    return argv


def devices_of(lease: Lease, slots: list[int]) -> list[str]:
    """What a lease calls the devices of some of its slots."""
    if len(lease.devices) != len(lease.slots):
        return []
    named = dict(zip(lease.slots, lease.devices, strict=True))
    return [named[slot] for slot in slots if slot in named]

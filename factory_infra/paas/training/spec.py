"""From what should be trained to the job that trains it."""

import re

from factory_infra.errors import InvalidInput
from factory_infra.iaas.jobs.models import JobLimits, JobSpec
from factory_infra.iaas.jobs.programs import python_argv, python_environment
from factory_infra.paas.training.datasets import dataset_named
from factory_infra.paas.training.models import ALGORITHMS, TrainingSpec

PROGRAM = "factory_infra.paas.training.programs.tabular"
SPEC_FILE = "training.json"
RESULT_FILE = "result.json"
DATA_FILE = "dataset.json"
"""The rows of a training set, where it is one that is trained on: DATASET is then `set:ID`."""
SET_PREFIX = "set:"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def training_job(  # noqa: PLR0913  (a lease's slots, each named at the call)
    spec: TrainingSpec, *, job_id: str, slot_kind: str, slots: list[int], mlflow_url: str, limits: JobLimits
) -> JobSpec:
    """Return the job that trains, for this host unless its pool is set; its folder then holds `result.json` with a TrainingResult.

    Raises InvalidInput: dataset_unknown, algorithm_unknown, or model_name_invalid.
    """
    if not spec.dataset.startswith(SET_PREFIX):
        dataset_named(spec.dataset)
    if spec.algorithm not in ALGORITHMS:
        raise InvalidInput(
            f"There is no algorithm {spec.algorithm[:80]!r}.", remedy=f"Choose one of: {', '.join(ALGORITHMS)}.", code="algorithm_unknown"
        )
    if not NAME.fullmatch(spec.model_name):
        raise InvalidInput(
            f"The model's name is not valid: {spec.model_name[:80]!r}.",
            remedy="Use at most 63 small letters, digits, '.', '_' and '-'.",
            code="model_name_invalid",
        )
    return JobSpec(
        id=job_id,
        tenant=spec.tenant,
        name=f"train {spec.model_name} on {spec.dataset}",
        argv=python_argv(PROGRAM),
        environment=python_environment() | {"MLFLOW_TRACKING_URI": mlflow_url},
        inputs={SPEC_FILE: spec.model_dump_json()},
        slot_kind=slot_kind,
        slots=slots,
        limits=limits,
    )

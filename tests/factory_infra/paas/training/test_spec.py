"""From what should be trained to the job that trains it."""

import json

import pytest
from pydantic import ValidationError

from factory_infra.errors import InvalidInput
from factory_infra.iaas.jobs.models import JobLimits, JobSpec
from factory_infra.paas.training.datasets import DATASETS
from factory_infra.paas.training.models import TrainingSpec
from factory_infra.paas.training.spec import training_job


def spec(**changes: object) -> TrainingSpec:
    """A valid training, but for the changes."""
    fields = {"tenant": "vision", "dataset": "digits", "model_name": "digit-classifier", "run_key": "p1/train"}
    return TrainingSpec.model_validate(fields | changes)


def job(training: TrainingSpec) -> JobSpec:
    """The job of a training on two cores."""
    return training_job(
        training, job_id="p1-train", slot_kind="cpu", slots=[0, 1], mlflow_url="http://127.0.0.1:5000", limits=JobLimits(memory_gib=1)
    )


def test_the_job_carries_the_training_and_the_address_of_the_server() -> None:
    made = job(spec())
    assert made.id == "p1-train" and made.tenant == "vision" and made.slots == [0, 1] and not made.service
    assert made.limits.memory_gib == 1
    assert json.loads(made.inputs["training.json"])["dataset"] == "digits"
    assert made.environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"dataset": "imagenet"}, "dataset_unknown"),
        ({"algorithm": "magic"}, "algorithm_unknown"),
        ({"model_name": "../x"}, "model_name_invalid"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_a_code_and_a_remedy(changes: dict[str, object], code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        job(spec(**changes))
    assert refused.value.error_code == code and refused.value.remedy


def test_a_key_that_a_filter_would_misread_is_refused() -> None:
    with pytest.raises(ValidationError):
        spec(run_key="x' or '1'='1")


def test_no_two_datasets_answer_to_the_same_word() -> None:
    words = [word for dataset in DATASETS for word in (dataset.name, *dataset.aliases)]
    assert len(words) == len(set(words))

"""Loading a dataset that ships, naming its exact content, and splitting it. Loaded by the training program alone."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn import datasets
from sklearn.model_selection import train_test_split

from factory_infra.errors import InvalidInput
from factory_infra.paas.training.models import TrainingRows

Rows = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
LOADERS = {
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
}
CLASS_ROWS_MIN = 10
"""A class with fewer cannot be in all three parts."""


@dataclass(frozen=True)
class Part:
    """Rows with their labels."""

    rows: Rows
    labels: Labels


@dataclass(frozen=True)
class Data:
    """A dataset in three stratified parts: 60 % to fit, 20 % to choose by, 20 % held out."""

    digest: str
    class_names: list[str]
    fit: Part
    validate: Part
    held_out: Part

    @property
    def fit_and_validate(self) -> Part:
        """Everything but what is held out."""
        return Part(np.concatenate([self.fit.rows, self.validate.rows]), np.concatenate([self.fit.labels, self.validate.labels]))


def load(name: str, seed: int) -> Data:
    """Load a dataset by its name and split it the same way for the same seed."""
    bunch = LOADERS[name]()
    exact, labels = np.ascontiguousarray(bunch.data, dtype="<f8"), np.ascontiguousarray(bunch.target, dtype="<i8")
    digest = hashlib.sha256(exact.tobytes() + labels.tobytes()).hexdigest()
    return parted(exact.astype(np.float32), labels, [str(name) for name in bunch.target_names], digest, seed)


def of_set(path: Path, seed: int) -> Data:
    """Load the rows of a training set and split them. Raises InvalidInput `classes_too_few` where they cannot be parted."""
    given = TrainingRows.model_validate_json(path.read_bytes())
    class_names, labels = np.unique(np.asarray(given.labels), return_inverse=True)
    counts = np.bincount(labels) if len(labels) else np.zeros(1)
    if len(class_names) < 2 or counts.min() < CLASS_ROWS_MIN:
        raise InvalidInput(
            f"The training set has {len(class_names)} classes, the rarest with {int(counts.min())} rows.",
            remedy=f"Take at least two classes of {CLASS_ROWS_MIN} rows each.",
            code="classes_too_few",
        )
    rows = np.asarray(given.rows, dtype=np.float32)
    return parted(rows, labels.astype(np.int64), [str(name) for name in class_names], given.digest, seed)


def parted(rows: Rows, labels: Labels, class_names: list[str], digest: str, seed: int) -> Data:
    """Split rows in three stratified parts, the same way for the same seed."""
    seen, held_out, seen_labels, held_out_labels = train_test_split(rows, labels, test_size=0.2, random_state=seed, stratify=labels)
    fit, validate, fit_labels, validate_labels = train_test_split(
        seen, seen_labels, test_size=0.25, random_state=seed, stratify=seen_labels
    )
    return Data(digest, class_names, Part(fit, fit_labels), Part(validate, validate_labels), Part(held_out, held_out_labels))

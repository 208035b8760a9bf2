"""Loading a dataset that ships, naming its exact content, and splitting it. Loaded by the training program alone."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn import datasets
from sklearn.model_selection import train_test_split

Rows = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
LOADERS = {
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
}


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
    rows = exact.astype(np.float32)
    seen, held_out, seen_labels, held_out_labels = train_test_split(rows, labels, test_size=0.2, random_state=seed, stratify=labels)
    fit, validate, fit_labels, validate_labels = train_test_split(
        seen, seen_labels, test_size=0.25, random_state=seed, stratify=seen_labels
    )
    class_names = [str(name) for name in bunch.target_names]
    return Data(digest, class_names, Part(fit, fit_labels), Part(validate, validate_labels), Part(held_out, held_out_labels))

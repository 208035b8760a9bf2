"""The classifiers that a training run tries. Loaded by the training program alone."""

from dataclasses import dataclass
from typing import Protocol

from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from factory_infra.paas.training.programs.data import Labels, Rows


class Classifier(Protocol):
    """What every candidate can do."""

    def fit(self, rows: Rows, labels: Labels) -> object:
        """Learn from labelled rows."""
        ...

    def predict(self, rows: Rows) -> Labels:
        """Name each row's class."""
        ...

    def score(self, rows: Rows, labels: Labels) -> float:
        """Return the share of rows that are named rightly."""
        ...


@dataclass(frozen=True)
class Candidate:
    """One algorithm with its settings."""

    algorithm: str
    settings: dict[str, float | int]

    def build(self, seed: int, threads: int) -> Classifier:
        """Return a fresh pipeline that scales and then classifies."""
        makers = {
            "logistic_regression": lambda: LogisticRegression(max_iter=2000, random_state=seed, **self.settings),
            "svm": lambda: SVC(random_state=seed, **self.settings),
            "mlp": lambda: MLPClassifier(hidden_layer_sizes=(64,), max_iter=600, random_state=seed, **self.settings),
            "k_neighbors": lambda: KNeighborsClassifier(n_jobs=threads, **self.settings),
        }
        classifier: Classifier = make_pipeline(StandardScaler(), makers[self.algorithm]())
        return classifier

    def __str__(self) -> str:
        return f"{self.algorithm}({', '.join(f'{key}={value}' for key, value in self.settings.items())})"


GRID = (
    Candidate("logistic_regression", {"C": 0.1}),
    Candidate("logistic_regression", {"C": 1.0}),
    Candidate("svm", {"C": 1.0}),
    Candidate("svm", {"C": 10.0}),
    Candidate("svm", {"C": 10.0, "gamma": 0.005}),
    Candidate("k_neighbors", {"n_neighbors": 3}),
    Candidate("k_neighbors", {"n_neighbors": 5}),
    Candidate("mlp", {"alpha": 0.0001}),
)


def candidates_for(algorithm: str) -> list[Candidate]:
    """Return what is tried for an algorithm; `auto` tries everything."""
    return [candidate for candidate in GRID if algorithm in {"auto", candidate.algorithm}]

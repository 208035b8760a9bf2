"""The job of one trial of a classifier: `python -m factory_infra.paas.training.programs.trial`, in the job's folder."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from factory_infra.errors import InvalidInput, LineshaftError
from factory_infra.iaas.jobs.providers.verdict import EXIT_STORAGE
from factory_infra.paas.training.capture import environment_tags
from factory_infra.paas.training.programs.data import Data, load, of_set
from factory_infra.paas.training.programs.export import holdout, measure, to_portable
from factory_infra.paas.training.programs.reporting import leave, progress, report, say
from factory_infra.paas.training.programs.tabular import HOLDOUT_FILE, MODEL_FILE
from factory_infra.paas.training.settings import TrainingSettings
from factory_infra.paas.training.spec import DATA_FILE, SET_PREFIX
from factory_infra.paas.training.studies.programs import TrialOrder
from factory_infra.paas.training.studies.reports import RESULT_FILE, TRIAL_FILE
from factory_infra.paas.training.studies.space import Scalar
from factory_infra.paas.training.tracking import Tracking

SHARES_MAX = 8
CLASS_ROWS_MIN = 5
Settings = dict[str, Scalar]


def main() -> None:
    """Try the parameters, report on the way, leave the result; a refusal is one line in the log and an exit code."""
    folder = Path.cwd()
    try:
        order = TrialOrder.model_validate_json((folder / TRIAL_FILE).read_text(encoding="utf-8"))
        data = of_set(folder / DATA_FILE, order.seed) if order.dataset.startswith(SET_PREFIX) else load(order.dataset, order.seed)
        began = time.monotonic()
        classifier, value = tried(order, data, folder)
        metrics = asyncio.run(kept(order, data, classifier, {"validation_accuracy": value, "seconds": time.monotonic() - began}))
        leave(folder / RESULT_FILE, json.dumps({"value": value, order.metric: value, "metrics": metrics, "run_id": order.run_id}))
        progress(folder, 100, "done")
    except ValueError as error:  # what scikit-learn says of settings that do not go together, and pydantic of a broken order
        say(f"trial_invalid: {error}")
        sys.exit(1)
    except LineshaftError as error:
        say(f"{error.error_code}: {error}")
        sys.exit(1)
    except OSError as error:
        say(f"could not read or write: {error}")
        sys.exit(EXIT_STORAGE)
    say(f"{order.algorithm} {order.parameters}: validation accuracy {value:.4f}, held-out {metrics['accuracy']:.4f}")


def tried(order: TrialOrder, data: Data, folder: Path) -> tuple[Pipeline, float]:
    """Fit step by step, report each step's accuracy on the validation part, and return the last classifier with it."""
    classifier, value = None, 0.0
    steps = list(steps_of(order, data))
    for number, fit in enumerate(steps, 1):
        classifier = fit()
        value = float(classifier.score(data.validate.rows, data.validate.labels))
        report(folder, number, value)
        progress(folder, 90 * number / len(steps), f"step {number} of {len(steps)}")
    if classifier is None:
        raise InvalidInput(f"{order.algorithm} has no steps.", remedy="Ask for at least one epoch.")
    return classifier, value


def steps_of(order: TrialOrder, data: Data) -> Iterator[Callable[[], Pipeline]]:
    """What is fitted at each step: an epoch more, or a larger share of the rows."""
    if order.algorithm == "mlp":
        yield from epochs(order, data)
        return
    steps = min(order.epochs, SHARES_MAX)
    classes = len(data.class_names)
    for number in range(1, steps + 1):
        count = len(data.fit.labels) * number // steps if number < steps else len(data.fit.labels)
        count = min(max(count, classes * CLASS_ROWS_MIN), len(data.fit.labels))
        if len(np.unique(data.fit.labels[:count])) == classes:
            yield lambda count=count: on_rows(order, data, count)  # type: ignore[misc]  # the loop's own count


def on_rows(order: TrialOrder, data: Data, count: int) -> Pipeline:
    """Fit on the first rows; they are shuffled."""
    classifier = make_pipeline(StandardScaler(), built(order.algorithm, dict(order.parameters), order.seed))
    return classifier.fit(data.fit.rows[:count], data.fit.labels[:count])


def epochs(order: TrialOrder, data: Data) -> Iterator[Callable[[], Pipeline]]:
    """One network, an epoch further at each step."""
    settings = dict(order.parameters)
    width, depth = int(settings.pop("hidden", 64)), int(settings.pop("layers", 1))
    renamed = {"learning_rate": "learning_rate_init", "batch": "batch_size"}
    network = MLPClassifier(
        hidden_layer_sizes=(width,) * depth, random_state=order.seed, **{renamed.get(name, name): value for name, value in settings.items()}
    )
    scaler = StandardScaler().fit(data.fit.rows)
    rows, classes = scaler.transform(data.fit.rows), np.unique(data.fit.labels)
    if isinstance(network.batch_size, int):
        network.batch_size = min(network.batch_size, len(rows))

    def further() -> Pipeline:
        network.partial_fit(rows, data.fit.labels, classes=classes)
        return Pipeline([("standardscaler", scaler), ("mlpclassifier", network)])

    for _ in range(order.epochs):
        yield further


def built(algorithm: str, settings: Settings, seed: int) -> object:
    """A fresh classifier with these settings."""
    makers: dict[str, Callable[[], object]] = {
        "logistic_regression": lambda: LogisticRegression(max_iter=2000, random_state=seed, **settings),
        "svm": lambda: SVC(random_state=seed, **settings),
        "k_neighbors": lambda: KNeighborsClassifier(**settings),
        "random_forest": lambda: RandomForestClassifier(random_state=seed, **settings),
    }
    return makers[algorithm]()


async def kept(order: TrialOrder, data: Data, classifier: Pipeline, metrics: dict[str, float]) -> dict[str, float]:
    """Export and measure the classifier, and leave it with the trial's run, so that the best can be registered."""
    model = to_portable(classifier, data.fit.rows)
    metrics = metrics | measure(model, classifier, data)
    if not order.run_id:
        return metrics
    tracking = Tracking(TrainingSettings.model_validate({}).mlflow_tracking_uri)
    try:
        run = await tracking.run(order.run_id)
        lineage = {"dataset": order.dataset, "dataset_digest": data.digest, "algorithm": order.algorithm, "job_id": Path.cwd().name}
        await tracking.log(order.run_id, metrics, {}, {f"lineshaft.{key}": value for key, value in lineage.items()} | environment_tags())
        await tracking.upload(run, MODEL_FILE, model)
        await tracking.upload(run, HOLDOUT_FILE, holdout(model, data).encode())
    finally:
        await tracking.close()
    return metrics


if __name__ == "__main__":
    main()

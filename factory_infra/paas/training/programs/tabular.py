"""The job that trains a tabular classifier: `python -m factory_infra.paas.training.programs.tabular`, in the job's folder."""

import asyncio
import json
import os
import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from factory_infra.errors import LineshaftError
from factory_infra.iaas.jobs.providers.verdict import EXIT_STORAGE
from factory_infra.paas.training.capture import environment_tags
from factory_infra.paas.training.models import TrainingResult, TrainingSpec
from factory_infra.paas.training.programs.candidates import Candidate, Classifier, candidates_for
from factory_infra.paas.training.programs.data import Data, load, of_set
from factory_infra.paas.training.programs.export import holdout, measure, to_portable
from factory_infra.paas.training.settings import TrainingSettings
from factory_infra.paas.training.spec import DATA_FILE, RESULT_FILE, SET_PREFIX, SPEC_FILE
from factory_infra.paas.training.tracking import Run, Tracking

PACKAGES = ("numpy", "scikit-learn", "skl2onnx", "onnxruntime")
MODEL_FILE = "model.onnx"
HOLDOUT_FILE = "holdout.json"


@dataclass(frozen=True)
class Trained:
    """What training left in memory."""

    began: float
    data: Data
    candidate: Candidate
    model: bytes
    holdout: str
    metrics: dict[str, float]


def main() -> None:
    """Train, track, leave the result; a refusal is one line in the log and an exit code."""
    folder = Path.cwd()
    try:
        spec = TrainingSpec.model_validate_json((folder / SPEC_FILE).read_text(encoding="utf-8"))
        trained = train(spec, folder)
        result = asyncio.run(track(spec, trained, TrainingSettings.model_validate({}).mlflow_tracking_uri, folder))
        progress(folder, 100, "done")
    except LineshaftError as error:
        say(f"{error.error_code}: {error}")
        sys.exit(1)
    except OSError as error:
        say(f"could not read or write: {error}")
        sys.exit(EXIT_STORAGE)
    say(f"held-out accuracy {result.accuracy:.4f} with {result.algorithm}; run {result.run_id}; {result.seconds:.1f} s")


def train(spec: TrainingSpec, folder: Path) -> Trained:
    """Try every candidate on the validation part, fit the best on all that is not held out, export and measure it."""
    began = time.time()
    data = of_set(folder / DATA_FILE, spec.seed) if spec.dataset.startswith(SET_PREFIX) else load(spec.dataset, spec.seed)
    threads = len(os.sched_getaffinity(0))
    fit, choose_by, held_out = (len(part.labels) for part in (data.fit, data.validate, data.held_out))
    say(f"{spec.dataset}: {fit} rows to fit, {choose_by} to choose by, {held_out} held out")
    best, validation = choose(spec, data, threads, folder)
    classifier: Classifier = best.build(spec.seed, threads)
    classifier.fit(data.fit_and_validate.rows, data.fit_and_validate.labels)
    progress(folder, 80, "exporting")
    model = to_portable(classifier, data.fit.rows)
    metrics = measure(model, classifier, data) | {"validation_accuracy": validation}
    return Trained(began, data, best, model, holdout(model, data), metrics)


def choose(spec: TrainingSpec, data: Data, threads: int, folder: Path) -> tuple[Candidate, float]:
    """Return the candidate that is best on the validation part, with its accuracy; the earlier one of equals."""
    candidates = candidates_for(spec.algorithm)
    scores: list[tuple[Candidate, float]] = []
    for number, candidate in enumerate(candidates):
        progress(folder, 10 + 70 * number / len(candidates), f"fitting {candidate.algorithm}")
        began = time.monotonic()
        classifier = candidate.build(spec.seed, threads)
        classifier.fit(data.fit.rows, data.fit.labels)
        score = float(classifier.score(data.validate.rows, data.validate.labels))
        say(f"{candidate}: validation accuracy {score:.4f} in {time.monotonic() - began:.2f} s")
        scores.append((candidate, score))
    return max(scores, key=lambda scored: scored[1])


async def track(spec: TrainingSpec, trained: Trained, mlflow_url: str, folder: Path) -> TrainingResult:
    """Log everything to the run of this key and leave the result in the job's folder."""
    progress(folder, 90, "tracking")
    tracking = Tracking(mlflow_url)
    try:
        experiment_id = await tracking.experiment(f"{spec.tenant}/{spec.model_name}")
        run = await tracking.run_of_key(experiment_id, spec.run_key, trained.began)
        seconds = round(time.time() - trained.began, 3)
        tags = tags_of(spec, trained, folder) | environment_tags()
        await tracking.log(run.info.run_id, trained.metrics | {"seconds": seconds}, params_of(spec, trained), tags)
        await tracking.log_dataset(run.info.run_id, dataset_of(spec, trained.data))
        await tracking.upload(run, MODEL_FILE, trained.model)
        await tracking.upload(run, HOLDOUT_FILE, trained.holdout.encode())
        await tracking.finish(run.info.run_id)
    finally:
        await tracking.close()
    result = result_of(spec, trained, run, seconds)
    leave(folder, result)
    return result


def params_of(spec: TrainingSpec, trained: Trained) -> dict[str, str]:
    """Return what would have to be the same for the same model."""
    settings = {key: str(value) for key, value in trained.candidate.settings.items()}
    chosen = {"dataset": spec.dataset, "seed": str(spec.seed), "algorithm_asked": spec.algorithm, "algorithm": trained.candidate.algorithm}
    return chosen | settings


def tags_of(spec: TrainingSpec, trained: Trained, folder: Path) -> dict[str, str]:
    """Return lineage and environment."""
    lineage = {
        "tenant": spec.tenant,
        "model_name": spec.model_name,
        "dataset": spec.dataset,
        "dataset_digest": trained.data.digest,
        "algorithm": trained.candidate.algorithm,
        "plan_id": spec.plan_id,
        "job_id": folder.name,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    packages = {f"package.{name}": version(name) for name in PACKAGES}
    named = {"mlflow.runName": f"{spec.model_name} {trained.candidate.algorithm}", "mlflow.user": spec.tenant}
    return {f"lineshaft.{key}": value for key, value in (lineage | packages).items()} | named


def dataset_of(spec: TrainingSpec, data: Data) -> dict[str, str]:
    """Return the dataset as the tracking server lists it; its digest field holds 36 characters at most, the tag holds all."""
    rows = len(data.fit_and_validate.labels) + len(data.held_out.labels)
    packaged = {"package": f"scikit-learn {version('scikit-learn')}", "name": spec.dataset}
    of_a_set = spec.dataset.startswith(SET_PREFIX)
    return {
        "name": spec.dataset,
        "digest": data.digest[:36],
        "source_type": "training set" if of_a_set else "package",
        "source": json.dumps({"training_set": spec.dataset} if of_a_set else packaged),
        "schema": json.dumps({"features": int(data.fit.rows.shape[1]), "classes": data.class_names}),
        "profile": json.dumps({"num_rows": rows}),
    }


def result_of(spec: TrainingSpec, trained: Trained, run: Run, seconds: float) -> TrainingResult:
    """Say what was reached and where it is kept."""
    return TrainingResult(
        run_id=run.info.run_id,
        experiment_id=run.info.experiment_id,
        model_name=spec.model_name,
        dataset=spec.dataset,
        dataset_digest=trained.data.digest,
        algorithm=trained.candidate.algorithm,
        accuracy=trained.metrics["accuracy"],
        metrics=trained.metrics,
        artifact=MODEL_FILE,
        seconds=seconds,
    )


def leave(folder: Path, result: TrainingResult) -> None:
    """Write the result whole or not at all."""
    draft = folder / f".{RESULT_FILE}.new"
    draft.write_text(result.model_dump_json(), encoding="utf-8")
    draft.replace(folder / RESULT_FILE)


def progress(folder: Path, percent: float, stage: str) -> None:
    """Say how far the job is."""
    with (folder / "progress.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"percent": round(percent, 1), "stage": stage}) + "\n")


def say(line: str) -> None:
    """Put a line into the job's log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

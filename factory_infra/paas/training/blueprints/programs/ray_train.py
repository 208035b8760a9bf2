"""Data-parallel training with Ray Train over PyTorch: a Ray of the job's own, one worker a process."""

import json
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import ray  # type: ignore[import-not-found]  # of the training environment
import torch
from ray import train
from ray.train import RunConfig, ScalingConfig  # type: ignore[import-not-found]  # of the training environment
from ray.train.torch import TorchTrainer, prepare_model  # type: ignore[import-not-found]  # of the training environment

from factory_infra.paas.training.blueprints.programs.distributed import data, epoch_loss, loaded, measured, network
from factory_infra.paas.training.blueprints.programs.kit import RESULT_FILE, TrackedRun, leave, order, progress, report, say, surroundings

FOUND_FILE = "found.json"
SHORT = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - a folder of its own is made in one, readable by nobody else
LENGTH_MAX = 30
"""Sockets of Ray lie deep in its folder, and their paths may have 107 characters."""
MEMORY_BYTES = 100 * 1024**2
"""Ray's store of objects: nothing large lies in it."""


def main() -> None:
    """Start a Ray, train on it, end it."""
    told = order()
    workers = int(str(told["processes"]))
    home = short_folder()
    began = time.monotonic()
    try:
        ray.init(
            num_cpus=workers + 1, include_dashboard=False, object_store_memory=MEMORY_BYTES, _temp_dir=str(home), configure_logging=False
        )
        rows, labels, classes = data(told)
        given = {
            "told": told,
            "rows": rows.tolist(),
            "labels": labels.tolist(),
            "classes": classes,
            "file": str(Path(FOUND_FILE).resolve()),
        }
        trainer = TorchTrainer(
            one_worker,
            train_loop_config=given,
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=not told.get("cpu")),
            run_config=RunConfig(name="run", storage_path=str(Path("ray").resolve())),
        )
        trainer.fit()
    finally:
        ray.shutdown()
        shutil.rmtree(home, ignore_errors=True)
    metrics = json.loads(Path(FOUND_FILE).read_text(encoding="utf-8"))
    losses = [float(each) for each in metrics.pop("losses")]
    kept(told, {name: float(value) for name, value in metrics.items()} | {"seconds": time.monotonic() - began}, losses)


def short_folder() -> Path:
    """A new folder with a short path: a job's own is too deep."""
    for parent in (tempfile.gettempdir(), *SHORT):
        if len(parent) <= LENGTH_MAX:
            with suppress(OSError):
                return Path(tempfile.mkdtemp(prefix="ray-", dir=parent))
    raise SystemExit(f"ray_no_folder: no folder with a path of at most {LENGTH_MAX} characters can be written")


def one_worker(given: dict[str, object]) -> None:
    """What each worker does: the same epochs as under DDP."""
    told = dict(given["told"])  # type: ignore[call-overload]  # a mapping, handed on by Ray
    torch.manual_seed(int(str(told["seed"])))
    rows, labels = torch.tensor(given["rows"]), torch.tensor(given["labels"])
    network_made = network(rows.shape[1], int(str(told["width"])), int(str(told["layers"])), int(str(given["classes"])))
    model = prepare_model(network_made)
    device = next(model.parameters()).device
    batches, sampler, held_out = loaded(rows, labels, int(str(told["batch"])))
    optimiser = torch.optim.AdamW(model.parameters(), lr=float(str(told["learning_rate"])))
    losses = list[float]()
    for epoch in range(int(str(told["epochs"]))):
        sampler.set_epoch(epoch)
        losses.append(epoch_loss(model, batches, optimiser, device))
    accuracy = measured(model, held_out[0].to(device), held_out[1].to(device))
    context = train.get_context()
    if context.get_world_rank() == 0:
        # Ray keeps what is reported beside a checkpoint only.
        found = {"accuracy": accuracy, "losses": losses, "world_size": context.get_world_size()}
        Path(str(given["file"])).write_text(json.dumps(found), encoding="utf-8")
    train.report({"accuracy": accuracy})


def kept(told: dict[str, object], found: dict[str, float], losses: list[float]) -> None:
    """Track what came out, and leave it."""
    run = TrackedRun(told)
    asked = {name: told[name] for name in ("epochs", "batch", "width", "layers", "learning_rate", "seed")}
    tags = {str(name): str(value) for name, value in dict(told.get("tags") or {}).items()}  # type: ignore[call-overload]  # JSON
    run.log(found, asked, {**tags, **surroundings()})
    run.series("loss", losses)
    run.end()
    for step, loss in enumerate(losses, 1):
        report(step, -loss)
    leave(RESULT_FILE, json.dumps({**found, "losses": losses, "value": found["accuracy"], "run_id": run.run_id}))
    progress(100, "done")
    say(f"Ray Train over {found['world_size']:.0f} workers: accuracy {found['accuracy']:.4f}, loss {losses[0]:.4f} to {losses[-1]:.4f}")


if __name__ == "__main__":
    main()

"""Data-parallel training with PyTorch, by DDP or FSDP: started by `torch.distributed.run`, one process a device or core."""

import hashlib
import itertools
import json
import math
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from factory_infra.paas.training.blueprints.programs.hardware import chosen, hardware
from factory_infra.paas.training.blueprints.programs.kit import (
    RESULT_FILE,
    TrackedRun,
    checkpoints,
    leave,
    order,
    progress,
    report,
    say,
    surroundings,
)

DATA_FILE = "dataset.json"
CHECKPOINT = "checkpoint.pt"
VALIDATION_SHARE = 0.2
SPIRAL_TURNS = 1.25
Rows = tuple[torch.Tensor, ...]


def main() -> None:
    """Train, measure, track; rank 0 alone writes."""
    told = order()
    cuda = chosen(told).type == "cuda"
    dist.init_process_group("nccl" if cuda else "gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    device = torch.device("cuda", dist.get_node_local_rank(0)) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    torch.manual_seed(int(str(told["seed"])))
    rows, labels, classes = data(told)
    model = network(rows.shape[1], int(str(told["width"])), int(str(told["layers"])), classes).to(device)
    full_bytes = sum(each.numel() * each.element_size() for each in model.parameters())
    began = time.monotonic()
    found = trained(told, wrapped(str(told["strategy"]), model), (rows, labels), device)
    found |= {"seconds": time.monotonic() - began, "world_size": float(world), "model_bytes": float(full_bytes)}
    if rank == 0:
        kept(told, found)
    dist.barrier()
    dist.destroy_process_group()


def data(told: dict[str, object]) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Rows and labels: a training set's, or interleaved spirals drawn from the seed."""
    file = Path(DATA_FILE)
    if file.exists():
        read = json.loads(file.read_text(encoding="utf-8"))
        names = sorted(set(read["labels"]))
        rows = torch.tensor(read["rows"], dtype=torch.float32)
        rows = (rows - rows.mean(0)) / rows.std(0).clamp_min(1e-6)
        return rows, torch.tensor([names.index(each) for each in read["labels"]]), len(names)
    generator = torch.Generator().manual_seed(int(str(told["seed"])))
    count, classes = int(str(told["rows"])), 3
    labels = torch.arange(count) % classes
    radius = torch.rand(count, generator=generator)
    angle = 2 * math.pi * (SPIRAL_TURNS * radius + labels / classes) + 0.1 * torch.randn(count, generator=generator)
    return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], 1), labels, classes


def network(features: int, width: int, layers: int, classes: int) -> nn.Sequential:
    """A perceptron."""
    sizes = [features, *([width] * layers)]
    hidden = [each for left, right in itertools.pairwise(sizes) for each in (nn.Linear(left, right), nn.GELU())]
    return nn.Sequential(*hidden, nn.Linear(width, classes))


def wrapped(strategy: str, model: nn.Sequential) -> nn.Module:
    """The same model whole in every process (ddp), or with its parameters, gradients and moments cut over them (fsdp)."""
    if strategy == "ddp":
        return DistributedDataParallel(model)
    device = next(model.parameters()).device.type
    mesh = dist.init_device_mesh(device, (dist.get_world_size(),))
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def trained(
    told: dict[str, object], model: nn.Module, given: tuple[torch.Tensor, torch.Tensor], device: torch.device
) -> dict[str, float | str | list[float]]:
    """Train epoch by epoch, from the checkpoint of an earlier attempt where there is one."""
    batches, sampler, held_out = loaded(*given, int(str(told["batch"])))
    held_rows, held_labels = held_out[0].to(device), held_out[1].to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=float(str(told["learning_rate"])))
    losses, epochs = list[float](), int(str(told["epochs"]))
    first = resumed(model, losses) if told["strategy"] == "ddp" else 0
    for epoch in range(first, epochs):
        sampler.set_epoch(epoch)
        losses.append(epoch_loss(model, batches, optimiser, device))
        accuracy = measured(model, held_rows, held_labels)
        if dist.get_rank() == 0:
            report(epoch + 1, accuracy)
            progress(90 * (epoch + 1) / epochs, f"epoch {epoch + 1} of {epochs}")
            if told["strategy"] == "ddp":
                keep(model, losses)
    accuracy = measured(model, held_rows, held_labels)
    return {"accuracy": accuracy, "losses": losses, "resumed_at": float(first), **shares(model)}


def loaded(
    rows: torch.Tensor, labels: torch.Tensor, batch: int
) -> tuple["DataLoader[Rows]", "DistributedSampler[Rows]", tuple[torch.Tensor, torch.Tensor]]:
    """What to train on, each process its own part, and what is held out."""
    cut = int(len(labels) * (1 - VALIDATION_SHARE))
    mixed = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    rows, labels = rows[mixed], labels[mixed]
    sampler: DistributedSampler[Rows] = DistributedSampler(TensorDataset(rows[:cut], labels[:cut]), shuffle=True)
    return DataLoader(sampler.dataset, batch_size=batch, sampler=sampler), sampler, (rows[cut:], labels[cut:])


def resumed(model: nn.Module, losses: list[float]) -> int:
    """Go on where an earlier attempt was cut off; return the epoch."""
    file = checkpoints() / CHECKPOINT
    if not file.exists():
        return 0
    kept_before = torch.load(file, weights_only=True, map_location="cpu")
    model.load_state_dict(kept_before["model"])
    losses += kept_before["losses"]
    return len(losses)


def keep(model: nn.Module, losses: list[float]) -> None:
    """Write a checkpoint, whole or not at all."""
    draft = checkpoints() / f".{CHECKPOINT}.new"
    torch.save({"model": model.state_dict(), "losses": losses}, draft)
    draft.replace(checkpoints() / CHECKPOINT)


def epoch_loss(model: nn.Module, batches: "DataLoader[Rows]", optimiser: torch.optim.Optimizer, device: torch.device) -> float:
    """One epoch; the mean loss over all processes."""
    model.train()
    total = torch.zeros(2, device=device)
    for rows, labels in batches:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(rows.to(device)), labels.to(device))
        loss.backward()
        optimiser.step()
        total += torch.tensor([float(loss.detach()) * len(labels), len(labels)], device=device)
    dist.all_reduce(total)
    return float(total[0] / total[1])


def measured(model: nn.Module, rows: torch.Tensor, labels: torch.Tensor) -> float:
    """The accuracy on rows that were not trained on. Every process asks: where parameters are cut, none has them all."""
    model.eval()
    with torch.no_grad():
        return float((model(rows).argmax(1) == labels).float().mean())


def shares(model: nn.Module) -> dict[str, float | str]:
    """How many bytes of parameters each process holds, and whether all hold the same."""
    own = [getattr(each, "to_local", lambda each=each: each)() for each in model.parameters()]
    held = sum(each.numel() * each.element_size() for each in own)
    digest = hashlib.sha256(b"".join(each.detach().cpu().contiguous().numpy().tobytes() for each in own)).hexdigest()
    told: list[tuple[int, str] | None] = [None] * dist.get_world_size()
    dist.all_gather_object(told, (held, digest))
    known = [each for each in told if each is not None]
    return {
        "bytes_a_process": float(max(each[0] for each in known)),
        "replicas_equal": float(len({each[1] for each in known}) == 1),
        "digest": digest,
    }


def kept(told: dict[str, object], found: dict[str, float | str | list[float]]) -> None:
    """Track what came out, and leave it."""
    run = TrackedRun(told)
    metrics = {name: value for name, value in found.items() if isinstance(value, float)}
    losses = found["losses"] if isinstance(found["losses"], list) else []
    asked = {name: told[name] for name in ("strategy", "epochs", "batch", "width", "layers", "learning_rate", "seed")}
    tags = {str(name): str(value) for name, value in dict(told.get("tags") or {}).items()}  # type: ignore[call-overload]  # JSON
    run.log(metrics, asked, {**tags, **surroundings(), **hardware(chosen(told))})
    run.series("loss", losses)
    run.end()
    leave(RESULT_FILE, json.dumps({**found, "value": found["accuracy"], "run_id": run.run_id}))
    progress(100, "done")
    over = f"{told['strategy']} over {found['world_size']:.0f} processes on {chosen(told).type}"
    say(f"{over}: accuracy {found['accuracy']:.4f}, loss {losses[0]:.4f} to {losses[-1]:.4f}")


if __name__ == "__main__":
    main()

"""All-reduce through torch.distributed: one process for each GPU of every node (NCCL), or for tests on processors (gloo)."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

from factory_infra.foundation.validation.models import BurnInOrder, Measurement
from factory_infra.foundation.validation.programs.settings import RunSettings
from factory_infra.foundation.validation.programs.timing import rounds

MIB = 1024**2
CONNECT_SECONDS = 120
ROUNDS = 20
RESULT = "all-reduce.json"
Backend = Literal["nccl", "gloo"]


def all_reduce(order: BurnInOrder, run: RunSettings, local: int, backend: Backend = "nccl") -> Iterator[Measurement]:
    """Start a process for each GPU of this node and read what its first one found. The bus bandwidth is told as NCCL's tests define it."""
    import torch.multiprocessing as processes  # noqa: PLC0415  (an extra, and heavy)

    file = run.folder / RESULT
    file.unlink(missing_ok=True)
    processes.spawn(member, args=(order.model_dump_json(), run.model_dump_json(), local, backend), nprocs=local, join=True)
    found = json.loads(file.read_text(encoding="utf-8"))
    how = f"{backend}, {local * run.nodes} processes on {run.nodes} nodes, {found['mib']} MiB of float32"
    yield Measurement(benchmark="all_reduce", variant="float32", value=found["bus_gb_per_second"], unit="GB/s", how=how)


def member(local_rank: int, order_text: str, run_text: str, local: int, backend: Backend) -> None:
    """One process of the collective. A fixed number of rounds, agreed on by all: they must not stop at different moments."""
    import torch  # noqa: PLC0415
    import torch.distributed as group  # noqa: PLC0415

    order, run = BurnInOrder.model_validate_json(order_text), RunSettings(**json.loads(run_text))
    world, rank = local * run.nodes, run.node_rank * local + local_rank
    address = f"tcp://{run.master_address}:{run.master_port}"
    group.init_process_group(backend, init_method=address, world_size=world, rank=rank, timeout=timedelta(seconds=CONNECT_SECONDS))
    try:
        device = f"cuda:{local_rank}" if backend == "nccl" else "cpu"
        if backend == "nccl":
            torch.cuda.set_device(local_rank)
        data = torch.ones(order.memory_mib * MIB // 4 // 4, device=device)

        def once() -> None:
            for _ in range(ROUNDS):
                group.all_reduce(data)
            data.fill_(1.0)

        taken = rounds(once, 0.0, settle=torch.cuda.synchronize if backend == "nccl" else group.barrier)
        group.all_reduce(data)
        if float(data[0]) != world:
            raise ArithmeticError("the sum of the all-reduce is wrong: a GPU or a link is faulty")
        size = data.numel() * 4
        bus = size * ROUNDS / taken.median * 2 * (world - 1) / world / 1e9
        if local_rank == 0:
            text = json.dumps({"bus_gb_per_second": bus, "mib": size // MIB})
            (run.folder / RESULT).write_text(text, encoding="utf-8")
    finally:
        group.destroy_process_group()

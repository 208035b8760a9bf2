"""Small fleets and workloads for the tests of the scheduler."""

from collections.abc import Mapping
from dataclasses import replace

from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import NodeSpec, Shape, Workload
from factory_infra.iaas.scheduling.policy import QuotaSpec, QuotaTree, SchedulingPolicy
from factory_infra.iaas.scheduling.queueing import Scheduler

PLAIN = SchedulingPolicy(placement="first_fit", guaranteed_seconds=0.0, history_half_life_seconds=0.0)


def nodes(count: int, gpus: int = 8, model: str = "H100", **other: object) -> list[NodeSpec]:
    """So many machines alike."""
    return [replace(NodeSpec(f"{model}-{at}", 64_000, 524_288, gpus, model), **other) for at in range(count)]  # type: ignore[arg-type]


def scheduler(
    policy: SchedulingPolicy = PLAIN, tree: QuotaTree | None = None, fleets: Mapping[str, list[NodeSpec]] | None = None
) -> Scheduler:
    """A scheduler over two machines of 8 GPUs, unless told otherwise."""
    return Scheduler(policy, tree, {pool: Fleet(specs) for pool, specs in (fleets or {"pool": nodes(2)}).items()})


def work(name: str, gpus: int = 1, queue: str = "team", **other: object) -> Workload:
    """A workload of one member that runs 100 seconds."""
    made = Workload(name, queue, Shape(1000, 1024, 1000, gpus), submitted_at=0.0, seconds=100.0)
    return replace(made, **other)  # type: ignore[arg-type]


def quotas(*specs: QuotaSpec) -> QuotaTree:
    """A tree of quotas."""
    return QuotaTree(queues=specs)


def guaranteed(name: str, gpus: float, **other: object) -> QuotaSpec:
    """A queue that is guaranteed so many GPUs."""
    return QuotaSpec.model_validate({"name": name, "guaranteed": {"gpus": gpus}, **other})


def started(core: Scheduler, now: float) -> list[str]:
    """What a pass starts."""
    return [start.workload for start in core.decide(now).starts]


def submitted(core: Scheduler, *workloads: Workload) -> Scheduler:
    """The scheduler after these were submitted."""
    for workload in workloads:
        core.submit(workload)
    return core

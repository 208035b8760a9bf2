"""Alibaba's `cluster-trace-gpu-v2023`: nodes with GPUs, and the pods that asked for them, whole and in shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from factory_infra.iaas.scheduling.models import GPU_MILLI, NodeSpec, Shape, Workload
from factory_infra.iaas.scheduling.traces.reading import Row, refused, rows
from factory_infra.iaas.twin.arrivals import Arrival, in_order

NODES_FILE: Final = "openb_node_list_gpu_node.csv"
PODS_FILE: Final = "openb_pod_list_{variant}.csv"
NODE_COLUMNS: Final = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
POD_COLUMNS: Final = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec", "creation_time", "deletion_time")


@dataclass(frozen=True, slots=True)
class Pod:
    """One task of the trace. Times are seconds since the trace began."""

    name: str
    shape: Shape
    created_at: float
    deleted_at: float
    qos: str = ""


def variants(folder: Path) -> dict[str, Path]:
    """The pod lists of a folder, by the name of their variant, `default` first."""
    before, after = PODS_FILE.split("{variant}")
    found = {path.name.removeprefix(before).removesuffix(after): path for path in sorted(folder.glob(PODS_FILE.format(variant="*")))}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != "default", name))}


def read_nodes(path: Path) -> tuple[NodeSpec, ...]:
    """Read the list of nodes.

    Raises:
        InvalidInput: code `trace_invalid`, naming file, line and remedy: a missing column, no or a negative number, a name twice.
    """
    found: dict[str, NodeSpec] = {}
    for row in rows(path, NODE_COLUMNS):
        name, gpus = row.text("sn"), row.whole("gpu")
        if name in found:
            raise row.refused(f"node {name} stands twice", "Every node has a line of its own.")
        model = row.text("model") if gpus else ""
        found[name] = NodeSpec(name, row.whole("cpu_milli", least=1), row.whole("memory_mib", least=1), gpus, model)
    return tuple(found.values())


def read_pods(path: Path, nodes: Sequence[NodeSpec]) -> tuple[Pod, ...]:
    """Read a list of pods that are to run on these nodes. Their order is the file's.

    A pod whose GPU types no node has is read, and never fits: lists of types name more than one cluster has.

    Raises:
        InvalidInput: code `trace_invalid`, naming file, line and remedy: a missing column, no or a negative number, a share of several
            GPUs, a pod that ends before it begins, or one that is larger than every node.
    """
    if not nodes:
        raise refused(path, 0, "there are no nodes to run it on", "Read the list of nodes first.")
    return tuple(_pod(row, nodes) for row in rows(path, POD_COLUMNS))


def _pod(row: Row, nodes: Sequence[NodeSpec]) -> Pod:
    shape = _shape(row)
    if not any(_holds(node, shape) for node in nodes):
        raise row.refused(
            f"pod {row.text('name')} is larger than every node: {shape.gpus} GPUs, {shape.cpu_milli} milli-cores, {shape.memory_mib} MiB",
            "Use the list of nodes that the trace came with, or take the pod out.",
        )
    created, deleted = row.number("creation_time"), row.number("deletion_time")
    if deleted < created:
        raise row.refused(f"it is deleted at {deleted:g} s, before it is created at {created:g} s", "Correct its times.")
    return Pod(row.text("name"), shape, created, deleted, row.fields.get("qos", ""))


def _shape(row: Row) -> Shape:
    gpus, milli = row.whole("num_gpu"), row.whole("gpu_milli", default=0)
    if gpus and not 0 < milli <= GPU_MILLI:
        raise row.refused(f"'gpu_milli' is {milli}", f"A pod with GPUs asks for 1 to {GPU_MILLI} thousandths of each.")
    if gpus > 1 and milli < GPU_MILLI:
        raise row.refused(f"it asks for {milli} thousandths of {gpus} GPUs", "Only one GPU is shared; several are whole.")
    named = row.fields["gpu_spec"].strip()
    models = frozenset(model for model in named.split("|") if model and model.lower() != "nan") if gpus else frozenset()
    return Shape(row.whole("cpu_milli"), row.whole("memory_mib"), milli if gpus else 0, gpus, models)


def _holds(node: NodeSpec, shape: Shape) -> bool:
    return node.gpus >= shape.gpus and node.cpu_milli >= shape.cpu_milli and node.memory_mib >= shape.memory_mib


def arrivals(pods: Sequence[Pod]) -> tuple[Arrival, ...]:
    """The pods as work that arrives when it did, of queues named by quality of service; the estimate is what it really took."""
    made = []
    for number, pod in enumerate(pods):
        seconds = max(1.0, pod.deleted_at - pod.created_at)
        workload = Workload(f"{pod.name}-{number}", pod.qos or "pods", pod.shape, pod.created_at, seconds)
        made.append(Arrival(workload, actual_seconds=seconds))
    return tuple(in_order(made))

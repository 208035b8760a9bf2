"""A registry of tiny models: linear classifiers in ONNX, made without a library of machine learning."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper, save

from factory_infra.errors import NotFound
from factory_infra.paas.deployments.providers.wire import Holdout
from factory_infra.paas.registry.models import ModelVersion

CLASSES = ["low", "high"]
OTHERWISE, FRAGILE = 8, 9
VERSIONS = 9
ROWS = [[float(first), float(second)] for first in range(-3, 4) for second in range(-3, 4)]


def write_tiny(folder: Path, shift: float, *, fragile: bool = False) -> None:
    """Write model and held-out rows: the class is high where the sum of two features is above a bound.

    Args:
        fragile: it fails on rows whose first feature is 90 or more, of which it was shown none.
    """
    weights = np.array([[-1.0, 1.0], [-1.0, 1.0]], dtype=np.float32)
    bias = np.array([shift, -shift], dtype=np.float32)
    constants = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")]
    nodes = [
        helper.make_node("Gemm", ["input", "weights", "bias"], ["plain"]),
        *(breaking(constants) if fragile else [helper.make_node("Identity", ["plain"], ["raw"])]),
        helper.make_node("Softmax", ["raw"], ["scores"], axis=1),
        helper.make_node("ArgMax", ["raw"], ["label"], axis=1, keepdims=0),
    ]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2]),
    ]
    graph = helper.make_graph(nodes, "tiny", [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 2])], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder.mkdir(parents=True, exist_ok=True)
    save(model, str(folder / "model.onnx"))
    labels = [CLASSES[int(sum(row) > shift)] for row in ROWS]
    holdout = Holdout(class_names=CLASSES, features=2, rows=ROWS, labels=labels, predictions=labels)
    (folder / "holdout.json").write_text(holdout.model_dump_json())


def breaking(constants: list[TensorProto]) -> list[NodeProto]:
    """Nodes that look the first feature up in a table of 90 zeros, which has no place for larger ones."""
    constants += [numpy_helper.from_array(np.zeros((90, 1), dtype=np.float32), "table"), numpy_helper.from_array(np.array(0), "first")]
    return [
        helper.make_node("Gather", ["input", "first"], ["column"], axis=1),
        helper.make_node("Relu", ["column"], ["positive"]),
        helper.make_node("Cast", ["positive"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["nothing"], axis=0),
        helper.make_node("Add", ["plain", "nothing"], ["raw"]),
    ]


class TinyRegistry:
    """Versions 1 to 9 of any model of any team: alike, but for 8, which has its bound at 50, and 9, which is fragile."""

    async def get(self, tenant: str, model_name: str, version: int | None = None) -> ModelVersion:
        """A version."""
        number = version or 1
        if not 1 <= number <= VERSIONS:
            raise NotFound(f"{model_name} has no version {version}.", code="version_unknown")
        told = {"run_id": "r", "dataset": "d", "dataset_digest": "d", "algorithm": "linear", "metrics": {}, "created_at": datetime.now(UTC)}
        return ModelVersion.model_validate({"tenant": tenant, "model_name": model_name, "version": number, **told})

    async def download(self, version: ModelVersion, folder: Path) -> Path:
        """Write its files."""
        write_tiny(folder, 50.5 if version.version == OTHERWISE else 0.5, fragile=version.version == FRAGILE)
        return folder / "model.onnx"

    async def register(self, tenant: str, model_name: str, run_id: str, key: str) -> ModelVersion:
        """Nothing is registered here."""
        raise NotImplementedError

    async def list(self, tenant: str | None = None) -> list[ModelVersion]:
        """None is listed."""
        return []

    async def archive(self, tenant: str, model_name: str, version: int) -> None:
        """None is archived."""

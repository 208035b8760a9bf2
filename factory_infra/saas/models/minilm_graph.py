"""The layers of all-MiniLM-L6-v2 as a graph for onnxruntime, made from the weights when the server starts.

Reimers and Gurevych, "Sentence-BERT" (2019), over BERT's layers (Devlin et al., 2018). onnxruntime multiplies the few rows of one short
text with these weights in a quarter of the time that numpy's BLAS takes.
"""

from collections.abc import Mapping

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from factory_infra.saas.models.safetensors import Tensor

DIMENSIONS = 384
LAYERS = 6
HEADS = 12
LAYER_NORM_EPSILON = 1e-12
OPSET, IR_VERSION = 20, 9
"""The first set of operations that has GELU, and the format that goes with it."""
LOG_ERRORS = 3


def session_over(tensors: Mapping[str, Tensor]) -> onnxruntime.InferenceSession:
    """Load the layers: `rows` of the embeddings of one text, shape (tokens, 384), to `mean`, their mean after the last layer, shape (384,).

    One thread: a text is short, and who asks side by side should not wait for one another's.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = LOG_ERRORS
    return onnxruntime.InferenceSession(model(tensors).SerializeToString(), options, providers=["CPUExecutionProvider"])


def model(tensors: Mapping[str, Tensor]) -> ModelProto:
    """The graph with its weights."""
    made = _Graph(tensors)
    rows = made.norm("rows", "embeddings.LayerNorm")
    for index in range(LAYERS):
        rows = made.layer(rows, f"encoder.layer.{index}")
    made.node("ReduceMean", [rows, made.constant(np.array([0], dtype=np.int64))], keepdims=0, output="mean")
    inputs = [make_tensor_value_info("rows", TensorProto.FLOAT, ["tokens", DIMENSIONS])]
    outputs = [make_tensor_value_info("mean", TensorProto.FLOAT, [DIMENSIONS])]
    graph = make_graph(made.nodes, "minilm", inputs, outputs, made.constants)
    return make_model(graph, opset_imports=[make_opsetid("", OPSET)], ir_version=IR_VERSION)


class _Graph:
    """Nodes and weights as they come to be."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def node(self, kind: str, inputs: list[str], *, output: str = "", **attributes: object) -> str:
        """Add an operation, and return the name of what it makes."""
        name = output or f"value{len(self.nodes)}"
        self.nodes.append(make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: np.ndarray) -> str:
        """Add a weight."""
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def dense(self, rows: str, name: str, scale: float = 1.0) -> str:
        """Rows through a dense layer, all of it by a factor."""
        weight, bias = (self._tensors[f"{name}.{part}"] * np.float32(scale) for part in ("weight", "bias"))
        return self.node("Add", [self.node("MatMul", [rows, self.constant(weight.T)]), self.constant(bias)])

    def norm(self, rows: str, name: str) -> str:
        """Rows normalised."""
        weights = [self.constant(self._tensors[f"{name}.{part}"]) for part in ("weight", "bias")]
        return self.node("LayerNormalization", [rows, *weights], axis=-1, epsilon=LAYER_NORM_EPSILON)

    def heads(self, rows: str, order: list[int]) -> str:
        """Rows cut into heads."""
        return self.node("Transpose", [self.node("Reshape", [rows, self._shape(-1, HEADS, DIMENSIONS // HEADS)])], perm=order)

    def layer(self, rows: str, name: str) -> str:
        """One layer: every token looks at all, then each by itself goes through the two dense layers."""
        attention = f"{name}.attention.self"
        query = self.heads(self.dense(rows, f"{attention}.query", (DIMENSIONS // HEADS) ** -0.5), [1, 0, 2])
        key = self.heads(self.dense(rows, f"{attention}.key"), [1, 2, 0])
        value = self.heads(self.dense(rows, f"{attention}.value"), [1, 0, 2])
        shares = self.node("Softmax", [self.node("MatMul", [query, key])], axis=-1)
        mixed = self.node("Transpose", [self.node("MatMul", [shares, value])], perm=[1, 0, 2])
        attended = self.dense(self.node("Reshape", [mixed, self._shape(-1, DIMENSIONS)]), f"{name}.attention.output.dense")
        rows = self.norm(self.node("Add", [attended, rows]), f"{name}.attention.output.LayerNorm")
        hidden = self.node("Gelu", [self.dense(rows, f"{name}.intermediate.dense")])
        return self.norm(self.node("Add", [self.dense(hidden, f"{name}.output.dense"), rows]), f"{name}.output.LayerNorm")

    def _shape(self, *sizes: int) -> str:
        return self.constant(np.array(sizes, dtype=np.int64))

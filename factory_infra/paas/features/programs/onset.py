"""Since when streams drift: `python -m factory_infra.paas.features.programs.onset`, streams on stdin, positions on stdout.

ADWIN (A. Bifet and R. Gavaldà, "Learning from Time-Changing Data with Adaptive Windowing", 2007) as River has it says whether a stream
changed. River takes seconds to load: so this is a process of its own, started only once drift was found.
"""

import json
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from river.drift import ADWIN

DELTA = 0.002
EDGE = 10
"""A change is not looked for in the first and last rows, of which a few say little."""


def onset(past: Sequence[float], present: Sequence[float]) -> int | None:
    """The position in the present from which on the stream's mean is another; None where ADWIN finds no change."""
    detector = ADWIN(delta=DELTA)
    found = False
    for value in [*past, *present]:
        detector.update(value)
        found = found or detector.drift_detected
    return max(0, split([*past, *present]) - len(past)) if found else None


def split(stream: Sequence[float]) -> int:
    """Where to cut a stream in two so that the squared distances from both parts' means are least: ADWIN's own cuts are coarse."""
    values = np.asarray(stream, dtype=np.float64)
    n = len(values)
    sizes = np.arange(1, n)
    left = np.cumsum(values)[:-1]
    gain = (left - sizes * values.mean()) ** 2 * n / (sizes * (n - sizes))
    inner = gain[EDGE : n - EDGE] if n > 2 * EDGE + 1 else gain
    return int(np.argmax(inner)) + (EDGE if n > 2 * EDGE + 1 else 0) + 1


def main() -> None:
    """Answer for each stream."""
    streams: Mapping[str, tuple[list[float], list[float]]] = json.load(sys.stdin)
    json.dump({name: onset(past, present) for name, (past, present) in streams.items()}, sys.stdout)


if __name__ == "__main__":
    main()

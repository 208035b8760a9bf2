"""How good a ranking is. Pure."""

import math
from collections.abc import Mapping, Sequence

RECALL_AT, NDCG_AT = 5, 10
RELEVANT = 2
"""From this grade on an entry answers a query."""


def recall(found: Sequence[str], grades: Mapping[str, int], at: int = RECALL_AT) -> float:
    """The share of what answers that is among the first; of more answers than places, as many as there are places count."""
    answers = {name for name, grade in grades.items() if grade >= RELEVANT}
    return len(answers & set(found[:at])) / min(len(answers), at) if answers else 1.0


def ndcg(found: Sequence[str], grades: Mapping[str, int], at: int = NDCG_AT) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen, 2002), with gain 2^grade - 1."""
    best = sorted(grades.values(), reverse=True)
    ideal = gain(best[:at])
    return gain([grades.get(name, 0) for name in found[:at]]) / ideal if ideal else 1.0


def reciprocal_rank(found: Sequence[str], grades: Mapping[str, int]) -> float:
    """One over the place of the first that answers; 0 where none does."""
    return next((1 / place for place, name in enumerate(found, 1) if grades.get(name, 0) >= RELEVANT), 0.0)


def gain(grades: Sequence[int]) -> float:
    """What grades are worth in their order."""
    return sum((float(2**grade) - 1.0) / math.log2(place + 1) for place, grade in enumerate(grades, 1))

"""Chance from a seed and a name: the same ones give the same draws, in every process and in whatever order they are asked for."""

from random import Random


def stream(seed: int, *names: object) -> Random:
    """Return the draws of one named thing, such as the failures of a node. Nothing secret is made of them."""
    return Random("/".join(str(part) for part in (seed, *names)))  # noqa: S311 (a simulation must be repeatable)


def spread(draws: Random, median: float, sigma: float) -> float:
    """A time around a median, with a long tail upward (log-normal); 0 where the median is."""
    return median * draws.lognormvariate(0.0, sigma) if median > 0 else 0.0

"""The pictures of the drift story: what shifted, how right the answers were, and which version gave them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.control_plane.garden import FEATURES
from factory_infra.paas.features.measures import histograms, kolmogorov_smirnov, population_stability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Asked = Sequence[tuple[float, int, float]]
ALPHA = 0.001 / len(FEATURES)
BIN_SECONDS = 2.0


def plot(samples: Mapping[str, list[list[float]]], asked: Asked, marks: Mapping[str, float], folder: Path) -> list[Path]:
    """Draw all three and return where they are."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy, and only for pictures

    mpl.use("Agg")
    return [shifted(samples, folder), right(asked, marks, folder), versions(asked, marks, folder)]


def shifted(samples: Mapping[str, list[list[float]]], folder: Path) -> Path:
    """Each feature before and after, with its measures."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - heavy

    figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
    before, after = (np.asarray(samples[name]) for name in ("before", "after"))
    for number, (axis, name) in enumerate(zip(axes.flat, FEATURES, strict=True)):
        first, second = before[:, number], after[:, number]
        bins = np.linspace(min(first.min(), second.min()), max(first.max(), second.max()), 40)
        axis.hist(first, bins, alpha=0.6, label="before", color="#4c6ef5")
        axis.hist(second, bins, alpha=0.6, label="after", color="#f76707")
        stability = population_stability(*histograms(first, second), ALPHA)
        distance = kolmogorov_smirnov(first, second)
        axis.set_title(f"{name}: PSI {stability.psi:.2f} (noise {stability.noise:.2f}), KS {distance.value:.2f}", fontsize=9)
    axes.flat[0].legend()
    figure.suptitle("What the instrument says, before and after it was exchanged")
    return saved(figure, folder / "shift.png")


def right(asked: Asked, marks: Mapping[str, float], folder: Path) -> Path:
    """How many answers were right, over time."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - heavy

    figure, axis = plt.subplots(figsize=(9, 4), layout="constrained")
    moments = np.asarray([moment for moment, _, _ in asked])
    shares = np.asarray([share for _, _, share in asked])
    edges = np.arange(moments.min(), moments.max() + BIN_SECONDS, BIN_SECONDS)
    places = np.digitize(moments, edges)
    middle = [(moments[places == place].mean(), shares[places == place].mean()) for place in np.unique(places)]
    axis.plot([each[0] for each in middle], [each[1] for each in middle], color="#2b8a3e")
    axis.set(xlabel="seconds", ylabel="answers that were right", ylim=(0, 1.05), title="Right answers of the endpoint")
    marked(axis, marks)
    return saved(figure, folder / "accuracy.png")


def versions(asked: Asked, marks: Mapping[str, float], folder: Path) -> Path:
    """Which version answered, over time."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - heavy

    figure, axis = plt.subplots(figsize=(9, 4), layout="constrained")
    moments = np.asarray([moment for moment, _, _ in asked])
    answered = np.asarray([version for _, version, _ in asked])
    edges = np.arange(moments.min(), moments.max() + BIN_SECONDS, BIN_SECONDS)
    places = np.digitize(moments, edges)
    known = sorted(set(answered.tolist()))
    columns = np.unique(places)
    shares = [[float(np.mean(answered[places == place] == version)) for place in columns] for version in known]
    at = [float(moments[places == place].mean()) for place in columns]
    axis.stackplot(at, shares, labels=[f"version {version}" for version in known], colors=["#adb5bd", "#4c6ef5", "#f76707"])
    axis.set(xlabel="seconds", ylabel="share of the requests", ylim=(0, 1), title="Which version answered")
    axis.legend(loc="center left")
    marked(axis, marks)
    return saved(figure, folder / "canary.png")


def marked(axis: "Axes", marks: Mapping[str, float]) -> None:
    """Say what happened when."""
    for number, (name, moment) in enumerate(sorted(marks.items(), key=lambda each: each[1])):
        axis.axvline(moment, color="#495057", linewidth=0.8, linestyle=":")
        axis.text(moment, 0.04 + 0.08 * (number % 3), name, fontsize=8, rotation=0, backgroundcolor="white")


def saved(figure: object, path: Path) -> Path:
    """Write a picture and forget it."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - heavy

    plt.figure(figure.number)  # type: ignore[attr-defined]  # a figure of pyplot has a number
    plt.savefig(path, dpi=110)
    plt.close()
    return path

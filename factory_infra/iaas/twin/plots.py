"""Pictures of a comparison, as PNG; each says in its title that it is simulated."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from factory_infra.errors import StorageFull
from factory_infra.iaas.twin.results import Comparison, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOUR = 3600.0
SIZE = (9.0, 5.0)
DOTS_PER_INCH = 110
WAIT_SECONDS_MIN = 1.0


def plot(comparison: Comparison, folder: Path) -> list[Path]:
    """Draw a comparison into a folder and return the files: occupancy.png, waiting.png, queue-times.png, cost.png. Raises StorageFull."""
    drawings = {"occupancy": occupancy, "waiting": waiting, "queue-times": queue_times, "cost": cost}
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in drawings.items():
            figure, axes = canvas()
            draw(axes, comparison)
            file = folder / f"{name}.png"
            figure.savefig(file, format="png", dpi=DOTS_PER_INCH)
            made.append(file)
    except OSError as error:
        reason = f"The plots cannot be written to {folder.name}: {error.strerror}."
        raise StorageFull(reason, remedy="Name a folder that can be written.") from error
    return made


def canvas() -> "tuple[Figure, Axes]":
    """An empty picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - heavy, and only who draws needs it
    from matplotlib.figure import Figure  # noqa: PLC0415 - heavy, and only who draws needs it

    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def first_of_each(comparison: Comparison) -> list[Results]:
    """Of each scenario the run with its first seed: what is drawn over time is one run, not a mean."""
    return [next(each for each in comparison.results if each.scenario == name) for name in comparison.scenarios]


def occupancy(axes: "Axes", comparison: Comparison) -> None:
    """GPU time held and computing, over time."""
    for number, each in enumerate(first_of_each(comparison)):
        hours = (np.array(each.series.at) - each.start_at) / HOUR
        axes.plot(hours, 100 * np.array(each.series.occupancy), color=f"C{number}", label=f"{each.scenario}: held")
        axes.plot(hours, 100 * np.array(each.series.activity), color=f"C{number}", linestyle=":", label=f"{each.scenario}: computing")
    finish(axes, "GPU time (simulated)", "virtual hours", "% of what is there")
    axes.set_ylim(0, 105)


def waiting(axes: "Axes", comparison: Comparison) -> None:
    """GPUs that are asked for and not given, over time."""
    for each in first_of_each(comparison):
        axes.plot((np.array(each.series.at) - each.start_at) / HOUR, each.series.waiting_gpus, label=each.scenario)
    finish(axes, "GPUs waited for (simulated)", "virtual hours", "GPUs")


def queue_times(axes: "Axes", comparison: Comparison) -> None:
    """Which share of the workloads that started had started within which time, over all seeds."""
    for name in comparison.scenarios:
        runs = [each for each in comparison.results if each.scenario == name]
        waits = [job.started_at - job.submitted_at for each in runs for job in each.jobs if job.started_at is not None]
        found = np.sort(np.maximum(waits, WAIT_SECONDS_MIN))
        if len(found):
            axes.step(found, 100 * np.arange(1, len(found) + 1) / len(found), where="post", label=name)
    axes.set_xscale("log")
    finish(axes, "Time in the queue (simulated)", "virtual seconds, up to 1 s shown as 1 s", "% of those that started")


def cost(axes: "Axes", comparison: Comparison) -> None:
    """Money by price class, mean of the seeds."""
    names = comparison.scenarios
    classes = sorted({name for each in comparison.results for name in each.cost})
    below = np.zeros(len(names))
    for price_class in classes:
        runs = [[each.cost.get(price_class, 0.0) for each in comparison.results if each.scenario == name] for name in names]
        means = np.array([float(np.mean(values)) for values in runs])
        axes.bar(names, means, bottom=below, label=price_class.replace("_", " "))
        below += means
    finish(axes, "Cost of the machines (simulated)", "", "in the price book's currency")


def finish(axes: "Axes", title: str, across: str, up: str) -> None:
    """Say what is seen."""
    axes.set_title(title)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")

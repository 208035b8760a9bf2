"""Pod lists of the documented kinds, drawn from the default one where the published ones are not at hand: simulated, and said to be."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from factory_infra.iaas.scheduling.models import GPU_MILLI, NodeSpec, Shape

Shapes = Sequence[Shape]


class Draw:
    """Draws pod lists as long as a given one, in which some kind of work is more frequent. Published are only the words for each kind."""

    def __init__(self, shapes: Shapes, nodes: Sequence[NodeSpec], seed: int = 0) -> None:
        self.nodes, self.random = nodes, np.random.default_rng(seed)
        self.all = list(shapes)
        self.without = [shape for shape in shapes if not shape.gpus]
        self.shares = [shape for shape in shapes if shape.gpus and shape.gpu_milli < GPU_MILLI]
        self.ones = [shape for shape in shapes if shape.gpus == 1 and shape.gpu_milli == GPU_MILLI]
        self.several = [shape for shape in shapes if shape.gpus > 1]
        self.with_gpus = [shape for shape in shapes if shape.gpus]

    def some(self, shapes: Shapes, count: int) -> list[Shape]:
        """So many, drawn with replacement."""
        return [shapes[place] for place in self.random.integers(len(shapes), size=count)] if shapes else []

    def until(self, shapes: Shapes, milli: float) -> list[Shape]:
        """Drawn with replacement until they ask for so many GPU thousandths."""
        found: list[Shape] = []
        while shapes and milli > 0:
            found += self.some(shapes, 1)
            milli -= found[-1].milli
        return found

    def cpu(self, share: float) -> list[Shape]:
        """A share of all pods has no GPU."""
        without = round(share * len(self.all))
        return self.some(self.without, without) + self.some(self.with_gpus, len(self.all) - without)

    def gpushare(self, share: float) -> list[Shape]:
        """A share of all GPUs that are asked for is asked for in parts."""
        milli = sum(shape.milli for shape in self.all)
        return self.without + self.until(self.shares, share * milli) + self.until([*self.ones, *self.several], (1 - share) * milli)

    def multigpu(self, share: float) -> list[Shape]:
        """A share of all GPUs that are asked for is asked for in several at once."""
        milli = sum(shape.milli for shape in self.all)
        return self.without + self.until(self.several, share * milli) + self.until([*self.shares, *self.ones], (1 - share) * milli)

    def gpuspec(self, share: float) -> list[Shape]:
        """A share of the pods with GPUs asks for one GPU type (or for one of two alike), the likelier the more there are of it."""
        gpus: dict[str, int] = {}
        for node in self.nodes:
            gpus[node.model] = gpus.get(node.model, 0) + node.gpus
        found = list(self.all)
        places = [place for place, shape in enumerate(found) if shape.gpus]
        for place in self.random.choice(places, size=round(share * len(places)), replace=False):
            shape = found[place]
            fits = sorted({node.model for node in self.nodes if holds(node, shape)})
            odds = np.array([gpus[model] for model in fits], float)
            model = fits[self.random.choice(len(fits), p=odds / odds.sum())]
            alike = {each for each in gpus if model.startswith("V100") and each.startswith("V100")} | {model}
            found[place] = replace(shape, models=frozenset(alike))
        return found


def holds(node: NodeSpec, shape: Shape) -> bool:
    """Whether an empty node has what a shape asks for."""
    return node.gpus >= shape.gpus and node.cpu_milli >= shape.cpu_milli and node.memory_mib >= shape.memory_mib


KINDS: dict[str, Callable[[Draw], list[Shape]]] = {
    "cpu050": lambda draw: draw.cpu(0.05),
    "cpu100": lambda draw: draw.cpu(0.10),
    "cpu200": lambda draw: draw.cpu(0.20),
    "cpu250": lambda draw: draw.cpu(0.25),
    "gpushare40": lambda draw: draw.gpushare(0.4),
    "gpushare60": lambda draw: draw.gpushare(0.6),
    "gpushare80": lambda draw: draw.gpushare(0.8),
    "gpushare100": lambda draw: draw.gpushare(1.0),
    "gpuspec10": lambda draw: draw.gpuspec(0.10),
    "gpuspec20": lambda draw: draw.gpuspec(0.20),
    "gpuspec25": lambda draw: draw.gpuspec(0.25),
    "gpuspec33": lambda draw: draw.gpuspec(0.33),
    "multigpu20": lambda draw: draw.multigpu(0.2),
    "multigpu30": lambda draw: draw.multigpu(0.3),
    "multigpu40": lambda draw: draw.multigpu(0.4),
    "multigpu50": lambda draw: draw.multigpu(0.5),
}
"""The kinds of the publication's figures 11 to 14."""


def simulated(kind: str, shapes: Shapes, nodes: Sequence[NodeSpec], seed: int = 0) -> list[Shape]:
    """A pod list of a documented kind."""
    return KINDS[kind](Draw(shapes, nodes, seed))

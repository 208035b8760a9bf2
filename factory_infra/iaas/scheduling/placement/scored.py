"""Policies that keep what nodes are expected to lose as low as they can: fragmentation gradient descent, and ours."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from factory_infra.iaas.scheduling.fleet import Bools, Fleet, Ints, check_shape, share_of
from factory_infra.iaas.scheduling.models import GPU_MILLI, Seat, Shape
from factory_infra.iaas.scheduling.placement.base import Policy, lowest_gpus
from factory_infra.iaas.scheduling.placement.kernels import Ask, Board, Expected, Nodes, best, score_all, score_changed
from factory_infra.iaas.scheduling.placement.mix import Mix, Observed, most_frequent, per_gpu_milli, without_memory
from factory_infra.iaas.scheduling.placement.rehearsal import leftover

BOARDS_KEPT_MAX: Final = 1024
"""For how many shapes the scores of all nodes are kept; the one asked for longest ago is forgotten first."""
NOWHERE: Final = np.zeros(0, np.bool_)
SCARCE_MIN: Final = 0.01

NodeKind = tuple[str, str, bool, tuple[int, ...]]
"""Type, price class, whether it has EFA, and fixed shares of a kind of node."""


class Weights(NamedTuple):
    """How much each part of a node's burden counts, in thousandths of a GPU each."""

    fragmentation: float = 0.0
    stranding: float = 0.0
    leftover: float = 0.0
    scarcity: float = 0.0


@dataclass(slots=True)
class Scores:
    """One shape's board, as it was after `seen` changes of the fleet."""

    ask: Ask
    board: Board
    seen: int


@dataclass(slots=True)
class View:
    """One fleet, as a scored policy sees it: valid while no node comes or goes, and the expected mix stays."""

    generation: int
    learned: int
    nodes: Nodes
    expected: Expected
    rank: Ints
    kinds: tuple[NodeKind, ...]
    boards: OrderedDict[Shape, Scores] = field(default_factory=OrderedDict)


class Scored(Policy):
    """Chooses the node whose burden falls most (or grows least), in steps of a hundredth; of equals the first in one random order.

    That order is fixed for the fleet's life: equals are filled one after the other, and the nodes at its end stay whole.
    """

    weights: ClassVar[Weights]

    def __init__(self, seed: int = 0, typical: Mix | None = None) -> None:
        """Take the mix that is to be expected; None to learn it from `observe`."""
        super().__init__(seed)
        self._given = typical
        self._observed = Observed()
        self._views: WeakKeyDictionary[Fleet, View] = WeakKeyDictionary()

    def observe(self, shape: Shape) -> None:
        """Learn that a workload of this shape arrived; nothing where the mix was given."""
        if self._given is None:
            self._observed.add(shape)

    def place(self, fleet: Fleet, shape: Shape, among: Bools | None = None) -> Seat | None:
        """Return the free seat that adds least to what is expected to be lost."""
        view = self._view(fleet)
        scores = self._scores(fleet, view, shape)
        node = best(scores.board.score, view.rank, NOWHERE if among is None else among)
        if node < 0:
            return None
        return Seat(node, (int(scores.board.choice[node]),) if scores.ask.shared else lowest_gpus(fleet, node, shape))

    def _view(self, fleet: Fleet) -> View:
        view = self._views.get(fleet)
        if view is None or view.generation != fleet.generation or view.learned != self._observed.version:
            view = self._new_view(fleet)
            self._views[fleet] = view
        return view

    def _new_view(self, fleet: Fleet) -> View:
        kinds: dict[NodeKind, int] = {}
        kind = np.zeros(len(fleet), np.int64)
        for node, spec in enumerate(fleet.specs):
            if spec is not None:
                kind[node] = kinds.setdefault((spec.model, spec.price_class, spec.efa, tuple(sorted(spec.mig_milli))), len(kinds))
        nodes = Nodes(fleet.gpu_free, fleet.cpu_free, fleet.memory_free, fleet.gpus, kind, fleet.fit, fleet.version)
        rank = np.argsort(self.order(fleet), kind="stable")
        return View(fleet.generation, self._observed.version, nodes, self._expected(fleet, tuple(kinds)), rank, tuple(kinds))

    def _expected(self, fleet: Fleet, kinds: tuple[NodeKind, ...]) -> Expected:
        """The expected mix in arrays, weighed for a fleet."""
        mix = self._given if self._given is not None else self._observed.mix
        typical = most_frequent(without_memory(mix)) if self.weights.fragmentation else []
        scarce = scarcity(fleet, mix) if self.weights.scarcity else []
        shapes = [shape for shape, _ in (*typical, *scarce)]
        asks = np.array([(shape.cpu_milli, shape.memory_mib, shape.gpus) for shape in shapes], np.int64).reshape(-1, 3)
        needs = np.zeros((len(shapes), max(1, len(kinds))), np.int64)
        for row, shape in enumerate(shapes):
            needs[row, : len(kinds)] = [max(0, need_of(shape, kind)) for kind in kinds]
        shares = np.array([share for _, share in typical] + [0.0] * len(scarce))
        scarcities = np.array([0.0] * len(typical) + [each for _, each in scarce])
        table = leftover(mix) if self.weights.leftover else np.zeros(GPU_MILLI + 1)
        weights = np.array([*self.weights, *per_gpu_milli(mix)])
        return Expected(asks, needs, shares, scarcities, table, weights)

    def _scores(self, fleet: Fleet, view: View, shape: Shape) -> Scores:
        """The shape's board, brought up to date: only nodes that changed since are scored again."""
        scores = view.boards.get(shape) or self._first_scores(fleet, view, shape)
        view.boards.move_to_end(shape)
        if scores.seen != fleet.changes:
            changed = fleet.changed_since(scores.seen)
            if changed is None:
                score_all(view.nodes, view.expected, scores.ask, scores.board)
            else:
                score_changed(view.nodes, view.expected, scores.ask, scores.board, changed, scores.seen)
            scores.seen = fleet.changes
        return scores

    def _first_scores(self, fleet: Fleet, view: View, shape: Shape) -> Scores:
        """A new board: of the fleet that this one is a copy of, as far as that is the same still, or from nothing."""
        made = self._of_origin(fleet, view, shape)
        if made is None:
            check_shape(shape)
            by_kind = np.array([need_of(shape, kind) for kind in view.kinds] or [-1], np.int64)
            board = Board(by_kind[view.nodes.kind], np.full(len(fleet), -1), np.zeros(len(fleet), np.int64))
            made = Scores(Ask(shape.cpu_milli, shape.memory_mib, shape.gpus, 0 < shape.gpu_milli < GPU_MILLI), board, fleet.changes)
            score_all(view.nodes, view.expected, made.ask, board)
        view.boards[shape] = made
        if len(view.boards) > BOARDS_KEPT_MAX:
            view.boards.popitem(last=False)
        return made

    def _of_origin(self, fleet: Fleet, view: View, shape: Shape) -> Scores | None:
        origin = fleet.origin
        there = self._views.get(origin) if origin is not None else None
        if there is None or (there.generation, there.learned) != (view.generation, view.learned):
            return None
        scores = there.boards.get(shape)
        if scores is None or scores.seen > fleet.copied_at:
            return None
        return Scores(scores.ask, Board(scores.board.need, scores.board.score.copy(), scores.board.choice.copy()), scores.seen)


def need_of(shape: Shape, kind: NodeKind) -> int:
    """Thousandths that one GPU of a kind of node gives for a shape; 0 without GPUs, -1 where the kind will not do."""
    model, price_class, efa, shares = kind
    if (shape.models and model not in shape.models) or (shape.price_classes and price_class not in shape.price_classes):
        return -1
    if shape.network == "efa" and not efa:
        return -1
    need = share_of(shape.gpu_milli, shares) if shape.gpus else 0
    return need if need <= GPU_MILLI else -1


def scarcity(fleet: Fleet, mix: Mix) -> Mix:
    """How scarce seats are for the typical shapes, and for all of several GPUs or of certain types only: 0 to 1.

    It is the square of demand (how many would run if the mix filled all GPUs) over supply (how many fit when nothing else runs), at most 1.
    """
    milli = sum(share * shape.milli for shape, share in mix)
    if not milli:
        return []
    usual = {shape for shape, _ in most_frequent(mix)}
    found = []
    for shape, share in mix:
        if shape.gpus and (shape in usual or shape.gpus > 1 or shape.models):
            supply = int(fleet.slots_when_empty(shape).sum())
            demand = share * fleet.capacity_milli / milli
            scarce = min(1.0, demand / supply) ** 2 if supply else 0.0
            if scarce >= SCARCE_MIN:
                found.append((shape, scarce))
    return found


class Fgd(Scored):
    """Fragmentation gradient descent ("Beware of Fragmentation", USENIX ATC 2023)."""

    weights = Weights(fragmentation=1)


class StrandingFgd(Scored):
    """Fragmentation gradient descent that also counts GPUs without enough cores or memory beside them."""

    weights = Weights(fragmentation=1, stranding=2)


class LeastLeftover(Scored):
    """Leaves as little as it can: counts what a rehearsal of the mix left of GPUs, stranded GPUs, and seats that scarce shapes lose."""

    weights = Weights(stranding=2, leftover=3, scarcity=0.3)

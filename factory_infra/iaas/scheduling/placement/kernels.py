"""The inner loops of placement, compiled: what a node is worth, the score of a shape on the nodes that changed, and the best of all nodes.

It imports Numba, which takes a second: it is itself imported where a policy that needs it is first built, never when a process starts.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
F = TypeVar("F", bound=Callable[..., object])

compiled = cast("Callable[[F], F]", numba.njit(cache=True, nogil=True))
"""Compile when first called, and keep the machine code beside this file (or where Numba keeps its own, where that is read-only)."""


class Nodes(NamedTuple):
    """A fleet's arrays."""

    gpu_free: Ints
    cpu_free: Ints
    memory_free: Ints
    gpus: Ints
    kind: Ints
    """Nodes of one kind are alike in GPU type, price class, network and fixed shares."""
    fit: Bools
    version: Ints


class Expected(NamedTuple):
    """What is expected to arrive, and what a node's state is worth in the light of it."""

    asks: Ints
    """Cores, memory and GPUs of each expected shape, by row."""
    needs: Ints
    """Thousandths that one GPU of each kind of node gives for each expected shape; 0 where the kind will not do."""
    shares: Floats
    """Of all arrivals, for the fragmentation; 0 for shapes that are not typical."""
    scarcity: Floats
    """How scarce nodes are that can hold each expected shape; 0 for plenty."""
    leftover: Floats
    """What is expected to stay unused in the end of a GPU, by how many thousandths of it are free now."""
    weights: Floats
    """Of fragmentation, stranding, leftover and scarcity; then cores and memory that go with a thousandth of a GPU."""


class Ask(NamedTuple):
    """The shape to be placed."""

    cpu: int
    memory: int
    gpus: int
    shared: bool
    """It asks for a part of one GPU, and the GPU is chosen by its score; whole GPUs are taken from the lowest index."""


class Board(NamedTuple):
    """The scores of one shape."""

    need: Ints
    """Thousandths that one GPU of each node gives for it; -1 where the node will not do."""
    score: Ints
    """By node; -1 where it does not fit now."""
    choice: Ints
    """The GPU that a share would get, by node."""


class Stage(NamedTuple):
    """The GPUs of a rehearsal, all alike, by how many units of them are free."""

    free: Ints
    """By GPU."""
    listed: Ints
    """The GPUs with so many free units, in any order; the first `many` entries hold."""
    place: Ints
    """Of each GPU in its list."""
    many: Ints
    """How many GPUs have so many free units."""


@compiled
def fragmentation(free: Ints, cpu: int, kind: int, expected: Expected) -> float:
    """GPU thousandths that an expected shape cannot use, on average (USENIX ATC 2023).

    That is all that are free where it cannot run, else those of the GPUs with too little left for it.
    """
    total, found = free.sum(), 0.0
    for row in range(len(expected.shares)):
        if expected.shares[row] > 0:
            need, gpus = expected.needs[row, kind], expected.asks[row, 2]
            lost, enough = 0, 0
            for gpu in free:
                if need and gpu >= need:
                    enough += 1
                else:
                    lost += gpu
            if gpus == 0 or need == 0 or expected.asks[row, 0] > cpu or enough < gpus:
                lost = total
            found += expected.shares[row] * lost
    return found


@compiled
def stranded(total: int, cpu: int, memory: int, weights: Floats) -> float:
    """GPU thousandths that are free with too few cores or too little memory beside them, as workloads with GPUs ask for on average."""
    found = 0.0
    if weights[4] > 0:
        found = max(found, total - cpu / weights[4])
    if weights[5] > 0:
        found = max(found, total - memory / weights[5])
    return found


@compiled
def hosted(free: Ints, cpu: int, memory: int, kind: int, expected: Expected) -> float:
    """GPU thousandths of scarce shapes that the node could hold, each weighed by its scarcity."""
    found = 0.0
    for row in range(len(expected.scarcity)):
        need, gpus = expected.needs[row, kind], expected.asks[row, 2]
        if expected.scarcity[row] > 0 and need > 0:
            times = 0
            for gpu in free:
                times += gpu // need
            times //= gpus
            if expected.asks[row, 0] > 0:
                times = min(times, cpu // expected.asks[row, 0])
            if expected.asks[row, 1] > 0:
                times = min(times, memory // expected.asks[row, 1])
            found += expected.scarcity[row] * times * need * gpus
    return found


@compiled
def burden(free: Ints, cpu: int, memory: int, kind: int, expected: Expected) -> float:
    """GPU thousandths that a node in this state is expected to lose: what placement keeps as low as it can."""
    weights, total = expected.weights, free.sum()
    found = 0.0
    if weights[0] > 0 and total > 0:
        found += weights[0] * fragmentation(free, cpu, kind, expected)
    if weights[1] > 0:
        found += weights[1] * stranded(total, cpu, memory, weights)
    if weights[2] > 0:
        for gpu in free:
            found += weights[2] * expected.leftover[gpu]
    if weights[3] > 0:
        found -= weights[3] * hosted(free, cpu, memory, kind, expected)
    return found


@compiled
def scored(relief: float) -> int:
    """A burden's relief, in thousandths of a GPU, as a score from 0 to 100, as published: steps make ties, and ties fill in order."""
    return int(np.floor(100 / (1 + np.exp(-relief / 1000))))


@compiled
def score_share(nodes: Nodes, expected: Expected, ask: Ask, board: Board, node: int) -> None:
    """Score a part of a GPU on a node: the GPU with the best score, the first of equals."""
    free = nodes.gpu_free[node, : nodes.gpus[node]].copy()
    cpu, memory, kind, need = nodes.cpu_free[node], nodes.memory_free[node], nodes.kind[node], board.need[node]
    before = burden(free, cpu, memory, kind, expected)
    for gpu in range(len(free)):
        was = free[gpu]
        if was >= need and not np.any(free[:gpu] == was):
            free[gpu] = was - need
            score = scored(before - burden(free, cpu - ask.cpu, memory - ask.memory, kind, expected))
            free[gpu] = was
            if score > board.score[node]:
                board.score[node], board.choice[node] = score, gpu


@compiled
def score_whole(nodes: Nodes, expected: Expected, ask: Ask, board: Board, node: int) -> None:
    """Score whole GPUs, or none, on a node."""
    free = nodes.gpu_free[node, : nodes.gpus[node]].copy()
    cpu, memory, kind, need = nodes.cpu_free[node], nodes.memory_free[node], nodes.kind[node], board.need[node]
    before, taken = burden(free, cpu, memory, kind, expected), 0
    for gpu in range(len(free)):
        if taken < ask.gpus and free[gpu] >= need:
            free[gpu] -= need
            taken += 1
    if taken == ask.gpus:
        board.score[node] = scored(before - burden(free, cpu - ask.cpu, memory - ask.memory, kind, expected))


@compiled
def score(nodes: Nodes, expected: Expected, ask: Ask, board: Board, node: int) -> None:
    """Score a shape on a node; -1 where it does not fit."""
    board.score[node] = -1
    enough = nodes.cpu_free[node] >= ask.cpu and nodes.memory_free[node] >= ask.memory
    if board.need[node] >= 0 and nodes.fit[node] and enough:
        if ask.shared:
            score_share(nodes, expected, ask, board, node)
        else:
            score_whole(nodes, expected, ask, board, node)


@compiled
def score_all(nodes: Nodes, expected: Expected, ask: Ask, board: Board) -> None:
    """Score a shape on every node."""
    for node in range(len(board.score)):
        score(nodes, expected, ask, board, node)


@compiled
def score_changed(nodes: Nodes, expected: Expected, ask: Ask, board: Board, changed: Ints, seen: int) -> None:  # noqa: PLR0913 - compiled
    """Score a shape on the nodes that changed after the first `seen` changes, each once."""
    for place in range(len(changed)):
        node = changed[place]
        if nodes.version[node] == seen + place + 1:
            score(nodes, expected, ask, board, node)


@compiled
def best(scores: Ints, rank: Ints, among: Bools) -> int:
    """The node with the best score, the first by rank of equals; -1 where there is none."""
    found, top, first = -1, -1, 0
    for node in range(len(scores)):
        better = scores[node] > top or (scores[node] == top and found >= 0 and rank[node] < first)
        if better and (len(among) == 0 or among[node]):
            found, top, first = node, scores[node], rank[node]
    return found


@compiled
def fullest(stage: Stage, take: int, leftover: Floats) -> int:
    """The number of free units on whose GPU the expected leftover falls most when `take` of them are taken; -1 where nothing fits."""
    found, most = -1, -np.inf
    for free in range(take, len(leftover)):
        if stage.many[free] > 0 and leftover[free] - leftover[free - take] > most:
            found, most = free, leftover[free] - leftover[free - take]
    return found


@compiled
def move(stage: Stage, gpu: int, to: int) -> None:
    """Let a GPU have another number of free units."""
    was = stage.free[gpu]
    stage.many[was] -= 1
    last = stage.listed[was, stage.many[was]]
    stage.listed[was, stage.place[gpu]] = last
    stage.place[last] = stage.place[gpu]
    stage.free[gpu], stage.place[gpu] = to, stage.many[to]
    stage.listed[to, stage.many[to]] = gpu
    stage.many[to] += 1


@compiled
def rehearse(units: Ints, arriving: Floats, leftover: Floats, draws: Floats, load: float) -> tuple[Floats, Floats]:
    """Let work come to GPUs and leave them, each piece going where the expected leftover falls most; what does not fit is turned away.

    Args:
        units: what each kind of work takes of one GPU, in units of which a GPU has one less than `leftover` has entries.
        arriving: shares of all work, summed up to each kind.
        leftover: what is expected to stay unused of a GPU, by free units.
        draws: between 0 and 1, by arrival: which kind; which piece leaves when one is due.
        load: units that ask, over all there are; as many GPUs stand on the stage as make it four times the mean stay.

    Returns:
        How often a GPU stopped having so many units free, and how often it went on to each lower number, by both.
    """
    full = len(leftover) - 1
    mean = units[0] * arriving[0] + (units[1:] * (arriving[1:] - arriving[:-1])).sum()
    stays = len(draws) / 4
    gpus = max(1, int(stays * mean / (load * full)))
    stage = Stage(np.full(gpus, full), np.zeros((full + 1, gpus), np.int64), np.arange(gpus), np.zeros(full + 1, np.int64))
    stage.listed[full], stage.many[full] = np.arange(gpus), gpus
    on, takes, running, due = np.zeros(len(draws), np.int64), np.zeros(len(draws), np.int64), 0, 0.0
    ended, went = np.zeros(full + 1), np.zeros((full + 1, full + 1))
    for draw in draws:
        due += running / stays
        if due >= 1:
            due -= 1
            running -= 1
            leaves = min(int(draw[1] * (running + 1)), running)
            gpu, take = on[leaves], takes[leaves]
            on[leaves], takes[leaves] = on[running], takes[running]
            ended[stage.free[gpu]] += 1
            move(stage, gpu, stage.free[gpu] + take)
        take = units[min(np.searchsorted(arriving, draw[0]), len(units) - 1)]
        free = fullest(stage, take, leftover)
        if free >= 0:
            on[running], takes[running] = stage.listed[free, stage.many[free] - 1], take
            ended[free] += 1
            went[free, free - take] += 1
            move(stage, on[running], free - take)
            running += 1
    return ended, went

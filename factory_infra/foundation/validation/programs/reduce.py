"""All-reduce on processors: processes of one node sum arrays in shared memory, half by half as a ring would."""

import os
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.context import SpawnContext
from multiprocessing.queues import Queue
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.synchronize import Barrier

import numpy as np

from factory_infra.foundation.validation.models import BurnInOrder, Measurement
from factory_infra.foundation.validation.programs.timing import Rounds

PROCESSES_MAX = 4
COUNT = 1 << 20
WAIT_SECONDS = 60.0
ROUNDS_MIN = 3
STARTED_SECONDS = 120.0


def all_reduce(order: BurnInOrder) -> Iterator[Measurement]:
    """Sum one array of each process into all of them; bandwidth is bytes of one array by time, as NCCL's tests count."""
    processes = min(len(os.sched_getaffinity(0)), PROCESSES_MAX)
    if processes < 2:
        processes = 2
    context = get_context("spawn")
    memory = SharedMemory(create=True, size=COUNT * 4 * (processes + 1))
    try:
        taken = together(context, memory.name, processes, order.seconds)
    finally:
        memory.close()
        memory.unlink()
    value = COUNT * 4 / taken.median / 1e9
    how = f"{processes} processes of one node, shared memory, {COUNT * 4 // 1024**2} MiB of float32"
    yield Measurement(benchmark="all_reduce", variant="float32", value=value, unit="GB/s", how=how)


def together(context: SpawnContext, name: str, processes: int, seconds: float) -> Rounds:
    """Run the processes; the first one tells the seconds of its rounds. Raises OSError when one of them ends early."""
    barrier, told = context.Barrier(processes), context.Queue()
    rest = [context.Process(target=member, args=(name, rank, processes, barrier, seconds, told), daemon=True) for rank in range(processes)]
    for each in rest:
        each.start()
    deadline = time.monotonic() + seconds + STARTED_SECONDS
    try:
        while told.empty():
            if time.monotonic() > deadline or any(each.exitcode not in {None, 0} for each in rest):
                raise OSError("a process of the all-reduce ended early or did not answer")
            time.sleep(0.02)
        return Rounds(told.get())
    finally:
        for each in rest:
            each.join(1.0)
            if each.is_alive():
                each.kill()
                each.join()


def member(name: str, rank: int, processes: int, barrier: Barrier, seconds: float, told: "Queue[list[float]]") -> None:  # noqa: PLR0913
    """One process: sum its own part of every array, wait, take the other parts. The first one says when it is enough."""
    memory = SharedMemory(name=name)
    try:
        arrays = np.ndarray((processes + 1, COUNT), dtype=np.float32, buffer=memory.buf)
        own = np.full(COUNT, rank + 1, dtype=np.float32)
        taken = rounds_of(arrays, own, rank, processes, barrier, seconds)
        if rank == 0:
            told.put(taken)
        del arrays
    finally:
        memory.close()


def rounds_of(  # noqa: PLR0913 - the parts of one collective, each named at the call
    arrays: "np.ndarray[tuple[int, int], np.dtype[np.float32]]",
    own: "np.ndarray[tuple[int], np.dtype[np.float32]]",
    rank: int,
    processes: int,
    barrier: Barrier,
    seconds: float,
) -> list[float]:
    """Reduce and gather until the first process, in the flag at the end of the last row, says that the time is over."""
    part = slice(rank * COUNT // processes, (rank + 1) * COUNT // processes)
    taken: list[float] = []
    deadline = time.monotonic() + seconds
    while True:
        barrier.wait(WAIT_SECONDS)
        began = time.perf_counter()
        arrays[rank] = own
        barrier.wait(WAIT_SECONDS)
        arrays[processes, part] = arrays[:processes, part].sum(axis=0)
        barrier.wait(WAIT_SECONDS)
        result = arrays[processes].copy()
        barrier.wait(WAIT_SECONDS)
        taken.append(time.perf_counter() - began)
        if result[0] != processes * (processes + 1) / 2:
            raise ArithmeticError("the sum of the all-reduce is wrong: memory or a processor is faulty")
        if rank == 0:
            arrays[0, 0] = 1.0 if len(taken) >= ROUNDS_MIN and time.monotonic() >= deadline else 0.0
        barrier.wait(WAIT_SECONDS)
        if arrays[0, 0] == 1.0:
            return taken[1:]

"""Benchmarks of the host: matrix multiply, memory and disk, by NumPy and the file system."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from factory_infra.foundation.validation.models import BurnInOrder, Measurement
from factory_infra.foundation.validation.programs.timing import rounds

MIB = 1024**2
MATRIX_ROWS = 1024
BLOCK_BYTES = 4 * MIB
TYPES = ("float32", "float64")


def matmul(order: BurnInOrder) -> Iterator[Measurement]:
    """Multiply square matrices: 2 n³ operations each."""
    random = np.random.default_rng(0)
    for name in TYPES:
        left, right = (random.random((MATRIX_ROWS, MATRIX_ROWS)).astype(name) for _ in range(2))
        product = np.empty_like(left)
        taken = rounds(lambda a=left, b=right, out=product: np.matmul(a, b, out=out), order.seconds / len(TYPES))  # type: ignore[misc]
        value = 2 * MATRIX_ROWS**3 / taken.median / 1e9
        yield Measurement(benchmark="matmul", variant=name, value=value, unit="GFLOP/s", how=f"NumPy, {MATRIX_ROWS} rows")


def memory(order: BurnInOrder) -> Iterator[Measurement]:
    """The kernels of STREAM: copy, and triad as a sum with a scaled array. Arrays are larger than caches where they may be."""
    count = max(order.memory_mib * MIB // 8 // 4, 1024)
    a, b, c = np.zeros(count), np.ones(count), np.ones(count)
    how = f"NumPy, 3 arrays of {count * 8 // MIB} MiB, one thread"
    taken = rounds(lambda: np.copyto(a, b), order.seconds / 2)
    yield Measurement(benchmark="memory", variant="copy", value=2 * a.nbytes / taken.median / 1e9, unit="GB/s", how=how)

    def triad() -> None:
        np.multiply(c, 3.0, out=a)
        np.add(a, b, out=a)

    taken = rounds(triad, order.seconds / 2)
    # Two passes: read c, write a; read a and b, write a.
    yield Measurement(benchmark="memory", variant="triad", value=5 * a.nbytes / taken.median / 1e9, unit="GB/s", how=how)


def disk(order: BurnInOrder, folder: Path) -> Iterator[Measurement]:
    """Write a file from end to end with fsync, then read it past the page cache as far as the kernel lets go of it."""
    file, block = folder / "burn-in.tmp", os.urandom(BLOCK_BYTES)
    try:
        written, seconds = write(file, block, order)
        how = f"{written // MIB} MiB in blocks of {BLOCK_BYTES // MIB} MiB, fsync at the end"
        yield Measurement(benchmark="disk_write", value=written / seconds / 1e6, unit="MB/s", how=how)
        read_bytes, seconds = read(file, order)
        how = f"{read_bytes // MIB} MiB in blocks of {BLOCK_BYTES // MIB} MiB, the cache dropped before"
        yield Measurement(benchmark="disk_read", value=read_bytes / seconds / 1e6, unit="MB/s", how=how)
    finally:
        file.unlink(missing_ok=True)


def write(file: Path, block: bytes, order: BurnInOrder) -> tuple[int, float]:
    """Write until the size or the time is reached; returns bytes and seconds, the fsync included."""
    deadline, began, written = time.monotonic() + order.seconds, time.perf_counter(), 0
    with file.open("wb", buffering=0) as stream:
        while written < order.disk_mib * MIB and (written == 0 or time.monotonic() < deadline):
            written += stream.write(block)
        os.fsync(stream.fileno())
    return written, max(time.perf_counter() - began, 1e-9)


def read(file: Path, order: BurnInOrder) -> tuple[int, float]:
    """Read what was written."""
    with file.open("rb", buffering=0) as stream:
        with suppress(OSError, AttributeError):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        deadline, began, done = time.monotonic() + order.seconds, time.perf_counter(), 0
        while piece := stream.read(BLOCK_BYTES):
            done += len(piece)
            if time.monotonic() >= deadline:
                break
    return done, max(time.perf_counter() - began, 1e-9)

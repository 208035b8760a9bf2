"""The program of a burn-in: run as a job on a node, it measures for a bounded time and leaves what it found."""

import json
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from factory_infra.errors import Unavailable
from factory_infra.foundation.validation.models import BenchmarkName, BurnIn, BurnInOrder, Measurement, Skipped
from factory_infra.foundation.validation.probes import collect
from factory_infra.foundation.validation.programs import collective, gpu, host, reduce, wire
from factory_infra.foundation.validation.programs.machine import machine_type
from factory_infra.foundation.validation.programs.settings import RunSettings

ORDER_FILE = "burn-in.json"
PROGRESS_FILE = "progress.jsonl"
EXIT_NOTHING = 1
Benchmark = Callable[[], Iterable[Measurement]]
FAULTS = (OSError, RuntimeError, ValueError, ArithmeticError, ImportError, MemoryError)
"""What a benchmark may end with: a figure is then missing, and why is told. The others still run."""


def result_file(rank: int) -> str:
    """What each node of the job leaves, by its rank."""
    return f"burn-in.{rank}.json"


def benchmarks(order: BurnInOrder, run: RunSettings) -> dict[BenchmarkName, Benchmark]:
    """What each name does on this node: with its GPUs where PyTorch sees any, else with its processors."""
    count = gpu.gpus()
    world = count * run.nodes
    known: dict[BenchmarkName, Benchmark] = {
        "matmul": lambda: gpu.matmul(order) if count else host.matmul(order),
        "memory": lambda: gpu.memory(order) if count else host.memory(order),
        "copy": lambda: gpu.copy(order) if count else absent("There is no GPU that PyTorch sees: nothing is copied to a device."),
        "all_reduce": lambda: collective.all_reduce(order, run, count) if world > 1 else reduce.all_reduce(order),
        "disk_write": lambda: host.disk(order, run.folder),
        "network": lambda: wire.network(order, run),
    }
    # A reading needs what was written, and the latency the same wire: they are told along with it.
    return {name: known[name] for name in known if name in asked(order)}


def asked(order: BurnInOrder) -> set[BenchmarkName]:
    """The names that are run: disk_read is told with disk_write, latency with network."""
    along: dict[BenchmarkName, BenchmarkName] = {"disk_read": "disk_write", "latency": "network"}
    return {along.get(name, name) for name in order.benchmarks}


def absent(reason: str) -> Iterator[Measurement]:
    """A benchmark that this node cannot run. Raises Unavailable."""
    raise Unavailable(reason)


def burn_in(order: BurnInOrder, run: RunSettings, tell: Callable[[float, str], None]) -> BurnIn:
    """Run every benchmark that is asked for, one after the other."""
    began, found, skipped = time.monotonic(), list[Measurement](), list[Skipped]()
    todo = benchmarks(order, run)
    for number, (name, run_one) in enumerate(todo.items()):
        tell(100.0 * number / len(todo), name)
        try:
            found += list(run_one())
        except FAULTS as error:
            skipped.append(Skipped(benchmark=name, reason=f"{type(error).__name__}: {error}"[:400]))
        except Unavailable as error:
            skipped.append(Skipped(benchmark=name, reason=error.reason[:400]))
    return BurnIn(
        host=socket.gethostname(),
        machine_type=machine_type(),
        at=datetime.now(UTC),
        seconds=time.monotonic() - began,
        measurements=[each for each in found if each.benchmark in order.benchmarks],
        skipped=skipped,
        stack=collect() if order.check else None,
    )


def main() -> int:
    """Read the order, burn in, leave the result; a table goes to the log."""
    run = RunSettings()
    order = BurnInOrder.model_validate_json((run.folder / ORDER_FILE).read_text(encoding="utf-8"))

    def tell(percent: float, stage: str) -> None:
        with (run.folder / PROGRESS_FILE).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"percent": percent, "stage": stage}) + "\n")

    found = burn_in(order, run, tell)
    file = run.folder / result_file(run.node_rank)
    draft = file.with_suffix(".new")
    draft.write_text(found.model_dump_json(), encoding="utf-8")
    draft.replace(file)
    for line in lines(found):
        sys.stdout.write(line + "\n")
    tell(100.0, "done")
    return 0 if found.measurements or not found.skipped else EXIT_NOTHING


def lines(found: BurnIn) -> Iterator[str]:
    """What a person reads in the job's log."""
    yield f"{found.host}: {found.machine_type}"
    for each in found.measurements:
        yield f"{each.figure:22} {each.device:6} {each.value:12.2f} {each.unit:8} {each.how}"
    for skipped in found.skipped:
        yield f"{skipped.benchmark:22} left out: {skipped.reason}"


if __name__ == "__main__":
    sys.exit(main())

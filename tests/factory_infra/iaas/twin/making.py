"""Small scenarios for tests."""

from random import Random

from factory_infra.iaas.scheduling.models import NodeSpec, Shape, Workload
from factory_infra.iaas.scheduling.policy import SchedulingPolicy
from factory_infra.iaas.twin.arrivals import Arrival
from factory_infra.iaas.twin.scenario import Scenario
from tests.factory_infra.iaas.twin.fifo import Fifo

HOUR = 3600.0
QUICK = SchedulingPolicy(placement="first_fit")
"""Without the kernels that the default placement compiles."""


def nodes(count: int, name: str = "n", **fields: object) -> tuple[NodeSpec, ...]:
    """Machines of eight GPUs."""
    base: dict[str, object] = {"cpu_milli": 96_000, "memory_mib": 2**20, "gpus": 8, "model": "H100", "hourly_price": 10.0}
    return tuple(NodeSpec(name=f"{name}{number}", **(base | fields)) for number in range(count))  # type: ignore[arg-type]


def job(name: str, at: float = 0.0, seconds: float = HOUR, gpus: int = 8, **fields: object) -> Arrival:
    """One job; `actual`, `activity` and `leaves_at` are the simulation's."""
    actual = float(str(fields.pop("actual", seconds)))
    activity = float(str(fields.pop("activity", 1.0)))
    leaves = fields.pop("leaves_at", None)
    base: dict[str, object] = {
        "queue": "a",
        "shape": Shape(gpu_milli=1000 if gpus else 0, gpus=gpus),
        "submitted_at": at,
        "seconds": seconds,
    }
    workload = Workload(id=name, **(base | fields))  # type: ignore[arg-type]
    return Arrival(workload, actual, activity, None if leaves is None else float(str(leaves)))


def scenario(*jobs: Arrival, count: int = 1, **fields: object) -> Scenario:
    """A scenario of one pool under the scheduler of the tests, with a pass a second."""
    base: dict[str, object] = {"name": "s", "pools": {"p": nodes(count)}, "arrivals": jobs, "core": Fifo, "pass_seconds": 1.0}
    return Scenario(**(base | fields))  # type: ignore[arg-type]


def busy(seed: int, hours: float = 48, per_hour: float = 6, **fields: object) -> list[Arrival]:
    """Random work of three queues."""
    draws, at = Random(seed), 0.0  # noqa: S311 (a simulation)
    made: list[Arrival] = []
    while at < hours * HOUR:
        at += draws.expovariate(per_hour / HOUR)
        gpus, seconds = draws.choice((1, 1, 2, 4, 8)), draws.lognormvariate(8, 1)
        more = {
            "members": draws.choice((1, 2)) if gpus == 8 else 1,
            "queue": draws.choice("abc"),
            "actual": seconds * draws.uniform(0.5, 1.5),
        }
        made.append(job(f"j{len(made)}", at, seconds, gpus, **(more | fields)))
    return made

"""The main job, unchanged but for its pool: on this host, on a real Slurm, on the emulator of AWS; on Slurm with two kills too."""

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console

from cli.checks import Check
from cli.first_job import TEAM, FirstJob
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import PoolSpec
from tests.contract import aws
from tests.contract.houses import NotHere
from tests.emulators.aws.standing import KEYS
from tests.engines.slurm.cluster import SlurmCluster, missing
from tests.live import LiveStack, until

RUNNING_SECONDS_MAX = 180.0


@dataclass
class Place:
    """Where the job is trained: a pool, what its engine needs in the environment, and how to break it."""

    pool: PoolSpec | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    slurm: SlurmCluster | None = None


@contextmanager
def here(folder: Path) -> Iterator[Place]:
    """This host."""
    yield Place()


@contextmanager
def on_slurm(folder: Path) -> Iterator[Place]:
    """A real Slurm that is started for this. Raises NotHere."""
    if (why := missing()) != "":
        raise NotHere(why)
    cluster = SlurmCluster()
    cluster.start()
    try:
        yield Place(cluster.pool("slurm", folder / "work"), slurm=cluster)
    finally:
        cluster.stop()


@contextmanager
def on_aws(folder: Path) -> Iterator[Place]:
    """The emulator of AWS, in this process: machines for the lease, Batch for the job."""
    house = aws.House(folder / "emulator")
    asyncio.run(house.__aenter__())
    try:
        yield Place(house.pool, KEYS)
    finally:
        asyncio.run(house.__aexit__(None, None, None))


PLACES: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {"local": here, "slurm": on_slurm, "aws (emulated)": on_aws}


@dataclass
class Played:
    """What came of one play."""

    checks: list[Check]
    seconds: float
    pool: str
    jobs: list[dict[str, JsonValue]]
    leases: list[dict[str, JsonValue]]
    equal: bool


def play(place: Place, folder: Path, beside: Callable[[LiveStack, Place], None] | None = None) -> Played:
    """Start a stack of its own, play the job through a user's doors, and look at what is left."""
    home = folder / "home"
    home.mkdir()
    if place.pool is not None:
        PoolBook(home / "pools.yaml").add(place.pool)
    pool = place.pool.name if place.pool else "local"
    stack = LiveStack(home, **place.environment)
    stack.start()
    try:
        with stack.client() as client, ExitStack() as around:
            if beside is not None:
                breaker = threading.Thread(target=beside, args=(stack, place))
                breaker.start()
                around.callback(breaker.join)
            began = time.monotonic()
            first = FirstJob(client, Console(quiet=True), pool)
            first.play()
            seconds = time.monotonic() - began
            jobs = [job for job in client.get_list("/v1/jobs", tenant=TEAM) if "train" in str(job["name"])]
            leases = client.get_list("/v1/leases", tenant=TEAM, active=False)
            found = client.get_object("/v1/reconciliation")
        return Played(first.checks, seconds, pool, jobs, leases, not any(found.values()))
    finally:
        stack.stop()


def break_both(stack: LiveStack, place: Place) -> None:
    """Once the job runs on Slurm: SIGKILL our worker and Slurm's controller, and start the controller again from what it saved."""
    assert place.slurm is not None
    with stack.client() as client:

        def runs() -> bool:
            return any(job["state"] == "running" for job in client.get_list("/v1/jobs", tenant=TEAM, pool="slurm"))

        until(runs, "the training runs on Slurm", RUNNING_SECONDS_MAX)
    stack.kill("worker")
    place.slurm.kill_controller()
    time.sleep(1.0)  # not a condition to wait for: the outage itself
    place.slurm.start_controller()


def rows(name: str, played: Played) -> list[Check]:
    """What a play came to, in a few rows."""
    held = sum(check.held for check in played.checks)
    short = "; ".join(f"{check.name}: {check.figure}" for check in played.checks if not check.held)
    where = {str(job["pool"]) for job in played.jobs}
    states = [str(job["state"]) for job in played.jobs]
    told = f"{held} of {len(played.checks)} of its checks, {played.seconds:.0f} s" + (f"; short: {short}" if short else "")
    held_leases = [lease for lease in played.leases if lease["state"] in {"active", "granting"}]
    return [
        Check(f"main job on {name}", told, "all", held == len(played.checks) > 0),
        Check(
            f"{name}: training jobs",
            f"{len(played.jobs)} {', '.join(states)} in {', '.join(sorted(where))}",
            "1 succeeded there",
            states == ["succeeded"] and where == {played.pool},
        ),
        Check(
            f"{name}: leases held, ledger",
            f"{len(held_leases)}, {'equal' if played.equal else 'not equal'}",
            "0, equal",
            not held_leases and played.equal,
        ),
    ]


def checks() -> list[Check]:
    """The rows of this group: each place, then Slurm with the kills."""
    found: list[Check] = []
    for name, place in [*PLACES.items(), ("slurm, worker and slurmctld killed", on_slurm)]:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            try:
                with place(Path(folder)) as entered:
                    found += rows(name, play(entered, Path(folder), break_both if "killed" in name else None))
                    if entered.slurm is not None:
                        found.append(once(name, entered.slurm))
            except NotHere as error:
                found.append(Check(f"main job on {name}", f"not here: {error}", "played", held=False))
    return found


def once(name: str, cluster: SlurmCluster) -> Check:
    """Slurm's own books: one job of ours, whatever was killed."""
    listed = cluster.run("sacct", "--allusers", "--noheader", "--parsable2", "--allocations", "--format=JobID,State,JobName")
    jobs = [line for line in listed.splitlines() if line]
    return Check(f"{name}: jobs by sacct", "; ".join(jobs), "1, COMPLETED", len(jobs) == 1 and "COMPLETED" in jobs[0])


if __name__ == "__main__":
    from cli.checks import print_checks

    print_checks(Console(width=170), checks())

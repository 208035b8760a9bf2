"""Blueprints of training, really run as jobs behind walls: DDP, FSDP, LoRA, SageMaker (emulator), Ray.

Environments are installed into the account's installation, once: `LINESHAFT_HOME`. Run alone: python -m benchmarks.control_plane.blueprints
"""

import argparse
import asyncio
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.control_plane.tracking_server import tracking_server
from cli.checks import Check, print_checks
from evals.database import postgres
from factory_infra.database import Database
from factory_infra.errors import EffectFailed, LineshaftError, StorageFull
from factory_infra.iaas.jobs.interface import Jobs
from factory_infra.iaas.jobs.models import JobLimits, JobSpec, JobState
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.iaas.jobs.providers.walls_local import Reach, order_of
from factory_infra.paas.registry.providers.mlflow import MlflowRegistry
from factory_infra.paas.training.blueprints.catalogue import blueprint_named
from factory_infra.paas.training.blueprints.jobs import Wanted, blueprint_job, checked_order
from factory_infra.paas.training.environments.service import Environments
from factory_infra.settings import Settings
from tests.contract.aws_sagemaker import House
from tests.emulators.aws import sagemaker
from tests.factory_infra.paas.training.studies.stand_in import TEAM, lease_of

JOB_SECONDS_MAX = 900.0
SHARD_SHARE_MAX = 0.6
ADAPTER_SHARE_MAX = 0.25
LOSS_FALLS_MIN = 0.2
LORA_FALLS_MIN = 0.1
"""The base is random and stays as it is: an adapter of few numbers cannot make much of it."""


def checks(seed: int = 5, *, ray: bool = True) -> list[Check]:
    """Install what is needed and run every blueprint; about two minutes on a quiet machine, and what the installation takes."""
    environments = Environments(Settings().home / "environments")
    began = time.monotonic()
    python = environments.python("lora") or Path(environments.install("lora").path, "bin", "python")
    made = environments.get("lora")
    size = f"{made.bytes / 1024**2:.0f} MiB, made in {made.seconds:.0f} s; ready after {time.monotonic() - began:.0f} s"
    rows = [Check("environment lora", f"{size}: {', '.join(made.requirements[:3])}", "installed on demand, loads", held=made.installed)]
    with tempfile.TemporaryDirectory(prefix="ls-bp-") as name, tracking_server(Path(name) / "mlflow") as url:
        ground = Ground(Path(name), url, seed, environments)
        rows += asyncio.run(ground.distributed(python))
        with postgres(Path(name) / "pg") as database_url:
            rows += asyncio.run(ground.lora(python, Database(database_url)))
        rows += asyncio.run(ground.on_sagemaker(python))
        rows += asyncio.run(ground.on_ray()) if ray else []
        stop_all(Path(name) / "jobs")
    return rows


class Ground:
    """Jobs of this machine behind their walls, and a tracking server."""

    def __init__(self, folder: Path, url: str, seed: int, environments: Environments) -> None:
        self.folder, self.url, self.seed, self._environments = folder, url, seed, environments
        reach = Reach(home=Settings().home, jobs_dir=folder / "jobs")
        self.jobs = LocalJobs(folder / "jobs", lambda spec: order_of(spec.tenant, reach))

    async def distributed(self, python: Path) -> list[Check]:
        """DDP and FSDP over two processes, DDP over two nodes, and DDP cut off in between."""
        order = {"epochs": 6, "rows": 1200, "seed": self.seed}
        ddp = await ended(self.jobs, self.job("ddp", order, python))
        fsdp = await ended(self.jobs, self.job("fsdp", order, python))
        nodes = await ended(self.jobs, self.job("ddp", order, python, nodes=2))
        share = fsdp["bytes_a_process"] / fsdp["model_bytes"]
        apart = apart_by(ddp, fsdp)
        resumed, first = await self._cut_off(order, python)
        told = f"loss {ddp['losses'][0]:.3f} to {ddp['losses'][-1]:.3f}, accuracy {ddp['accuracy']:.3f}, {ddp['seconds']:.1f} s"
        falls = ddp["losses"][-1] < ddp["losses"][0] * (1 - LOSS_FALLS_MIN)
        equal = ddp["replicas_equal"] == 1 and ddp["world_size"] == 2
        return [
            Check("DDP, 2 processes", f"replicas equal: {equal}; {told}", "equal to the bit, loss falls", held=equal and falls),
            Check(
                "FSDP, 2 processes",
                f"each holds {share:.0%} of the parameters; losses {apart:.1e} from DDP's; replicas equal: {fsdp['replicas_equal'] == 1}",
                f"at most {SHARD_SHARE_MAX:.0%}, the same losses within 1e-3",
                held=share <= SHARD_SHARE_MAX and apart < 1e-3 and fsdp["replicas_equal"] == 0,
            ),
            Check(
                "DDP, 2 nodes of one process",
                f"{nodes['world_size']:.0f} processes, losses {apart_by(ddp, nodes):.1e} apart",
                "the same training over the engine's rendezvous",
                held=nodes["world_size"] == 2 and abs(nodes["losses"][-1] - ddp["losses"][-1]) < 1e-3,
            ),
            Check(
                "DDP cut off and started again",
                f"went on at epoch {resumed:.0f}, {first} epochs' reports before",
                "from its checkpoint, not from 0",
                held=resumed >= 1,
            ),
        ]

    async def _cut_off(self, order: dict[str, Any], python: Path) -> tuple[float, int]:
        """Kill a training in its midst as a lost host does, and submit it again."""
        job = self.job("ddp", {**order, "epochs": 40}, python, called="cut")
        await self.jobs.submit(job)
        reports = ""
        deadline = time.monotonic() + JOB_SECONDS_MAX
        while reports.count("\n") < 3:
            assert time.monotonic() < deadline, "it never reported"
            await asyncio.sleep(0.05)
            reports = await self.jobs.result(job.id, TEAM, "reports.jsonl") or ""
        await asyncio.to_thread(stop_all, self.folder / "jobs")
        found = await ended(self.jobs, job)
        return float(found["resumed_at"]), reports.count("\n")

    async def lora(self, python: Path, database: Database) -> list[Check]:
        """Fine-tuning of a tiny random model: the adapter alone is kept and registered."""
        text = "\n".join(f"{n} sheep and {n + 1} goats make {2 * n + 1} beasts." for n in range(self.seed, self.seed + 90))
        job = self.job("lora", {"steps": 200, "seed": self.seed, "text": text, "rank": 4, "batch": 8}, python)
        found = await ended(self.jobs, job)
        registry = MlflowRegistry(self.url, database)
        version = await registry.register(TEAM, "reader", found["run_id"], "bench/lora")
        folder = self.folder / "version"
        path = await registry.download(version, folder)
        files = {each.name: each.stat().st_size for each in folder.iterdir()}
        await registry.close()
        await database.close()
        two = path.stat().st_size == found["adapter_bytes"] and len(files) == 2
        share, falls = found["adapter_bytes"] / found["base_bytes"], 1 - found["loss_after"] / found["loss_before"]
        same = abs(found["loss_loaded_again"] - found["loss_after"]) < 1e-3
        told = f"held-out loss {found['loss_before']:.3f} to {found['loss_after']:.3f}, {found['seconds']:.1f} s"
        kept = ", ".join(f"{name} {size} B" for name, size in sorted(files.items()))
        return [
            Check(
                "LoRA on a tiny model",
                f"{told}; loaded again the same: {same}",
                f"falls by {LORA_FALLS_MIN:.0%}, the adapter alone is enough",
                held=falls >= LORA_FALLS_MIN and same,
            ),
            Check(
                "only the adapter is registered",
                f"version {version.version} ({version.algorithm}): {kept}; {share:.0%} of the base's bytes",
                "two files, no weights of the base",
                held=version.algorithm == "lora" and two and share < ADAPTER_SHARE_MAX,
            ),
        ]

    async def on_sagemaker(self, python: Path) -> list[Check]:
        """The same DDP program as a training job of two machines; the emulator starts it once on each."""
        async with House(self.folder / "house") as house:
            lease = lease_of(2).model_copy(update={"pool": "cloud"})
            wanted = dataclasses.replace(self.wanted("sagemaker", {"epochs": 3, "rows": 600, "seed": self.seed}), nodes=2)
            job = blueprint_job(wanted, "bench-sagemaker", lease, JobLimits(memory_gib=8), self.url)
            found = await ended(house.jobs, job.model_copy(update={"argv": [str(python), *job.argv[1:]]}))
            (training,) = sagemaker.of(house.emulator.world).jobs.values()
            count = training.asked["ResourceConfig"]["InstanceCount"]
        told = f"{count} machines, {found['world_size']:.0f} processes, replicas equal: {found['replicas_equal'] == 1}"
        held = count == found["world_size"] == 2 and found["replicas_equal"] == 1
        return [Check("SageMaker (emulator), 2 machines", told, "one training job, DDP over both, result back", held=held)]

    async def on_ray(self) -> list[Check]:
        """Ray Train over two workers, where Ray can be installed here."""
        try:
            python = self._environments.python("ray") or Path(self._environments.install("ray").path, "bin", "python")
        except (EffectFailed, StorageFull) as error:
            return [Check("Ray Train", f"not installed here: {error.reason[:120]}", "a figure", held=False)]
        found = await ended(self.jobs, self.job("ray", {"epochs": 4, "rows": 600, "seed": self.seed}, python))
        told = f"{found['world_size']:.0f} workers, loss {found['losses'][0]:.3f} to {found['losses'][-1]:.3f}, {found['seconds']:.0f} s"
        return [
            Check("Ray Train", told, "2 workers, loss falls", held=found["world_size"] == 2 and found["losses"][-1] < found["losses"][0])
        ]

    def wanted(self, name: str, order: dict[str, Any]) -> Wanted:
        """A run of a blueprint."""
        return Wanted(blueprint_named(name), checked_order(name, order), TEAM, "reader", f"bench/{name}/{self.seed}")

    def job(self, name: str, order: dict[str, Any], python: Path, *, nodes: int = 1, called: str = "") -> JobSpec:
        """Its job, on two cores of this machine."""
        wanted = dataclasses.replace(self.wanted(name, order), nodes=nodes, run_key=f"bench/{called or name}/{nodes}/{self.seed}")
        job = blueprint_job(wanted, f"bench-{called or name}-{nodes}", lease_of(2), JobLimits(memory_gib=8), self.url)
        return job.model_copy(update={"argv": [str(python), *job.argv[1:]], "slots": [0]})


def apart_by(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference of two trainings' losses."""
    return float(max(abs(a - b) for a, b in zip(one["losses"], other["losses"], strict=True)))


async def ended(jobs: Jobs, job: JobSpec) -> dict[str, Any]:
    """Run a job to its end and return its result. Raises EffectFailed with the end of its log."""
    await jobs.submit(job)
    deadline = time.monotonic() + JOB_SECONDS_MAX
    while not (seen := await jobs.get(job.id, TEAM)).state.final:
        assert time.monotonic() < deadline, f"{job.name} did not end"
        await asyncio.sleep(0.2)
    if seen.state is not JobState.SUCCEEDED:
        raise EffectFailed(f"{job.name} {seen.state}: {(await jobs.logs(job.id, TEAM)).text[-6000:]}")
    found: dict[str, Any] = json.loads(await jobs.result(job.id, TEAM, "result.json") or "")  # type: ignore[attr-defined]  # both have it
    return found


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--seed", type=int, default=5)
    reader.add_argument("--without-ray", action="store_true")
    given = reader.parse_args()
    try:
        table = checks(given.seed, ray=not given.without_ray)
    except LineshaftError as error:
        sys.exit(str(error))
    print_checks(Console(width=170, highlight=False), table)
    sys.exit(0 if all(each.held for each in table) else 1)

"""A scenario as a file: strict YAML, and what it comes to, one scenario a policy."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from factory_infra.errors import InvalidInput
from factory_infra.foundation.pools.spec import PriceClass
from factory_infra.foundation.twin.failures import FailureModel
from factory_infra.foundation.twin.market import Market
from factory_infra.iaas.scheduling.mixes import Mix, estimated, philly_like, with_deadlines
from factory_infra.iaas.scheduling.models import GPU_MILLI, Network, NodeSpec, Shape, Topology, Workload
from factory_infra.iaas.scheduling.policy import QueueName, QuotaTree, SchedulingPolicy, read_strict
from factory_infra.iaas.scheduling.traces import alibaba
from factory_infra.iaas.scheduling.traces.philly import read_folder as read_philly
from factory_infra.iaas.twin.arrivals import Arrival, in_order
from factory_infra.iaas.twin.market_files import PriceFile, StockFile, market_of
from factory_infra.iaas.twin.scenario import Arrivals, Elastic, Scenario

HOUR = 3600.0
MIB = 1024
NODES_MAX = 100_000
TRACE_POOL = "trace"
REMEDY = "docs/twin.md has every field"
PlainName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._,-]{0,79}$")]


class Strict(BaseModel):
    """What every part of the file is."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ElasticPart(Strict):
    """Machines of a pool that are made when work waits."""

    market: Market = Market()
    prices: PriceFile | None = Field(default=None, description="The market's spot prices, from a file.")
    stock: StockFile | None = Field(default=None, description="When the market has stock, from a file.")
    nodes_min: int = Field(default=0, ge=0, le=NODES_MAX, description="So many are there from the start and stay.")
    idle_minutes: float = Field(default=10.0, ge=0, le=24 * 60, description="Then an idle one is given back.")


class PoolPart(Strict):
    """A pool of equal machines."""

    name: PlainName
    nodes: int = Field(ge=1, le=NODES_MAX)
    gpus: int = Field(default=8, ge=0, le=16, description="Of one machine.")
    gpu: str = Field(default="H100", max_length=40)
    cores: int = Field(default=96, ge=1, le=1024)
    memory_gib: int = Field(default=1024, ge=1, le=65_536)
    nodes_per_rack: int = Field(default=16, ge=1, le=NODES_MAX)
    nvlink_group: int = Field(default=0, ge=0, le=16, description="GPUs of one NVLink domain; 0: all of a machine.")
    efa: bool = Field(default=False, description="Its machines have EFA.")
    price_class: PriceClass = "on_demand"
    hourly_price: float = Field(default=0.0, ge=0, le=10_000, description="Of one machine.")
    interruptions_hourly: float = Field(default=0.0, ge=0, le=60, description="What the scheduler is told of it.")
    elastic: ElasticPart | None = None

    def specs(self) -> tuple[NodeSpec, ...]:
        """Its machines."""
        return tuple(
            NodeSpec(
                name=f"{self.name}-{number:05d}",
                cpu_milli=1000 * self.cores,
                memory_mib=MIB * self.memory_gib,
                gpus=self.gpus,
                model=self.gpu if self.gpus else "",
                rack=f"{self.name}-rack-{number // self.nodes_per_rack:04d}",
                nvlink_group=self.nvlink_group,
                efa=self.efa,
                price_class=self.price_class,
                hourly_price=self.hourly_price,
                interruptions_hourly=self.interruptions_hourly,
            )
            for number in range(self.nodes)
        )


class MixPart(Strict):
    """Work drawn from the seed: what the Philly trace looks like."""

    hours: float = Field(default=168.0, gt=0, le=24 * 366, description="In which it comes.")
    load: float = Field(default=0.9, gt=0, le=10, description="GPU time that arrives, over that of the standing machines.")
    queues: int = Field(default=14, ge=1, le=10_000)
    estimate_error: float = Field(default=0.5, ge=0, le=3)
    ended_early: float = Field(default=0.3, ge=0, le=1)
    day_swing: float = Field(default=0.3, ge=0, lt=1)
    checkpoint_minutes: float = Field(default=10.0, ge=0, le=24 * 60)
    deadline_share: float = Field(default=0.0, ge=0, le=1)
    gangs: bool = True


class TracePart(Strict):
    """Work of a public trace, on this file's machines or its own."""

    form: Literal["philly", "alibaba"] = Field(description="The publisher's format.")
    folder: Path = Field(description="Where its files lie; beside the scenario unless it is a whole path.")
    variant: str = Field(default="default", pattern=r"^[A-Za-z0-9_]{1,40}$", description="Of alibaba: which list of pods.")
    machines: bool = Field(default=False, description="Its own machines are the pool `trace`, beside those of this file.")
    jobs_max: int = Field(default=100_000, ge=1, le=10_000_000)
    estimate_error: float = Field(default=0.5, ge=0, le=3)
    deadline_share: float = Field(default=0.0, ge=0, le=1)


class JobPart(Strict):
    """One job, or several alike."""

    name: PlainName
    queue: QueueName
    at_hours: float = Field(default=0.0, ge=0, le=24 * 366)
    hours: float = Field(gt=0, le=24 * 366, description="How long it really runs.")
    estimated_hours: float | None = Field(default=None, gt=0, le=24 * 366, description="What is said of it; the truth if left out.")
    gpus: int = Field(default=1, ge=0, le=16, description="Of one member.")
    gpu_share: float = Field(default=1.0, gt=0, le=1, description="Of its GPU, where it wants part of one.")
    cores: float = Field(default=0.0, ge=0, le=1024)
    memory_gib: float = Field(default=0.0, ge=0, le=65_536)
    members: int = Field(default=1, ge=1, le=NODES_MAX)
    members_min: int = Field(default=0, ge=0, le=NODES_MAX, description="Elastic down to so many; 0: not elastic.")
    priority: int = Field(default=0, ge=-1000, le=1000)
    topology: Topology = "any"
    checkpoint_minutes: float = Field(default=0.0, ge=0, le=24 * 60)
    deadline_hours: float | None = Field(default=None, gt=0, le=24 * 366, description="After it was submitted.")
    gives_up_hours: float | None = Field(default=None, gt=0, le=24 * 366, description="Its owner does, so long after it was submitted.")
    pools: tuple[PlainName, ...] = ()
    models: tuple[str, ...] = Field(default=(), description="GPU types that will do.")
    network: Network = Field(default="", description="`efa`: only machines with EFA will do.")
    activity: float = Field(default=1.0, ge=0, le=1)
    count: int = Field(default=1, ge=1, le=1_000_000)
    every_minutes: float = Field(default=0.0, ge=0, le=24 * 60, description="Between one and the next of several.")

    @model_validator(mode="after")
    def _a_share_is_of_one(self) -> "JobPart":
        if self.gpu_share < 1 and self.gpus != 1:
            raise ValueError("gpu_share is a part of one GPU: leave it out, or ask for one")
        if self.members_min > self.members:
            raise ValueError(f"members_min is {self.members_min}, above its members: {self.members}")
        return self

    @property
    def shape(self) -> Shape:
        """What one member asks for."""
        milli = max(1, round(GPU_MILLI * self.gpu_share)) if self.gpus else 0
        models = frozenset(self.models)
        return Shape(round(1000 * self.cores), round(MIB * self.memory_gib), milli, self.gpus, models, network=self.network)

    def arrivals(self) -> list[Arrival]:
        """It, or all of them."""
        return [self._arrival(number) for number in range(self.count)]

    def _arrival(self, number: int) -> Arrival:
        at = self.at_hours * HOUR + number * self.every_minutes * 60
        workload = Workload(
            id=self.name if self.count == 1 else f"{self.name}-{number:05d}",
            queue=self.queue,
            shape=self.shape,
            submitted_at=at,
            seconds=(self.estimated_hours or self.hours) * HOUR,
            members=self.members,
            members_min=self.members_min,
            priority=self.priority,
            topology=self.topology,
            checkpoint_seconds=self.checkpoint_minutes * 60,
            deadline_at=None if self.deadline_hours is None else at + self.deadline_hours * HOUR,
            pools=self.pools,
        )
        leaves = None if self.gives_up_hours is None else at + self.gives_up_hours * HOUR
        return Arrival(workload, self.hours * HOUR, self.activity, leaves)


class WorkPart(Strict):
    """Where the work comes from: one of the three."""

    mix: MixPart | None = None
    trace: TracePart | None = None
    jobs: tuple[JobPart, ...] = Field(default=(), max_length=100_000)

    @model_validator(mode="after")
    def _is_one(self) -> "WorkPart":
        if sum((self.mix is not None, self.trace is not None, bool(self.jobs))) != 1:
            raise ValueError("work comes from one of mix, trace and jobs")
        return self


class ScenarioFile(Strict):
    """The whole file."""

    name: PlainName
    title: str = Field(default="", max_length=200)
    hours: float | None = Field(default=None, gt=0, le=24 * 366, description="How long it lasts; until all work is done if left out.")
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, max_length=100)
    pass_seconds: float = Field(default=30.0, gt=0, le=3600)
    restart_seconds: float = Field(default=120.0, ge=0, le=24 * HOUR)
    pools: tuple[PoolPart, ...] = Field(default=(), max_length=100)
    failures: FailureModel = FailureModel()
    quotas: QuotaTree | None = None
    workloads: WorkPart
    policies: dict[PlainName, SchedulingPolicy] = Field(default={"default": SchedulingPolicy()}, min_length=1, max_length=50)

    @model_validator(mode="after")
    def _names_differ(self) -> "ScenarioFile":
        names = [pool.name for pool in self.pools]
        if len(set(names)) < len(names):
            raise ValueError("two pools have one name")
        own = self.workloads.trace is not None and self.workloads.trace.machines
        if (own and TRACE_POOL in names) or not (own or names):
            raise ValueError(f"it needs pools, or a trace with machines: true, whose pool is named {TRACE_POOL}")
        return self


def load(path: Path) -> tuple[ScenarioFile, list[Scenario]]:
    """Read a scenario file: what it says, and one scenario for each of its policies.

    Raises InvalidInput `scenario_invalid` that names file, line and remedy, also for a job larger than every pool; and what the reader of
    its trace raises.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path.name} cannot be read: {error}.", remedy="Name a file in UTF-8.", code="scenario_invalid") from error
    return read(text, path.name, path.parent)


def read(text: str, file: str = "scenario.yaml", folder: Path = Path()) -> tuple[ScenarioFile, list[Scenario]]:
    """The same of a text. `folder`: where the paths in it begin."""
    found = read_strict(ScenarioFile, text, (file, "scenario_invalid", REMEDY))
    refuse_larger(found, text, file)
    machines, work = work_of(found, folder)
    base = Scenario(
        name=found.name,
        pools={**{pool.name: pool.specs() for pool in found.pools}, **machines},
        arrivals=work,
        quotas=found.quotas,
        seconds=None if found.hours is None else found.hours * HOUR,
        pass_seconds=found.pass_seconds,
        failures=found.failures,
        elastic={pool.name: elastic_of(pool.elastic, folder) for pool in found.pools if pool.elastic is not None},
        restart_seconds=found.restart_seconds,
    )
    return found, [replace(base, name=name, policy=policy) for name, policy in found.policies.items()]


def elastic_of(part: ElasticPart, folder: Path) -> Elastic:
    """How the machines of a pool come and go. Raises InvalidInput for files of its market that cannot be read."""
    return Elastic(market_of(part.market, part.prices, part.stock, folder), part.nodes_min, part.idle_minutes * 60)


def work_of(found: ScenarioFile, folder: Path) -> tuple[dict[str, tuple[NodeSpec, ...]], Arrivals]:
    """The machines that come with the work, and the work, or how it is drawn from a seed. A trace is read now."""
    work = found.workloads
    if work.jobs:
        return {}, in_order([arrival for job in work.jobs for arrival in job.arrivals()])
    if work.trace is None:
        return {}, partial(philly_like, mix_of(work.mix or MixPart(), found.pools))
    nodes, arrivals = traced(work.trace, folder / work.trace.folder)
    begin = arrivals[0].workload.submitted_at if arrivals else 0.0
    first = [moved(each, begin) for each in arrivals[: work.trace.jobs_max]]
    return ({TRACE_POOL: nodes} if work.trace.machines else {}), partial(of_trace, first, work.trace)


def traced(part: TracePart, folder: Path) -> tuple[tuple[NodeSpec, ...], Sequence[Arrival]]:
    """A trace's machines and its work, in order. Raises what its reader raises, InvalidInput for a variant that is not there."""
    if part.form == "philly":
        trace = read_philly(folder)
        return trace.nodes, trace.arrivals
    found = alibaba.variants(folder)
    if part.variant not in found:
        reason = f"The folder {folder.name} has no list of pods of the variant {part.variant}."
        raise InvalidInput(reason, remedy=f"It has: {', '.join(found) or 'none'}.", code="scenario_invalid")
    nodes = alibaba.read_nodes(folder / alibaba.NODES_FILE)
    return nodes, in_order(list(alibaba.arrivals(alibaba.read_pods(found[part.variant], nodes))))


def of_trace(arrivals: Sequence[Arrival], part: TracePart, seed: int) -> list[Arrival]:
    """A trace's work with what one seed adds to it: estimates, and deadlines."""
    return with_deadlines(estimated(arrivals, part.estimate_error, seed), part.deadline_share, seed)


def moved(arrival: Arrival, by: float) -> Arrival:
    """The same, so much earlier: virtual time begins with the first."""
    return replace(arrival, workload=replace(arrival.workload, submitted_at=arrival.workload.submitted_at - by))


def mix_of(part: MixPart, pools: Sequence[PoolPart]) -> Mix:
    """The mix for the machines that stand there, or for all where every pool is elastic."""
    standing = [pool for pool in pools if pool.gpus and pool.elastic is None] or [pool for pool in pools if pool.gpus]
    if not standing:
        raise InvalidInput("A mix needs GPUs, and no pool has any.", remedy="Give a pool GPUs, or list the jobs.", code="scenario_invalid")
    size = min(pool.gpus for pool in standing)
    return Mix(
        nodes=max(1, sum(pool.nodes * pool.gpus for pool in standing) // size),
        node_gpus=size,
        checkpoint_seconds=part.checkpoint_minutes * 60,
        **part.model_dump(exclude={"checkpoint_minutes"}),
    )


def refuse_larger(found: ScenarioFile, text: str, file: str) -> None:
    """Raise InvalidInput `scenario_invalid` for a job that no pool could hold, empty and in order, or that names none of this file."""
    names = {pool.name for pool in found.pools}
    for job in found.workloads.jobs:
        unknown = [name for name in job.pools if name not in names]
        if unknown:
            raise wrong_job(
                job, (text, file), f"names the pool '{unknown[0]}', which is not in this file", f"Pools: {', '.join(sorted(names))}."
            )
        pools = [pool for pool in found.pools if not job.pools or pool.name in job.pools]
        if not any(holds(pool, job) for pool in pools):
            asked = f"{job.members} x {job.gpus} GPUs, {job.cores:g} cores, {job.memory_gib:g} GiB"
            words = f"is larger than every pool that it may run in ({asked})"
            raise wrong_job(job, (text, file), words, "Ask for less, or add machines.")


def wrong_job(job: JobPart, said: tuple[str, str], words: str, remedy: str) -> InvalidInput:
    """What a job may not be, with the line on which it is named."""
    text, file = said
    line = next((number for number, each in enumerate(text.splitlines(), 1) if f"name: {job.name}" in each), 1)
    return InvalidInput(f"{file}, line {line}: job {job.name} {words}.", remedy=remedy, code="scenario_invalid")


def holds(pool: PoolPart, job: JobPart) -> bool:
    """Whether an empty pool holds a job, by counting."""
    if (job.models and pool.gpu not in job.models) or (job.network == "efa" and not pool.efa):
        return False
    gpus = times(pool.gpus, job.gpus) if job.gpu_share == 1 else pool.gpus * (1 // job.gpu_share)
    members = min(gpus, times(pool.cores, job.cores), times(pool.memory_gib, job.memory_gib))
    return members >= 1 and (members == math.inf or members * pool.nodes >= (job.members_min or job.members))


def times(there: float, asked: float) -> float:
    """How often what is asked for is there; without end where nothing is asked for."""
    return there // asked if asked > 0 else math.inf

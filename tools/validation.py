"""Tools over validation: whether nodes have the right software, and are as fast as their fleet."""

import asyncio

from pydantic import Field, ValidationError

from factory_infra.errors import JobFailed, PostconditionFailed
from factory_infra.factory import Factory
from factory_infra.foundation.pools.spec import LocalPool
from factory_infra.foundation.validation.models import BENCHMARKS, BenchmarkName, BurnIn, BurnInOrder, NodeVerdict, StackReport
from factory_infra.foundation.validation.probes import collect as collect_stack
from factory_infra.foundation.validation.programs.burn_in import ORDER_FILE, result_file
from factory_infra.foundation.validation.service import Origin
from factory_infra.iaas.jobs.models import Job, JobLimits, JobSpec, JobState
from factory_infra.iaas.jobs.programs import python_argv, python_environment
from tools.jobs import dry_run_submit, job_id, price_submit
from tools.plan import Effect
from tools.spec import Arguments, JobTool, Result, Tool, ToolContext
from tools.waiting import ready_lease

PROGRAM = "factory_infra.foundation.validation.programs.burn_in"
START_SECONDS = 600
"""Beside the benchmarks themselves: imports, the waits of several nodes for each other."""
NODES_MAX = 100
REASONS_MAX = 5


class PoolArguments(Arguments):
    """Which pool; the first one if empty."""

    pool: str = Field(default="", max_length=40)


class DriftLine(Result):
    """One component that is not as the baseline wants it."""

    component: str
    severity: str
    wanted: str
    found: str
    remedy: str


class NodeCheck(Result):
    """The software of one node."""

    node: str
    sound: bool
    versions: dict[str, str]
    drift: list[DriftLine]


class CheckResult(Result):
    """The software of a pool's nodes against its baseline."""

    pool: str
    baseline: str = Field(description="The file; empty where none is declared, and then nothing can drift.")
    nodes: list[NodeCheck]
    note: str = ""


async def stacks(factory: Factory, pool_name: str) -> list[StackReport]:
    """The software of a pool's nodes: of this host as it is now, of others as their newest burn-in told. Raises NotFound, InvalidInput."""
    pool, service = factory.pools.named(pool_name), factory.validation
    if isinstance(pool, LocalPool):
        return [service.report(await asyncio.to_thread(collect_stack), pool.name)]
    found: list[StackReport] = []
    for verdict in (await service.verdicts(pool.name))[:NODES_MAX]:
        newest = next((run for run in await service.burn_ins(pool.name, verdict.node, 1) if run.stack is not None), None)
        if newest is not None and newest.stack is not None:
            found.append(service.report(newest.stack, pool.name, verdict.node))
    return found


async def check(context: ToolContext, arguments: PoolArguments) -> CheckResult:
    """Compare the versions of a pool's software (driver, CUDA, NCCL, EFA, container runtime, …) with its declared baseline."""
    pool = context.factory.pools.named(arguments.pool)
    reports = await stacks(context.factory, pool.name)
    note = "" if reports else "No node of this pool has told its software yet: run a burn-in there."
    return CheckResult(
        pool=pool.name, baseline=reports[0].baseline if reports else "", nodes=[node_check(report) for report in reports], note=note
    )


def node_check(report: StackReport) -> NodeCheck:
    """Shape one node's software for a reader."""
    drift = [
        DriftLine(component=each.component, severity=each.severity, wanted=each.wanted, found=each.found or "absent", remedy=each.remedy)
        for each in report.drift
    ]
    versions = {str(each.name): each.version or "absent" for each in report.stack.components}
    return NodeCheck(node=report.node or report.stack.host, sound=report.sound, versions=versions, drift=drift)


class NodeLine(Result):
    """What is thought of one node."""

    pool: str
    node: str
    machine_type: str
    fitness: str
    reasons: list[str]
    measured_at: str


class NodeList(Result):
    """The nodes that have been burnt in."""

    nodes: list[NodeLine]
    unfit: int


def node_line(verdict: NodeVerdict) -> NodeLine:
    """Shape a verdict for a reader; whose job measured it is not told."""
    return NodeLine(
        pool=verdict.pool,
        node=verdict.node or verdict.host,
        machine_type=verdict.machine_type,
        fitness=verdict.fitness,
        reasons=verdict.reasons[:REASONS_MAX],
        measured_at=verdict.measured_at.isoformat(),
    )


async def report(context: ToolContext, arguments: PoolArguments) -> NodeList:
    """Show which nodes were burnt in, how they compare with their fleet, and which are not handed out because they fall short."""
    pool = context.factory.pools.named(arguments.pool).name if arguments.pool else None
    found = await context.factory.validation.verdicts(pool, limit=NODES_MAX)
    return NodeList(nodes=[node_line(each) for each in found], unfit=sum(each.fitness == "unfit" for each in found))


class BurnInArguments(Arguments):
    """On which lease, what, and for how long."""

    lease_id: str
    benchmarks: list[BenchmarkName] = Field(default=[], max_length=len(BENCHMARKS), description="All of them if empty.")
    seconds: float = Field(default=5.0, gt=0, le=3600, description="For each benchmark.")
    nodes: int = Field(default=1, ge=1, le=1000, description="The program runs once on each; network is then measured between them.")
    disk_mib: int = Field(default=256, ge=1, le=100_000)
    memory_mib: int = Field(default=256, ge=1, le=1_000_000)


class Measured(Result):
    """One figure of one node."""

    node: str
    figure: str
    device: str
    value: float
    unit: str
    of_median: float | None = Field(default=None, description="1 is as fast as the median of the fleet.")


class BurnInResult(Result):
    """What a burn-in found."""

    pool: str
    nodes: list[NodeLine]
    measured: list[Measured]
    skipped: list[str]


async def burn_in(context: ToolContext, arguments: BurnInArguments) -> BurnInResult:
    """Burn a pool's nodes in: measure arithmetic, memory, copies, all-reduce, disk and network, and withdraw nodes that fall short."""
    raise JobFailed("A burn-in is run by the job workflow.", remedy="Start it through a plan.")


async def prepare(context: ToolContext, arguments: BurnInArguments) -> JobSpec:
    """Say what to run, on the slots of a lease that is still held."""
    settings = context.factory.settings
    lease = await ready_lease(context, arguments.lease_id)
    order = BurnInOrder(
        benchmarks=tuple(arguments.benchmarks) or BENCHMARKS,
        seconds=arguments.seconds,
        disk_mib=arguments.disk_mib,
        memory_mib=arguments.memory_mib,
    )
    limits = JobLimits(
        memory_gib=settings.job_memory_gib_max,
        file_gib=max(settings.job_file_gib_max, 2 * arguments.disk_mib / 1024),
        seconds=arguments.seconds * 2 * len(BENCHMARKS) + START_SECONDS,
    )
    return JobSpec(
        id=job_id(context.key),
        tenant=context.tenant,
        name="burn-in",
        argv=python_argv(PROGRAM),
        environment=python_environment(),
        inputs={ORDER_FILE: order.model_dump_json()},
        slot_kind=lease.slot_kind,
        slots=lease.slots,
        devices=lease.devices,
        limits=limits,
        pool=lease.pool,
        lease_id=lease.id,
        nodes=arguments.nodes,
    )


async def collect(context: ToolContext, arguments: BurnInArguments, job: Job) -> BurnInResult:
    """Read what each node left, keep it, and judge the nodes. Raises JobFailed where a node left nothing readable."""
    service, pool = context.factory.validation, context.factory.pools.named(job.pool)
    nodes: list[NodeLine] = []
    measured: list[Measured] = []
    skipped: list[str] = []
    for rank in range(arguments.nodes):
        found = await left_by(context, job, rank)
        node = "" if isinstance(pool, LocalPool) else (job.nodes[rank] if rank < len(job.nodes) else found.host)
        verdict = await service.record(found, Origin(pool=pool.name, node=node, job_id=job.id, tenant=context.tenant, rank=rank))
        nodes.append(node_line(verdict))
        measured += figures(found, verdict)
        skipped += [f"{found.host}: {each.benchmark}: {each.reason}" for each in found.skipped]
    return BurnInResult(pool=pool.name, nodes=nodes, measured=measured, skipped=skipped)


async def left_by(context: ToolContext, job: Job, rank: int) -> BurnIn:
    """What the node of a rank left. Raises JobFailed."""
    text = await context.factory.jobs.result(job.id, context.tenant, result_file(rank))
    if text is None:
        raise JobFailed(f"Job {job.id} left no result of node {rank}.", remedy=f"Read its log: lineshaft jobs logs {job.id}.")
    try:
        return BurnIn.model_validate_json(text)
    except ValidationError as error:
        raise JobFailed(
            f"What job {job.id} left of node {rank} cannot be read.", remedy=f"Read its log: lineshaft jobs logs {job.id}."
        ) from error


def figures(found: BurnIn, verdict: NodeVerdict) -> list[Measured]:
    """A node's figures, each with its share of the fleet's median."""
    shares = {each.figure: each.share for each in verdict.comparisons}
    return [
        Measured(
            node=verdict.node or found.host,
            figure=each.figure,
            device=each.device,
            value=each.value,
            unit=each.unit,
            of_median=shares.get(each.figure),
        )
        for each in found.measurements
    ]


async def verify(context: ToolContext, arguments: BurnInArguments, result: BurnInResult) -> None:
    """The job has succeeded, and what it measured is kept."""
    job = await context.factory.jobs.get(job_id(context.key), context.tenant)
    if job.state is not JobState.SUCCEEDED or not result.nodes:
        raise PostconditionFailed(f"Job {job.id} is {job.state} and told of {len(result.nodes)} nodes.")


TOOLS = (
    Tool("validation.check", Effect.READ, PoolArguments, CheckResult, check),
    Tool("validation.report", Effect.READ, PoolArguments, NodeList, report),
    JobTool(
        "validation.burn_in",
        Effect.COSTLY,
        BurnInArguments,
        BurnInResult,
        burn_in,
        dry_run_submit,
        price_submit,
        verify,
        undo_words="cancel the job; what was measured stays, and an administrator may forget it",
        postcondition="the job succeeded and every node's figures are kept and compared",
        runs_as="job",
        identify=job_id,
        prepare=prepare,
        collect=collect,
    ),
)

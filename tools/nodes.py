"""Tools over nodes: look at their health, drain them, replace them, hand them out again."""

import asyncio
import time
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from factory_infra.database import utcnow
from factory_infra.errors import Conflict, Forbidden, LineshaftError, PostconditionFailed, Unavailable
from factory_infra.foundation.reliability.gates import gate_of
from factory_infra.foundation.reliability.health import Health, Trigger, next_health
from factory_infra.foundation.reliability.node_models import Node, NodeFilter, NodeName, PoolName
from factory_infra.foundation.reliability.replacing import another, machines_of
from factory_infra.paas.tenants.models import PLATFORM
from tools.plan import DryRun, Effect
from tools.spec import Arguments, Raw, Result, Tool, ToolContext, refused, text_argument

NODES_MAX = 200
SHOWN_MAX = 10
POLL_SECONDS = 2.0
FRESH_SECONDS = 60.0
HealthName = Literal["healthy", "suspect", "draining", "repairing", "retired"]


class ListArguments(Arguments):
    """Which nodes; all where nothing is named."""

    pool: str | None = None
    health: HealthName | None = None


class NodeLine(Result):
    """One node."""

    pool: str
    node: str
    health: str
    reason: str
    accelerator: str
    accelerators_ok: int
    accelerators: int
    heard_seconds_ago: float | None


class NodeList(Result):
    """Nodes by pool and name."""

    nodes: list[NodeLine]


async def list_nodes(context: ToolContext, arguments: ListArguments) -> NodeList:
    """List the nodes of the pools with their health. A node that is not healthy is not handed out."""
    wanted = NodeFilter(pool=arguments.pool, health=Health(arguments.health) if arguments.health else None)
    return NodeList(nodes=[line(node) for node in await context.factory.nodes.list(wanted, NODES_MAX)])


def line(node: Node) -> NodeLine:
    """A node in a line: nothing of what runs on it."""
    return NodeLine(
        pool=node.pool,
        node=node.name,
        health=node.health,
        reason=node.reason,
        accelerator=node.accelerator,
        accelerators_ok=node.accelerators_ok,
        accelerators=node.accelerators,
        heard_seconds_ago=None if node.heartbeat_at is None else round((utcnow() - node.heartbeat_at).total_seconds(), 1),
    )


class NodeArguments(Arguments):
    """Which node."""

    pool: PoolName
    name: NodeName


class Happening(Result):
    """Something that happened to a node."""

    at: datetime
    what: str


class NodeShown(Result):
    """One node with what happened to it, newest first."""

    node: NodeLine
    replaced_by: str
    versions: dict[str, str]
    incidents: list[Happening]
    events: list[Happening]
    moves: list[Happening]


async def show(context: ToolContext, arguments: NodeArguments) -> NodeShown:
    """Show a node: its health, its failures with their meaning, and how its health changed."""
    told = await context.factory.nodes.history(arguments.pool, arguments.name)
    return NodeShown(
        node=line(told.node),
        replaced_by=told.node.replaced_by,
        versions=told.node.versions,
        incidents=[
            Happening(at=each.opened_at, what=f"{each.reason} Action: {each.action}. {'over' if each.closed_at else 'open'}")
            for each in told.incidents[:SHOWN_MAX]
        ],
        events=[
            Happening(at=each.at, what=f"{each.code}{' recovered' if each.recovered else ''} ({each.severity})")
            for each in told.events[:SHOWN_MAX]
        ],
        moves=[Happening(at=each.at, what=f"{each.was} -> {each.now}: {each.reason}") for each in told.moves[:SHOWN_MAX]],
    )


class DrainArguments(NodeArguments):
    """Which node, and why."""

    reason: str = Field(default="", max_length=300)


class NodeHealth(Result):
    """A node's health after a change."""

    pool: str
    node: str
    health: str


def allowed(context: ToolContext) -> None:
    """Nodes belong to all teams: no plan of one of them changes any. Raises Forbidden."""
    if context.tenant != PLATFORM:
        raise Forbidden("Nodes are changed by plans of the platform only.", code="platform_only", remedy="Ask an administrator.")


def health_of(node: Node) -> NodeHealth:
    """A node's health as a result."""
    return NodeHealth(pool=node.pool, node=node.name, health=node.health)


async def drain(context: ToolContext, arguments: DrainArguments) -> NodeHealth:
    """Take a node out of what is handed out. What runs on it goes on; nothing new begins there."""
    allowed(context)
    reason, gate = arguments.reason or "Drained.", gate_of(context.factory.pools.named(arguments.pool))
    node = await context.factory.nodes.move(arguments.pool, arguments.name, Trigger.DRAIN, reason, context.actor)
    if gate is not None:
        await gate.close(node.name, reason)
    return health_of(node)


async def undo_drain(context: ToolContext, arguments: DrainArguments, result: NodeHealth) -> str:
    """Take the drain back; a node on which something failed stays out."""
    node = await context.factory.nodes.undrain(arguments.pool, arguments.name, "The drain was taken back.", context.actor)
    await reopen(context, node)
    return f"node {node.name} is {node.health}"


async def reopen(context: ToolContext, node: Node) -> None:
    """Let the pool's engine begin jobs on a node again, if it is good."""
    gate = gate_of(context.factory.pools.named(node.pool))
    if gate is not None and node.health is Health.HEALTHY:
        await gate.open(node.name)


async def verify_drain(context: ToolContext, arguments: DrainArguments, result: NodeHealth) -> None:
    """The node is not handed out."""
    if arguments.name not in await context.factory.nodes.unfit(arguments.pool):
        raise PostconditionFailed(f"Node {arguments.name} is still handed out.")


async def foresee(context: ToolContext, raw: Raw, trigger: Trigger, words: str) -> DryRun:
    """Ask whether a node may move so now."""
    pool, name = text_argument(raw, "pool"), text_argument(raw, "name")
    try:
        allowed(context)
        if pool is not None and name is not None:
            node = await context.factory.nodes.standing_for(pool, name)
            next_health(node.health, trigger)
    except LineshaftError as error:
        return refused(error)
    return DryRun(reason=words)


async def dry_run_drain(context: ToolContext, raw: Raw) -> DryRun:
    """Whether the node can be drained now."""
    return await foresee(context, raw, Trigger.DRAIN, "nothing new begins on the node")


class EmptyArguments(NodeArguments):
    """Which node, and how long its jobs are waited for."""

    wait_seconds: int = Field(default=60, ge=0, le=540)
    must: bool = Field(
        default=True, description="Wait on until nothing runs there; else go on after the time, and their engine requeues them."
    )


class Emptied(Result):
    """What still ran when the waiting ended."""

    jobs_left: list[str]


async def empty(context: ToolContext, arguments: EmptyArguments) -> Emptied:
    """Wait until no job runs on a node."""
    allowed(context)
    deadline = time.monotonic() + arguments.wait_seconds
    while left := await jobs_on(context, arguments.pool, arguments.name):
        if time.monotonic() >= deadline:
            break
        await asyncio.sleep(min(POLL_SECONDS, max(deadline - time.monotonic(), 0.01)))
    if left and arguments.must:
        raise Unavailable(
            f"{len(left)} jobs still run on node {arguments.name}: {', '.join(left[:5])}.", remedy="They are waited for; or cancel them."
        )
    return Emptied(jobs_left=left)


async def jobs_on(context: ToolContext, pool: str, name: str) -> list[str]:
    """The jobs that run on a node, of whatever team."""
    jobs = await context.factory.jobs.list(None)
    return [job.id for job in jobs if job.pool == pool and not job.state.final and name in job.nodes]


class Replaced(Result):
    """What stands in a node's place."""

    pool: str
    node: str
    replaced_by: str = Field(description="Empty where a person replaces it by hand.")
    by_hand: bool
    words: str


async def replace(context: ToolContext, arguments: NodeArguments) -> Replaced:
    """Put another machine in a drained node's place and end the old one; where the pool makes no machines, hand it to a person."""
    allowed(context)
    nodes, pool, name = context.factory.nodes, arguments.pool, arguments.name
    node = await nodes.get(pool, name)
    if node.replaced_by:
        return replaced(node, node.replaced_by)
    machines = machines_of(context.factory.clusters, pool)
    if machines is None:
        await nodes.move(pool, name, Trigger.REPAIR, "It is to be mended or replaced by hand.", context.actor)
        return replaced(node, "")
    await nodes.move(pool, name, Trigger.REPAIR, "Another machine is made in its place.", context.actor)
    successor = await another(machines, node, nodes, context.key)
    await nodes.succeed(pool, name, successor, context.actor)
    return replaced(node, successor)


def replaced(node: Node, successor: str) -> Replaced:
    """What the replacement came to."""
    words = (
        f"{successor} stands in for {node.name}." if successor else f"Mend or replace {node.name} by hand, then 'lineshaft nodes resume'."
    )
    return Replaced(pool=node.pool, node=node.name, replaced_by=successor, by_hand=not successor, words=words)


async def dry_run_replace(context: ToolContext, raw: Raw) -> DryRun:
    """Whether the pool can make another machine, or a person has to."""
    pool = text_argument(raw, "pool")
    try:
        allowed(context)
        made = machines_of(context.factory.clusters, pool) is not None if pool else False
    except LineshaftError as error:
        return refused(error)
    return DryRun(reason="another machine is made in its place" if made else "replace by hand: this pool makes no machines")


async def verify_replace(context: ToolContext, arguments: NodeArguments, result: Replaced) -> None:
    """The node is out, and its successor is known."""
    nodes = context.factory.nodes
    node = await nodes.get(arguments.pool, arguments.name)
    if node.health not in {Health.REPAIRING, Health.RETIRED} or node.replaced_by != result.replaced_by:
        raise PostconditionFailed(f"Node {node.name} is {node.health}, replaced by {node.replaced_by or 'nothing'}.")
    if result.replaced_by:
        await nodes.get(arguments.pool, result.replaced_by)


class CheckArguments(NodeArguments):
    """Which node, or the one that stands in its place."""


class Checked(Result):
    """Whether a node is good to be handed out."""

    node: str
    passed: bool
    value: str
    threshold: str


async def check(context: ToolContext, arguments: CheckArguments) -> Checked:
    """Wait until a node, or the one in its place, reports, and say whether its driver and all its accelerators are in order."""
    node = await context.factory.nodes.standing_for(arguments.pool, arguments.name)
    heard = node.heartbeat_at
    if heard is None or heard < node.health_since or utcnow() - heard > timedelta(seconds=FRESH_SECONDS):
        raise Unavailable(
            f"Node {node.name} has not reported since it was {node.health}.", remedy="Start its node agent; it is waited for."
        )
    good = node.accelerators > 0 and node.accelerators_ok == node.accelerators and node.driver == "ok"
    passed = good or (node.accelerators == 0 and node.driver == "no_driver" and not node.accelerator)
    if passed and node.name in await context.factory.validation.unfit(node.pool):
        return Checked(node=node.name, passed=False, value="its last burn-in was below", threshold="the fleet's median")
    value = f"{node.accelerators_ok} of {node.accelerators} accelerators in order, driver {node.driver}"
    return Checked(node=node.name, passed=passed, value=value, threshold="all of them in order")


async def resume(context: ToolContext, arguments: NodeArguments) -> NodeHealth:
    """Hand a node, or the one that stands in its place, out again, and close its incident."""
    allowed(context)
    nodes = context.factory.nodes
    node = await nodes.standing_for(arguments.pool, arguments.name)
    good = await nodes.move(node.pool, node.name, Trigger.RESUME, "It was found good.", context.actor)
    await reopen(context, good)
    return health_of(good)


async def dry_run_resume(context: ToolContext, raw: Raw) -> DryRun:
    """Whether the node may be handed out again, in time: what is healthy already stays so."""
    found = await foresee(context, raw, Trigger.RESUME, "the node is handed out again")
    return DryRun(reason="once it is found good") if not found.feasible and found.code == "node_health" else found


async def verify_resume(context: ToolContext, arguments: NodeArguments, result: NodeHealth) -> None:
    """The node is handed out."""
    if result.node in await context.factory.nodes.unfit(arguments.pool):
        raise PostconditionFailed(f"Node {result.node} is not handed out.")


async def undo_resume(context: ToolContext, arguments: NodeArguments, result: NodeHealth) -> str:
    """Drain it again."""
    again = DrainArguments(pool=result.pool, name=result.node, reason="It was resumed by mistake.")
    try:
        await drain(context, again)
    except Conflict as error:
        return error.reason
    return f"node {result.node} is drained again"


TOOLS = (
    Tool("nodes.list", Effect.READ, ListArguments, NodeList, list_nodes),
    Tool("nodes.show", Effect.READ, NodeArguments, NodeShown, show),
    Tool("nodes.empty", Effect.READ, EmptyArguments, Emptied, empty),
    Tool("nodes.check", Effect.READ, CheckArguments, Checked, check),
    Tool(
        "nodes.drain",
        Effect.WRITE,
        DrainArguments,
        NodeHealth,
        drain,
        dry_run_drain,
        None,
        verify_drain,
        undo_drain,
        undo_words="take the drain back; a node that failed stays out",
        postcondition="the node is not handed out",
    ),
    Tool(
        "nodes.replace",
        Effect.DESTRUCTIVE,
        NodeArguments,
        Replaced,
        replace,
        dry_run_replace,
        None,
        verify_replace,
        undo_words="none: the old machine is gone, the new one stays out until it is found good",
        postcondition="the node is out, and what stands in its place is known",
    ),
    Tool(
        "nodes.resume",
        Effect.WRITE,
        NodeArguments,
        NodeHealth,
        resume,
        dry_run_resume,
        None,
        verify_resume,
        undo_resume,
        undo_words="drain it again",
        postcondition="the node is handed out",
    ),
)

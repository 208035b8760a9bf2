"""Tools over endpoints: gate, deploy, smoke test, roll out, scale, roll back, retire."""

import asyncio
import time
from typing import Literal

from pydantic import Field

from factory_infra.errors import LineshaftError, NotFound, PostconditionFailed, Unavailable
from factory_infra.paas.deployments.gate import gate as decide
from factory_infra.paas.deployments.models import Endpoint, SmokeReport
from factory_infra.paas.deployments.rollout_models import NewRollout, RolloutReport
from factory_infra.paas.deployments.scaling import EndpointHealth, Scaling
from tools.plan import DryRun, Effect
from tools.spec import Arguments, Raw, Result, Tool, ToolContext, refused, text_argument
from tools.traffic import (
    RolloutArguments,
    RolloutEnd,
    RolloutIdArguments,
    RolloutLine,
    RolloutList,
    RolloutsArguments,
    ScaleArguments,
    WatchArguments,
    dry_run_abort,
    dry_run_rollout,
    dry_run_scale,
    entry_id,
    listed,
    rollout_end,
    rollout_line,
    undo_rollout,
    verify_abort,
    verify_rollout,
    verify_scale,
)

SMOKE_ACCURACY_MIN = 0.5
WATCH_SECONDS = 0.5


class GateArguments(Arguments):
    """Which version must beat which value of which metric."""

    model_name: str
    version: int
    metric: Literal["accuracy"] = "accuracy"
    threshold: float = Field(ge=0.0, le=1.0)


class GateOutcome(Result):
    """Whether the version is good enough."""

    passed: bool
    value: float
    threshold: float
    metric: str


async def gate(context: ToolContext, arguments: GateArguments) -> GateOutcome:
    """Compare a version's metric with a threshold; it passes only when it is strictly above."""
    version = await context.factory.registry.get(context.tenant, arguments.model_name, arguments.version)
    if arguments.metric not in version.metrics:
        raise NotFound(f"{version.model_name} version {version.version} has no metric '{arguments.metric}'.", remedy="Train it again.")
    outcome = decide(version.metrics[arguments.metric], arguments.threshold)
    return GateOutcome(passed=outcome.passed, value=outcome.value, threshold=outcome.threshold, metric=arguments.metric)


class DeployArguments(Arguments):
    """Which version, under which name."""

    endpoint: str
    model_name: str
    version: int
    pool: str = Field(default="", max_length=40, description="Where its servers run; this host if left out.")


class EndpointLine(Result):
    """An endpoint and what it serves."""

    endpoint: str
    model_name: str
    version: int
    previous_version: int | None
    state: str
    url: str


def line(endpoint: Endpoint) -> EndpointLine:
    """Shape an endpoint for a reader."""
    return EndpointLine(
        endpoint=endpoint.name,
        model_name=endpoint.model_name,
        version=endpoint.version,
        previous_version=endpoint.previous_version,
        state=endpoint.state.value,
        url=endpoint.url,
    )


async def list_in_catalog(context: ToolContext, endpoint: Endpoint) -> None:
    """Write what the endpoint serves now into the catalog."""
    await listed(context.factory, context.tenant, endpoint)


async def deploy(context: ToolContext, arguments: DeployArguments) -> EndpointLine:
    """Put a model version live under a stable, authenticated name; what was live answers until the new one is healthy."""
    endpoint = await context.factory.deployments.deploy(
        context.tenant, arguments.endpoint, arguments.model_name, arguments.version, context.key, arguments.pool
    )
    await list_in_catalog(context, endpoint)
    return line(endpoint)


async def dry_run_deploy(context: ToolContext, raw: Raw) -> DryRun:
    """A version that is named must exist; tell what would be replaced."""
    name, version = text_argument(raw, "model_name"), raw.get("version")
    try:
        if name is not None and isinstance(version, int):
            await context.factory.registry.get(context.tenant, name, version)
    except LineshaftError as error:
        return refused(error)
    try:
        live = await context.factory.deployments.get(context.tenant, text_argument(raw, "endpoint") or "")
        return DryRun(reason=f"replaces {live.model_name} version {live.version}, which answers until the new one is healthy")
    except LineshaftError:
        return DryRun(reason="a new endpoint")


async def verify_deploy(context: ToolContext, arguments: DeployArguments, result: EndpointLine) -> None:
    """The endpoint is live with this version."""
    live = await context.factory.deployments.get(context.tenant, arguments.endpoint)
    if (live.model_name, live.version, live.state.value) != (arguments.model_name, arguments.version, "live"):
        raise PostconditionFailed(f"Endpoint {live.name} is {live.state} with {live.model_name} version {live.version}.")


async def undo_deploy(context: ToolContext, arguments: DeployArguments, result: EndpointLine) -> str:
    """Put the previous version back, or retire the endpoint if there was none."""
    before = await context.factory.deployments.rollback(context.tenant, arguments.endpoint, f"{context.key}/undo")
    if before is None:
        await context.factory.catalog.remove(entry_id(context.tenant, arguments.endpoint))
        return f"endpoint {arguments.endpoint} retired"
    await list_in_catalog(context, before)
    return f"endpoint {arguments.endpoint} back on version {before.version}"


class EndpointArguments(Arguments):
    """Which endpoint."""

    endpoint: str


async def smoke_test(context: ToolContext, arguments: EndpointArguments) -> SmokeReport:
    """Ask the live endpoint for held-out rows and compare with their labels and with what training predicted."""
    return await context.factory.deployments.smoke_test(context.tenant, arguments.endpoint)


async def verify_smoke(context: ToolContext, arguments: EndpointArguments, result: SmokeReport) -> None:
    """The endpoint predicts what the trained model predicted, and is better than chance."""
    if not result.agrees_with_training or result.accuracy < SMOKE_ACCURACY_MIN:
        raise PostconditionFailed(
            f"Endpoint {arguments.endpoint} got {result.accuracy:.2%} of {result.rows} held-out rows right"
            f"{'' if result.agrees_with_training else ' and does not predict what training predicted'}.",
            remedy="The plan is undone; look at the endpoint's log.",
        )


async def dry_run_endpoint(context: ToolContext, raw: Raw) -> DryRun:
    """The endpoint must be live."""
    name = text_argument(raw, "endpoint")
    try:
        live = await context.factory.deployments.get(context.tenant, name or "")
    except LineshaftError as error:
        return refused(error)
    return DryRun(reason=f"{live.name} answers with {live.model_name} version {live.version}")


async def dry_run_rollback(context: ToolContext, raw: Raw) -> DryRun:
    """There must be a version to go back to."""
    found = await dry_run_endpoint(context, raw)
    if not found.feasible:
        return found
    live = await context.factory.deployments.get(context.tenant, str(raw["endpoint"]))
    if live.previous_version is None:
        return DryRun(
            feasible=False,
            code="conflict",
            reason=f"Endpoint {live.name} has no earlier version.",
            remedy="Retire it, or deploy another version.",
        )
    return DryRun(reason=f"version {live.version} makes way for version {live.previous_version}")


async def rollback(context: ToolContext, arguments: EndpointArguments) -> EndpointLine:
    """Put an endpoint's previous version back live."""
    before = await context.factory.deployments.rollback(context.tenant, arguments.endpoint, context.key)
    if before is None:
        raise NotFound(f"Endpoint {arguments.endpoint} has no earlier version.", remedy="Deploy another version.")
    await list_in_catalog(context, before)
    return line(before)


async def verify_rollback(context: ToolContext, arguments: EndpointArguments, result: EndpointLine) -> None:
    """The endpoint is live with the version that it was put back on."""
    await verify_deploy(context, DeployArguments(endpoint=arguments.endpoint, model_name=result.model_name, version=result.version), result)


class Retired(Result):
    """The endpoint that answers no more."""

    endpoint: str
    state: str


async def retire(context: ToolContext, arguments: EndpointArguments) -> Retired:
    """Stop an endpoint. Its model version stays in the registry."""
    await context.factory.deployments.retire(context.tenant, arguments.endpoint, context.key)
    await context.factory.catalog.remove(entry_id(context.tenant, arguments.endpoint))
    return Retired(endpoint=arguments.endpoint, state="retired")


async def verify_retire(context: ToolContext, arguments: EndpointArguments, result: Retired) -> None:
    """No live endpoint has the name."""
    if any(each.name == arguments.endpoint for each in await context.factory.deployments.list(context.tenant)):
        raise PostconditionFailed(f"Endpoint {arguments.endpoint} still is live.")


class ListArguments(Arguments):
    """Nothing is asked."""


class EndpointList(Result):
    """Endpoints that are live."""

    endpoints: list[EndpointLine]


async def list_endpoints(context: ToolContext, arguments: ListArguments) -> EndpointList:
    """List the team's live endpoints with the version that each serves."""
    return EndpointList(endpoints=[line(each) for each in await context.factory.deployments.list(context.tenant)])


async def rollout(context: ToolContext, arguments: RolloutArguments) -> RolloutLine:
    """Begin to bring a version in step by step; it goes back by itself where it fails its gates. Ends at once: watch_rollout waits."""
    wanted = NewRollout(
        tenant=context.tenant,
        endpoint=arguments.endpoint,
        model_name=arguments.model_name,
        version=arguments.version,
        plan=arguments.plan(),
        key=context.key,
        asked_by=context.actor,
        thread_id=context.thread_id,
    )
    return rollout_line(await context.factory.rollouts.start(wanted))


async def watch_rollout(context: ToolContext, arguments: WatchArguments) -> RolloutEnd:
    """Wait until a roll-out has ended; it passes where the version held to the end."""
    deadline = time.monotonic() + arguments.seconds_max
    while True:
        found = await context.factory.rollouts.get(arguments.rollout_id, context.tenant)
        if found.state.ended:
            return rollout_end(found)
        if time.monotonic() > deadline:
            raise Unavailable(f"Roll-out {found.id} still is {found.state}: {found.reason}", remedy="Ask again.", code="rollout_running")
        await asyncio.sleep(WATCH_SECONDS)


async def rollouts(context: ToolContext, arguments: RolloutsArguments) -> RolloutList:
    """List the team's roll-outs, newest first, with the step, the share of the requests and the reason of each."""
    found = await context.factory.rollouts.list(
        context.tenant, arguments.endpoint or None, open_only=arguments.open_only, limit=arguments.limit, offset=arguments.offset
    )
    return RolloutList(rollouts=[rollout_line(each) for each in found])


async def show_rollout(context: ToolContext, arguments: RolloutIdArguments) -> RolloutReport:
    """Show a roll-out with its moves and what was counted of both versions in its present step."""
    return await context.factory.rollouts.report(arguments.rollout_id, context.tenant)


async def abort_rollout(context: ToolContext, arguments: RolloutIdArguments) -> RolloutLine:
    """End a roll-out: all requests go to the version that was live before it."""
    return rollout_line(await context.factory.rollouts.abort(arguments.rollout_id, context.tenant, f"Ended by {context.actor}."))


async def scale(context: ToolContext, arguments: ScaleArguments) -> Scaling:
    """Have an endpoint's servers grow with its load up to a number, and sleep when nobody asks; the next question wakes it."""
    return await context.factory.scaler.set(context.tenant, arguments.endpoint, arguments.wanted(), context.key, context.actor)


async def health(context: ToolContext, arguments: EndpointArguments) -> EndpointHealth:
    """Ask each server of an endpoint whether it is up, and tell what the last minute's requests were like."""
    return await context.factory.scaler.health(context.tenant, arguments.endpoint)


TOOLS = (
    Tool("deployments.gate", Effect.READ, GateArguments, GateOutcome, gate, postcondition="the metric is above the threshold"),
    Tool(
        "deployments.deploy",
        Effect.WRITE,
        DeployArguments,
        EndpointLine,
        deploy,
        dry_run_deploy,
        None,
        verify_deploy,
        undo_deploy,
        undo_words="put the previous version back, or retire the endpoint",
        postcondition="the endpoint is healthy and live with this version",
    ),
    Tool(
        "deployments.smoke_test",
        Effect.READ,
        EndpointArguments,
        SmokeReport,
        smoke_test,
        verify=verify_smoke,
        postcondition="held-out rows get the predictions that training got",
    ),
    Tool(
        "deployments.rollback",
        Effect.DESTRUCTIVE,
        EndpointArguments,
        EndpointLine,
        rollback,
        dry_run_rollback,
        None,
        verify_rollback,
        undo_words="deploy the newer version again",
        postcondition="the previous version is live",
    ),
    Tool(
        "deployments.retire",
        Effect.DESTRUCTIVE,
        EndpointArguments,
        Retired,
        retire,
        dry_run_endpoint,
        None,
        verify_retire,
        undo_words="deploy the version again",
        postcondition="no live endpoint has the name",
    ),
    Tool("deployments.list", Effect.READ, ListArguments, EndpointList, list_endpoints),
    Tool(
        "deployments.rollout",
        Effect.WRITE,
        RolloutArguments,
        RolloutLine,
        rollout,
        dry_run_rollout,
        None,
        verify_rollout,
        undo_rollout,
        undo_words="end the roll-out, and put the previous version back where the new one is live already",
        postcondition="the roll-out has begun; the live version answers until the new one has held",
    ),
    Tool(
        "deployments.watch_rollout",
        Effect.READ,
        WatchArguments,
        RolloutEnd,
        watch_rollout,
        postcondition="the version held at every step",
    ),
    Tool("deployments.rollouts", Effect.READ, RolloutsArguments, RolloutList, rollouts),
    Tool("deployments.show_rollout", Effect.READ, RolloutIdArguments, RolloutReport, show_rollout),
    Tool(
        "deployments.abort_rollout",
        Effect.WRITE,
        RolloutIdArguments,
        RolloutLine,
        abort_rollout,
        dry_run_abort,
        None,
        verify_abort,
        undo_words="roll the version out again",
        postcondition="the roll-out has ended and the candidate has no traffic",
    ),
    Tool(
        "deployments.scale",
        Effect.WRITE,
        ScaleArguments,
        Scaling,
        scale,
        dry_run_scale,
        None,
        verify_scale,
        undo_words="scale it as it was",
        postcondition="the endpoint is scaled so",
    ),
    Tool("deployments.health", Effect.READ, EndpointArguments, EndpointHealth, health),
)

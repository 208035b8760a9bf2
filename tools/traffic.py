"""What the tools over roll-outs and scaling take and give, and how they are foreseen, checked and undone."""

from typing import Literal

from pydantic import Field, ValidationError

from factory_infra.errors import Conflict, InvalidInput, LineshaftError, PostconditionFailed
from factory_infra.factory import Factory
from factory_infra.paas.catalog.lineage import node
from factory_infra.paas.catalog.models import CatalogEntry
from factory_infra.paas.catalog.tracks import deployed
from factory_infra.paas.deployments.models import Endpoint
from factory_infra.paas.deployments.rollout_models import CANARY_SHARES, Gates, Rollout, RolloutPlan, Strategy
from factory_infra.paas.deployments.scaling import NewScaling, Scaling
from tools.plan import DryRun
from tools.spec import Arguments, Raw, Result, ToolContext, refused, text_argument

StrategyWord = Literal["canary", "blue_green", "shadow"]


class RolloutArguments(Arguments):
    """Which version comes in under which name, and what must hold of it."""

    endpoint: str
    model_name: str
    version: int
    strategy: StrategyWord = Field(
        default="canary", description="A growing share of the requests; all at once; or asked beside the live version, never answering."
    )
    shares: list[float] = Field(default=[], max_length=20, description="Of the requests, step by step; a canary's are 0.01, 0.1, 0.5.")
    step_seconds: float = Field(default=60.0, ge=0, le=86_400)
    requests_min: int = Field(default=20, ge=0, le=1_000_000, description="So many requests the candidate must have had in each step.")
    patience_seconds: float = Field(default=86_400.0, gt=0, le=2_592_000, description="A step that is not decided by then goes back.")
    error_rate_max: float = Field(default=0.02, ge=0, lt=1)
    latency_p95_ms_max: float | None = Field(default=None, gt=0)
    latency_ratio_max: float | None = Field(default=None, ge=1, description="Of the live version's 95th percentile.")
    agreement_min: float | None = Field(default=None, gt=0, le=1, description="Share of answers that are the live version's too.")
    accuracy_min: float | None = Field(default=None, gt=0, le=1, description="Share of answers that feedback calls right.")
    samples_min: int = Field(default=20, ge=1, le=100_000, description="Comparisons or labels that are needed to judge.")
    promote: bool = Field(default=True, description="Whether it becomes the live version at the end; a shadow need not.")

    def plan(self) -> RolloutPlan:
        """As the factory takes it. Raises InvalidInput."""
        gates = Gates.model_validate(self.model_dump(include=set(Gates.model_fields)))
        fields = self.model_dump(include=set(RolloutPlan.model_fields) - {"strategy", "shares", "gates"})
        try:
            return RolloutPlan(strategy=Strategy(self.strategy), shares=tuple(self.shares), gates=gates, **fields)
        except ValidationError as error:
            reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise InvalidInput(
                f"The roll-out cannot be so: {reason}.", remedy="Correct it and plan again.", code="rollout_invalid"
            ) from error


class RolloutLine(Result):
    """A roll-out as it stands."""

    rollout_id: str
    endpoint: str
    model_name: str
    version: int
    old_version: int
    strategy: StrategyWord
    state: str
    step: int
    steps: int
    share: float
    code: str
    reason: str


class RolloutEnd(RolloutLine):
    """A roll-out that has ended, as a gate of a plan reads it."""

    passed: bool
    value: str
    threshold: str


def rollout_line(rollout: Rollout) -> RolloutLine:
    """Shape a roll-out for a reader."""
    return RolloutLine(rollout_id=rollout.id, strategy=rollout.plan.strategy.value, steps=len(rollout.plan.steps), **shared(rollout))


def rollout_end(rollout: Rollout) -> RolloutEnd:
    """Shape an ended roll-out for a gate: passed where the candidate held."""
    told = {
        "value": f"{rollout.model_name} version {rollout.version} ({rollout.state}: {rollout.reason})",
        "threshold": "its roll-out's gates",
    }
    return RolloutEnd(**rollout_line(rollout).model_dump(), passed=rollout.state.good, **told)


def shared(rollout: Rollout) -> dict[str, object]:
    """The fields that are alike."""
    return rollout.model_dump(include={"endpoint", "model_name", "version", "old_version", "state", "step", "share", "code", "reason"})


class RolloutIdArguments(Arguments):
    """Which roll-out."""

    rollout_id: str


class WatchArguments(RolloutIdArguments):
    """Which roll-out, and for how long it is waited for at one time."""

    seconds_max: float = Field(default=480.0, gt=0, le=540, description="A plan waits again, for some hours; any other caller asks again.")


class RolloutsArguments(Arguments):
    """Which roll-outs."""

    endpoint: str = ""
    open_only: bool = False
    limit: int = Field(default=50, ge=1, le=500)
    offset: int = Field(default=0, ge=0)


class RolloutList(Result):
    """Roll-outs, newest first."""

    rollouts: list[RolloutLine]


class ScaleArguments(Arguments):
    """How an endpoint's servers grow and shrink."""

    endpoint: str
    servers_max: int = Field(default=1, ge=1, le=16)
    parallel_target: float = Field(default=4.0, gt=0, le=1000, description="So many requests at one time are one server's.")
    idle_seconds: float | None = Field(
        default=None, ge=10, le=2_592_000, description="Unasked for so long it sleeps; never where left out."
    )

    def wanted(self) -> NewScaling:
        """As the factory takes it."""
        return NewScaling.model_validate(self.model_dump(exclude={"endpoint"}))


async def relist(factory: Factory, tenant: str, name: str) -> None:
    """Write what an endpoint answers with now into the catalog."""
    await listed(factory, tenant, await factory.deployments.get(tenant, name))


async def listed(factory: Factory, tenant: str, endpoint: Endpoint) -> None:
    """List an endpoint, and note which version it answers with."""
    await factory.catalog.put(entry(tenant, endpoint), keep=True)
    model = node("model", tenant, endpoint.model_name, endpoint.version)
    await deployed(factory.lineage, tenant, entry_id(tenant, endpoint.name), model)


def entry_id(tenant: str, name: str) -> str:
    """The id under which the catalog lists an endpoint."""
    return f"endpoint/{tenant}/{name}"


def entry(tenant: str, endpoint: Endpoint) -> CatalogEntry:
    """An endpoint as the catalog lists it."""
    return CatalogEntry(
        id=entry_id(tenant, endpoint.name),
        kind="endpoint",
        tenant=tenant,
        name=endpoint.name,
        url=endpoint.url,
        description=f"Endpoint {endpoint.name} answers with {endpoint.model_name} version {endpoint.version}.",
        version=str(endpoint.version),
        facts={"model_name": endpoint.model_name, "version": endpoint.version},
    )


async def dry_run_rollout(context: ToolContext, raw: Raw) -> DryRun:
    """The endpoint is live and in no roll-out, the version is there, and the steps can be walked."""
    name, model, version = text_argument(raw, "endpoint"), text_argument(raw, "model_name"), raw.get("version")
    try:
        live = await context.factory.deployments.get(context.tenant, name or "")
        if model is not None and isinstance(version, int):
            await context.factory.deployments.registered(context.tenant, model, version)
            RolloutArguments.model_validate(dict(raw)).plan()
        open_ones = await context.factory.rollouts.list(context.tenant, name, open_only=True)
    except LineshaftError as error:
        return refused(error)
    if open_ones:
        return refused(
            Conflict(f"Endpoint {name} is in roll-out {open_ones[0].id}.", remedy="Wait for it, or abort it.", code="rollout_open")
        )
    shares = raw.get("shares") or (list(CANARY_SHARES) if raw.get("strategy", "canary") == "canary" else [1.0])
    told = ", ".join(f"{share:.2%}" for share in shares if isinstance(share, int | float)) if isinstance(shares, list) else ""
    return DryRun(reason=f"{live.model_name} version {live.version} answers until the new one has held at {told} of the requests")


async def verify_rollout(context: ToolContext, arguments: RolloutArguments, result: RolloutLine) -> None:
    """The roll-out is there, for this version."""
    found = await context.factory.rollouts.get(result.rollout_id, context.tenant)
    if (found.endpoint, found.model_name, found.version) != (arguments.endpoint, arguments.model_name, arguments.version):
        raise PostconditionFailed(f"Roll-out {found.id} is of {found.model_name} version {found.version} under {found.endpoint}.")


async def undo_rollout(context: ToolContext, arguments: RolloutArguments, result: RolloutLine) -> str:
    """End it; where its version is live already, put the previous one back."""
    found = await context.factory.rollouts.get(result.rollout_id, context.tenant)
    if not found.state.ended:
        await context.factory.rollouts.abort(found.id, context.tenant, "The plan was undone.")
        return f"roll-out {found.id} ended; endpoint {found.endpoint} stays on version {found.old_version}"
    live = await context.factory.deployments.get(context.tenant, found.endpoint)
    if (live.model_name, live.version) != (found.model_name, found.version):
        return f"endpoint {live.name} is on version {live.version}: nothing to undo"
    before = await context.factory.deployments.rollback(context.tenant, found.endpoint, f"{context.key}/undo")
    await relist(context.factory, context.tenant, found.endpoint)
    return f"endpoint {found.endpoint} back on version {before.version if before else found.old_version}"


async def dry_run_abort(context: ToolContext, raw: Raw) -> DryRun:
    """It has not ended."""
    try:
        found = await context.factory.rollouts.get(text_argument(raw, "rollout_id") or "", context.tenant)
    except LineshaftError as error:
        return refused(error)
    if found.state.ended:
        return refused(Conflict(f"Roll-out {found.id} is {found.state}.", remedy="Nothing is left to abort.", code="rollout_ended"))
    return DryRun(reason=f"all requests of endpoint {found.endpoint} go to {found.old_model_name} version {found.old_version} again")


async def verify_abort(context: ToolContext, arguments: RolloutIdArguments, result: RolloutLine) -> None:
    """It has ended, and the candidate has no traffic."""
    found = await context.factory.rollouts.get(arguments.rollout_id, context.tenant)
    if not found.state.ended:
        raise PostconditionFailed(f"Roll-out {found.id} still is {found.state}.")


async def dry_run_scale(context: ToolContext, raw: Raw) -> DryRun:
    """The endpoint is live; tell how many servers it has."""
    try:
        now = await context.factory.scaler.get(context.tenant, text_argument(raw, "endpoint") or "")
    except LineshaftError as error:
        return refused(error)
    return DryRun(reason=f"{now.endpoint} has {now.servers} servers now, at most {now.servers_max}")


async def verify_scale(context: ToolContext, arguments: ScaleArguments, result: Scaling) -> None:
    """The endpoint is scaled so."""
    found = await context.factory.scaler.get(context.tenant, arguments.endpoint)
    if (found.servers_max, found.idle_seconds) != (arguments.servers_max, arguments.idle_seconds):
        raise PostconditionFailed(f"Endpoint {found.endpoint} is scaled to {found.servers_max} servers, idle after {found.idle_seconds} s.")

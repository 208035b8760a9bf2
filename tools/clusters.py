"""Tools over clusters: machines that are made for a team, reserved in the ledger before and charged by the machine-second."""

from decimal import Decimal

from pydantic import Field

from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput, LineshaftError, NotFound, PostconditionFailed
from factory_infra.factory import Factory
from factory_infra.foundation.accelerators.models import MachineType
from factory_infra.foundation.clusters.models import Cluster, ClusterForm, ClusterSpec
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.service import ClusterBook, ClusterRecord, Term
from factory_infra.foundation.pools.spec import PriceClass
from factory_infra.saas.metering.models import Attribution, Charge
from factory_infra.saas.metering.service import slot_subject
from tools.plan import DryRun, Effect, Price
from tools.spec import Arguments, Raw, Result, Tool, ToolContext, number_argument, refused, text_argument

PREFIX = "cluster/"


class ListArguments(Arguments):
    """Nothing is asked."""


class ClusterLine(Result):
    """One cluster."""

    cluster_id: str
    pool: str
    form: str
    machine: str
    machines: list[str]
    count: int
    state: str
    note: str = ""
    expires_at: str = ""


class ClusterList(Result):
    """A team's clusters."""

    clusters: list[ClusterLine]


def book_of(factory: Factory) -> ClusterBook:
    """The clusters of the installation with their ledger."""
    return ClusterBook(factory.database, factory.clusters)


def line(row: ClusterRecord, seen: Cluster | None = None) -> ClusterLine:
    """Shape a cluster for a reader."""
    return ClusterLine(
        cluster_id=row.id,
        pool=row.pool,
        form=row.form,
        machine=row.machine,
        machines=[machine.id for machine in seen.machines] if seen is not None else row.machines,
        count=row.count,
        state=seen.state.value if seen is not None else row.state,
        note=(seen.note if seen is not None else row.note),
        expires_at=row.expires_at.isoformat() if row.expires_at else "",
    )


async def list_clusters(context: ToolContext, arguments: ListArguments) -> ClusterList:
    """List the team's clusters that stand, newest first."""
    return ClusterList(clusters=[line(row) for row in await book_of(context.factory).list(context.tenant)])


class ProvisionArguments(Arguments):
    """What machines, how many, for how long."""

    pool: str = Field(max_length=40, description="A pool in which machines are made.")
    machine: str = Field(max_length=40, description="The type of machine, such as p5.48xlarge.")
    count: int = Field(ge=1, le=1000, description="How many machines.")
    count_min: int | None = Field(default=None, ge=1, le=1000, description="Fewer than this is a failure; all of them if left out.")
    count_max: int = Field(default=0, ge=0, le=1000, description="It may be scaled to so many, which are reserved; count if left out.")
    hours: float = Field(default=1.0, ge=0.1, le=720, strict=False, description="Then it is released.")
    form: ClusterForm = Field(default="fleet", description="fleet, auto_scaling, kubernetes or hyperpod.")
    alternatives: list[str] = Field(default=[], max_length=10, description="Other types that will do: spot is spread over them.")
    price_class: PriceClass = Field(default="on_demand", description="on_demand, spot, reserved or capacity_block.")
    rack: bool = Field(default=False, description="Close together, with EFA where the machine has it.")
    reservation_id: str = Field(default="", max_length=60, description="A capacity reservation or block to launch into.")


def spec_of(context: ToolContext, arguments: ProvisionArguments) -> ClusterSpec:
    """What the pool is asked for. The step's key makes it one."""
    return ClusterSpec(
        key=context.key[:200] or "dry-run",
        tenant=context.tenant,
        run_id=context.plan_id,
        form=arguments.form,
        machine=arguments.machine,
        alternatives=tuple(arguments.alternatives),
        count=arguments.count,
        count_min=arguments.count_min,
        price_class=arguments.price_class,
        topology="rack" if arguments.rack else "any",
        reservation_id=arguments.reservation_id,
    )


async def machine_of(factory: Factory, pool: str, name: str) -> MachineType:
    """What the pool says of a type of machine. Raises InvalidInput `machine_unknown` that lists what it makes."""
    made = (await factory.accelerators.pool(pool)).machines
    for machine in made:
        if machine.name == name:
            return machine
    names = ", ".join(machine.name for machine in made) or "none"
    raise InvalidInput(f"Pool '{pool}' makes no {name[:40]}.", code="machine_unknown", remedy=f"It makes: {names}.")


def charge_of(machine: MachineType, price_class: str, machine_seconds: float) -> Charge:
    """What machine-seconds are in the price book: those of its slots."""
    subject = slot_subject(machine.kind, machine.accelerator, price_class)
    return Charge(unit="slot_seconds", subject=subject, quantity=Decimal(str(round(machine.slots * machine_seconds, 3))))


async def provision(context: ToolContext, arguments: ProvisionArguments) -> ClusterLine:
    """Make a cluster of machines for the team, against its budget. It is released when its time is over."""
    factory, wanted = context.factory, spec_of(context, arguments)
    machine = await machine_of(factory, arguments.pool, arguments.machine)
    most, seconds = max(arguments.count_max, arguments.count), int(arguments.hours * 3600)
    name = PREFIX + cluster_id(wanted.key, wanted.form)
    whose = Attribution(tenant=context.tenant, plan_id=context.plan_id, thread_id=context.thread_id, agent=context.agent)
    await factory.metering.reserve(name, charge_of(machine, arguments.price_class, most * seconds), whose)
    book = book_of(factory)
    try:
        made = await book.provision(arguments.pool, wanted, Term(seconds=seconds, count_max=most))
    except LineshaftError as error:
        if not error.retryable:
            await factory.metering.release(name)
        raise
    return line(await book.record(made.id, context.tenant), made)


async def dry_run_provision(context: ToolContext, raw: Raw) -> DryRun:
    """Ask whether the pool makes such machines; for what is long-lived the template is told too."""
    try:
        arguments = PROVISION.parse(raw)
        machine = await machine_of(context.factory, arguments.pool, arguments.machine)
        if arguments.form == "kubernetes":
            text = await book_of(context.factory).template(arguments.pool, spec_of(context, arguments))
            return DryRun(reason="its network and roles come from the CloudFormation template below", template=text)
    except LineshaftError as error:
        return refused(error)
    what = f"{arguments.count} {machine.name} ({machine.slots} {machine.accelerator or machine.kind} each)"
    return DryRun(reason=f"{what} are made in pool {arguments.pool}; whether {arguments.price_class} capacity is free shows then")


async def price_provision(context: ToolContext, raw: Raw) -> Price:
    """Price the machines: from a tenth of an hour to the whole time of the most that it may become."""
    prices = context.factory.metering.prices
    try:
        arguments = PROVISION.parse(raw)
        machine = await machine_of(context.factory, arguments.pool, arguments.machine)
    except LineshaftError as error:
        return Price(currency=prices.currency, basis=error.reason)
    most = max(arguments.count_max, arguments.count)
    low, high = (
        prices.price(charge_of(machine, arguments.price_class, seconds))
        for seconds in (arguments.count * 360, most * arguments.hours * 3600)
    )
    basis = f"{arguments.count} to {most} {machine.name} for 0.1 to {arguments.hours:g} h, price book {prices.version}"
    return Price(low=low, high=high, currency=prices.currency, basis=basis)


async def verify_provision(context: ToolContext, arguments: ProvisionArguments, result: ClusterLine) -> None:
    """It stands, with at least the machines that will do, and is reserved."""
    seen = await book_of(context.factory).get(result.cluster_id, context.tenant)
    least = (arguments.count_min or arguments.count) if arguments.form == "fleet" else 0
    if seen.state.final or len(seen.machines) < least:
        raise PostconditionFailed(f"Cluster {seen.id} is {seen.state} with {len(seen.machines)} machines.")
    if not await context.factory.metering.open_reservations(PREFIX + seen.id):
        raise PostconditionFailed(f"Cluster {seen.id} is not reserved in the ledger.")


async def undo_provision(context: ToolContext, arguments: ProvisionArguments, result: ClusterLine) -> str:
    """Release it and charge what was used."""
    await release_cluster(context.factory, result.cluster_id, context.tenant)
    return f"cluster {result.cluster_id} released"


class ScaleArguments(Arguments):
    """Which cluster, to how many machines."""

    cluster_id: str = Field(max_length=64)
    count: int = Field(ge=1, le=1000)


async def scale(context: ToolContext, arguments: ScaleArguments) -> ClusterLine:
    """Bring a cluster to so many machines, within what is reserved for it. Fewer ends the newest ones, with what runs there."""
    book = book_of(context.factory)
    made = await book.scale(arguments.cluster_id, context.tenant, arguments.count, context.key)
    return line(await book.record(arguments.cluster_id, context.tenant), made)


async def price_scale(context: ToolContext, raw: Raw) -> Price:
    """Price what it would have more, for what is left of its time; that is reserved already."""
    prices, name = context.factory.metering.prices, text_argument(raw, "cluster_id")
    if name is None:
        return Price(currency=prices.currency, basis="a cluster of an earlier step: within what is reserved for it")
    try:
        row = await book_of(context.factory).record(name, context.tenant)
        machine, count = await machine_of(context.factory, row.pool, row.machine), number_argument(raw, "count", row.count)
    except LineshaftError as error:
        return Price(currency=prices.currency, basis=error.reason)
    left = max((row.expires_at - utcnow()).total_seconds(), 0.0) if row.expires_at else 3600.0
    more = max(count - row.count, 0)
    high = prices.price(charge_of(machine, row.price_class, more * left))
    return Price(high=high, currency=prices.currency, basis=f"{more} more {row.machine} for {left / 3600:.1f} h, reserved already")


class ReplaceArguments(Arguments):
    """Which machine of which cluster."""

    cluster_id: str = Field(max_length=64)
    machine_id: str = Field(max_length=64)


async def replace(context: ToolContext, arguments: ReplaceArguments) -> ClusterLine:
    """Put another machine in the place of one of a cluster's; the old one ends, with what runs there."""
    book = book_of(context.factory)
    made = await book.replace(arguments.cluster_id, context.tenant, arguments.machine_id, context.key)
    return line(await book.record(arguments.cluster_id, context.tenant), made)


class ReleaseArguments(Arguments):
    """Which cluster."""

    cluster_id: str = Field(max_length=64)


class Released(Result):
    """What it came to."""

    cluster_id: str
    machine_seconds: float
    state: str


async def release_cluster(factory: Factory, name: str, tenant: str) -> ClusterRecord:
    """Release a cluster, and charge for it once it is gone. Again it changes nothing."""
    book = book_of(factory)
    await book.release(name, tenant)
    row = await book.record(name, tenant)
    try:
        machine = await machine_of(factory, row.pool, row.machine)
        await factory.metering.settle(PREFIX + name, charge_of(machine, row.price_class, row.machine_seconds))
    except NotFound:
        return row  # nothing was reserved: it was not asked for by a tool
    return row


async def release(context: ToolContext, arguments: ReleaseArguments) -> Released:
    """Remove a cluster with all its machines, and charge what was used. What runs there ends, and what was not stored is lost."""
    row = await release_cluster(context.factory, arguments.cluster_id, context.tenant)
    return Released(cluster_id=row.id, machine_seconds=row.machine_seconds, state=row.state)


async def dry_run_known(context: ToolContext, raw: Raw) -> DryRun:
    """The cluster must stand; one from an earlier step will."""
    name = text_argument(raw, "cluster_id")
    if name is None:
        return DryRun()
    try:
        seen = await book_of(context.factory).get(name, context.tenant)
    except LineshaftError as error:
        return refused(error)
    return DryRun(reason=f"it is {seen.state} with {len(seen.machines)} machines now")


async def verify_scale(context: ToolContext, arguments: ScaleArguments, result: ClusterLine) -> None:
    """It wants so many machines now."""
    seen = await book_of(context.factory).get(arguments.cluster_id, context.tenant)
    if seen.wanted != arguments.count:
        raise PostconditionFailed(f"Cluster {seen.id} wants {seen.wanted} machines.")


async def verify_replace(context: ToolContext, arguments: ReplaceArguments, result: ClusterLine) -> None:
    """The old machine is not there any more."""
    seen = await book_of(context.factory).get(arguments.cluster_id, context.tenant)
    if any(machine.id == arguments.machine_id and machine.state == "running" for machine in seen.machines):
        raise PostconditionFailed(f"Machine {arguments.machine_id} is still there.")


async def verify_release(context: ToolContext, arguments: ReleaseArguments, result: Released) -> None:
    """Nothing of it is left, and nothing is reserved for it."""
    seen = await book_of(context.factory).get(arguments.cluster_id, context.tenant)
    if not seen.state.final or await context.factory.metering.open_reservations(PREFIX + arguments.cluster_id):
        raise PostconditionFailed(f"Cluster {seen.id} is {seen.state}, and may still be reserved.")


PROVISION = Tool(
    "clusters.provision",
    Effect.COSTLY,
    ProvisionArguments,
    ClusterLine,
    provision,
    dry_run_provision,
    price_provision,
    verify_provision,
    undo_provision,
    undo_words="release the cluster",
    postcondition="the cluster stands with its machines and is reserved in the ledger",
)

TOOLS = (
    Tool("clusters.list", Effect.READ, ListArguments, ClusterList, list_clusters),
    PROVISION,
    Tool(
        "clusters.scale",
        Effect.COSTLY,
        ScaleArguments,
        ClusterLine,
        scale,
        dry_run_known,
        price_scale,
        verify_scale,
        undo_words="none: scale it again",
        postcondition="the cluster wants so many machines",
    ),
    Tool(
        "clusters.replace",
        Effect.DESTRUCTIVE,
        ReplaceArguments,
        ClusterLine,
        replace,
        dry_run_known,
        None,
        verify_replace,
        undo_words="none: the old machine is gone",
        postcondition="the old machine is not there any more",
    ),
    Tool(
        "clusters.release",
        Effect.DESTRUCTIVE,
        ReleaseArguments,
        Released,
        release,
        dry_run_known,
        None,
        verify_release,
        undo_words="none: a released cluster is gone",
        postcondition="nothing of the cluster is left and it is charged",
    ),
)

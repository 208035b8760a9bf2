"""Tools over leases: slots for a time, reserved in the ledger before and settled after."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from pydantic import Field

from factory_infra.database import utcnow
from factory_infra.errors import CapacityExceeded, LineshaftError, PostconditionFailed, QuotaExceeded
from factory_infra.foundation.pools.spec import PriceClass
from factory_infra.iaas.leases.choice import Quote
from factory_infra.iaas.leases.models import PRIORITY_MAX, WAIT_SECONDS_MAX, Lease, LeaseRequest, LeaseState, Usage
from factory_infra.iaas.leases.rows import lease_id, renewal_id
from factory_infra.saas.metering.models import Attribution, Charge
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.metering.service import slot_subject, subject_of
from tools.plan import DryRun, Effect, Price
from tools.spec import Arguments, Raw, Result, Tool, ToolContext, number_argument, refused
from tools.waiting import in_line, waits_for

TYPICAL_SECONDS = 30


class ListArguments(Arguments):
    """Nothing is asked."""


class LeaseLine(Result):
    """One lease."""

    lease_id: str
    slots: int
    slot_kind: str
    purpose: str
    expires_at: str
    pool: str = ""
    accelerator: str = ""
    state: str = "active"
    waits_for: str = ""
    project: str = ""


class LeaseList(Result):
    """The leases that a team holds."""

    leases: list[LeaseLine]
    quota_slots: int
    quota_slots_used: int


async def list_leases(context: ToolContext, arguments: ListArguments) -> LeaseList:
    """List the leases that the team holds or waits for now, with its quota."""
    held = await context.factory.leases.list(context.tenant)
    usage = await context.factory.leases.usage(context.tenant)
    lines = [
        LeaseLine(
            lease_id=lease.id,
            slots=len(lease.slots) or lease.slots_wanted,
            slot_kind=lease.slot_kind,
            purpose=lease.purpose,
            expires_at=lease.expires_at.isoformat(),
            pool=lease.pool,
            accelerator=lease.accelerator,
            state=lease.state.value,
            waits_for=waits_for(lease),
            project=lease.project,
        )
        for lease in held
    ]
    return LeaseList(leases=lines, quota_slots=usage.quota_slots, quota_slots_used=usage.quota_slots_used)


class AcquireArguments(Arguments):
    """How many slots, for what, for how long at most."""

    slots: int = Field(ge=1, le=100_000)
    purpose: str = ""
    seconds: int = Field(default=3600, ge=60, le=604_800)
    pool: str = Field(default="", max_length=40, description="Where; the installation's first pool if empty.")
    or_pools: list[str] = Field(default=[], max_length=20, description="Others that will do, the preferred first.")
    accelerator: str = Field(default="", max_length=64, description="The type, such as H100; any if empty.")
    price_class: PriceClass | None = Field(default=None, description="Where machines are made for it: on demand, spot, reserved.")
    topology: Literal["any", "node", "rack"] = "any"
    wait_seconds: int = Field(default=0, ge=0, le=WAIT_SECONDS_MAX, description="Wait so long for what is not free; 0: be refused at once.")
    queue: str = Field(default="", max_length=200, description="The queue of the quota tree that is charged; the team's own if empty.")
    priority: int = Field(default=0, ge=-PRIORITY_MAX, le=PRIORITY_MAX, description="Higher comes first, among those that wait.")
    preemptible: bool = Field(default=False, description="It may be ended early, for one of a higher priority.")
    slots_min: int = Field(default=0, ge=0, le=100_000, description="Begin with so few if not all are free; 0: all or none.")
    expected_seconds: int = Field(default=0, ge=0, le=604_800, description="How long it will likely be held, if less than its term.")
    deadline_seconds: int = Field(default=0, ge=0, le=2_592_000, description="From now: when what runs on it must be done; 0 for none.")


def request_of(context: ToolContext, arguments: AcquireArguments) -> LeaseRequest:
    """The lease that is asked for."""
    return LeaseRequest(
        tenant=context.tenant,
        project=context.project,
        slots=arguments.slots,
        purpose=arguments.purpose,
        seconds=arguments.seconds,
        plan_id=context.plan_id,
        key=context.key,
        pool=arguments.pool,
        or_pools=arguments.or_pools,
        accelerator=arguments.accelerator,
        price_class=arguments.price_class,
        topology=arguments.topology,
        wait_seconds=arguments.wait_seconds,
        queue=arguments.queue,
        priority=arguments.priority,
        preemptible=arguments.preemptible,
        slots_min=arguments.slots_min,
        expected_seconds=arguments.expected_seconds,
        deadline_at=utcnow() + timedelta(seconds=arguments.deadline_seconds) if arguments.deadline_seconds else None,
    )


class Granted(Result):
    """The lease that was granted, or waits for its slots."""

    lease_id: str
    slots: int
    slot_kind: str
    slot_indices: list[int]
    expires_at: str
    pool: str = ""
    accelerator: str = ""
    machines: list[str] = []
    state: str = "active"
    waits_for: str = Field(default="", description="Why it does not hold its slots yet.")
    waits_until: str = Field(default="", description="When it gives up.")


async def acquire(context: ToolContext, arguments: AcquireArguments) -> Granted:
    """Lease slots against the team's quota and budget. They are the team's until released or until the term ends.

    With wait_seconds, what is not free is waited for: jobs may be submitted on the lease meanwhile, and begin when it does.
    """
    factory, wanted, request = context.factory, lease_id(context.key), request_of(context, arguments)
    quote = dearest(await factory.leases.quotes(request), factory.metering.prices)
    slot_seconds = quote.slots * arguments.seconds
    await factory.metering.reserve_lease(wanted, quoted_subject(quote), slot_seconds, attributed(context, context.project))
    try:
        lease = await factory.leases.acquire(request)
    except LineshaftError as error:
        if not error.retryable:
            await factory.metering.release_lease(wanted)
        raise
    return granted(lease)


def attributed(context: ToolContext, project: str) -> Attribution:
    """Who pays, and for which project of the team."""
    told = {"plan_id": context.plan_id, "thread_id": context.thread_id, "agent": context.agent}
    return Attribution(tenant=context.tenant, project=project, **told)


def dearest(quotes: Sequence[Quote], prices: PriceBook) -> Quote:
    """Of what a lease may come to be, what costs most: that much is reserved."""
    return max(quotes, key=lambda quote: prices.now.hour(quoted_subject(quote))) if len(quotes) > 1 else quotes[0]


def quoted_subject(quote: Quote) -> str:
    """What a slot of the lease is called in the price book."""
    return slot_subject(quote.slot_kind, quote.accelerator, quote.price_class)


def granted(lease: Lease) -> Granted:
    """Shape a lease for a reader."""
    return Granted(
        lease_id=lease.id,
        slots=len(lease.slots) or lease.slots_wanted,
        slot_kind=lease.slot_kind,
        slot_indices=lease.slots,
        expires_at=lease.expires_at.isoformat(),
        pool=lease.pool,
        accelerator=lease.accelerator,
        machines=lease.machines,
        state=lease.state.value,
        waits_for=waits_for(lease),
        waits_until=lease.give_up_at.isoformat() if lease.state is LeaseState.QUEUED and lease.give_up_at else "",
    )


def foreseen(raw: Raw) -> AcquireArguments:
    """The arguments as the plan names them. Raises InvalidInput for numbers that are not known before execution."""
    for name, default in (("slots", 1), ("seconds", 3600)):
        number_argument(raw, name, default)
    return ACQUIRE.parse(raw)


async def dry_run_acquire(context: ToolContext, raw: Raw) -> DryRun:
    """Ask the pool and the quota whether the lease could be granted now; where others wait, or it would, the scheduler when."""
    try:
        arguments = foreseen(raw)
        usage = await context.factory.leases.usage(context.tenant, arguments.pool)
        if arguments.slots > usage.slots_total:
            where = "this machine has" if usage.pool == "local" else f"pool '{usage.pool}' has"
            reason = f"{arguments.slots} slots were asked for and {where} {usage.slots_total} ({usage.slot_kind})."
            return refused(CapacityExceeded(reason, remedy=f"Ask for at most {usage.slots_total}."))
        quote, *others = await context.factory.leases.quotes(request_of(context, arguments))
        alone = room_for(quote, usage)
        if alone.feasible and not await context.factory.leases.crowded():
            return alone
        if not alone.feasible and not arguments.wait_seconds and not arguments.slots_min and not others:
            return alone
        told = await context.factory.scheduling.foresee(request_of(context, arguments))
    except LineshaftError as error:
        return refused(error)
    return in_line(arguments.wait_seconds, alone, told)


def room_for(quote: Quote, usage: Usage) -> DryRun:
    """Whether a lease fits into what is left of a quota and a pool."""
    quota = f"{usage.quota_slots_used} of {usage.quota_slots} slots of team {usage.tenant} in use; {quote.slots} more"
    if usage.quota_slots_used + quote.slots > usage.quota_slots:
        left = max(usage.quota_slots - usage.quota_slots_used, 0)
        remedy = f"Ask for at most {left}." if left else "Release a lease or have an administrator raise the quota."
        return refused(QuotaExceeded(f"Team {usage.tenant} has {left} of its {usage.quota_slots} slots left.", remedy=remedy))
    if quote.slots > usage.slots_free:
        reason = f"{usage.slots_free} of {usage.slots_total} slots are free now."
        return refused(CapacityExceeded(reason, remedy=f"Ask for at most {usage.slots_free}, or wait until a lease ends."))
    if quote.machine:
        return DryRun(quota=quota, reason=f"machines of type {quote.machine} are made for it in pool {usage.pool}")
    return DryRun(quota=quota, starts_in_seconds=0.0, reason="free now" if usage.pool == "local" else f"free now in pool {usage.pool}")


async def price_acquire(context: ToolContext, raw: Raw) -> Price:
    """Price the lease: from a typical short run to the whole term. What cannot be priced is refused by the dry run."""
    prices = context.factory.metering.prices
    try:
        arguments = foreseen(raw)
        quotes = await context.factory.leases.quotes(request_of(context, arguments))
        quote = dearest(quotes, prices)
    except LineshaftError as error:
        return Price(currency=prices.currency, basis=error.reason)
    slots, seconds, subject = quote.slots, arguments.seconds, quoted_subject(quote)
    low, high = (
        prices.price(Charge(unit="slot_seconds", subject=subject, quantity=Decimal(slots * each)))
        for each in (min(TYPICAL_SECONDS, seconds), seconds)
    )
    basis = f"{slots} {subject} slots for {min(TYPICAL_SECONDS, seconds)} to {seconds} s, price book {prices.version}"
    told = marked(context, basis, {arguments.pool, *arguments.or_pools})
    return Price(low=low, high=high, currency=prices.currency, basis=told)


def marked(context: ToolContext, basis: str, pools: Collection[str]) -> str:
    """What a price is for; where a pool that would do is simulated, that it is so. The default pool may be named by an empty text."""
    known = context.factory.pools
    asked = {name or known.default().name for name in pools}
    twins = sorted(asked & {spec.name for spec in known.all() if spec.provider == "twin"})
    return f"{basis}; simulated machines in {', '.join(twins)}" if twins else basis


async def verify_acquire(context: ToolContext, arguments: AcquireArguments, result: Granted) -> None:
    """The lease is active and of this size, or waits as it may; and it is reserved."""
    lease = await context.factory.leases.get(context.tenant, result.lease_id)
    waits = bool(arguments.wait_seconds) and lease.state in {LeaseState.QUEUED, LeaseState.GRANTING}
    if not waits and (lease.state is not LeaseState.ACTIVE or len(lease.slots) < (arguments.slots_min or arguments.slots)):
        raise PostconditionFailed(f"Lease {lease.id} is {lease.state} with {len(lease.slots)} slots.")
    if f"lease/{lease.id}" not in await context.factory.metering.open_reservations(f"lease/{lease.id}"):
        raise PostconditionFailed(f"Lease {lease.id} is not reserved in the ledger.")


async def undo_acquire(context: ToolContext, arguments: AcquireArguments, result: Granted) -> str:
    """Release the lease and settle it."""
    released = await release(context, ReleaseArguments(lease_id=result.lease_id))
    return f"lease {released.lease_id} released"


class ReleaseArguments(Arguments):
    """Which lease."""

    lease_id: str


class Released(Result):
    """What the lease came to."""

    lease_id: str
    slot_seconds: float
    amount: str
    currency: str


async def release(context: ToolContext, arguments: ReleaseArguments) -> Released:
    """Give a lease back and charge what was used, from the grant to now. Jobs that still run on it are ended."""
    factory = context.factory
    await factory.leases.get(context.tenant, arguments.lease_id)
    for job in await factory.jobs.of_lease(arguments.lease_id):
        if not job.state.final:
            await factory.jobs.cancel(job.id, context.tenant)
    lease = await factory.leases.release(context.tenant, arguments.lease_id)
    amount = await factory.metering.settle_lease(lease)
    return Released(lease_id=lease.id, slot_seconds=lease.slot_seconds, amount=f"{amount:.6f}", currency=factory.metering.prices.currency)


async def dry_run_release(context: ToolContext, raw: Raw) -> DryRun:
    """A lease that is named must be held; one from an earlier step will be."""
    name = raw.get("lease_id")
    if isinstance(name, str):
        try:
            await context.factory.leases.get(context.tenant, name)
        except LineshaftError as error:
            return refused(error)
    return DryRun(reason="gives the slots back")


async def verify_release(context: ToolContext, arguments: ReleaseArguments, result: Released) -> None:
    """The lease has ended and nothing is reserved for it."""
    lease = await context.factory.leases.get(context.tenant, arguments.lease_id)
    if lease.state.open or await context.factory.metering.open_reservations(f"lease/{lease.id}"):
        raise PostconditionFailed(f"Lease {lease.id} is {lease.state} and its reservation is open.")


class RenewArguments(Arguments):
    """Which lease, and by how long."""

    lease_id: str
    seconds: int = Field(ge=60, le=604_800)


async def renew(context: ToolContext, arguments: RenewArguments) -> Granted:
    """Lengthen a lease that the team holds, against its budget."""
    factory = context.factory
    lease = await factory.leases.get(context.tenant, arguments.lease_id)
    name = f"{lease.id}/{renewal_id(context.key)}"
    await factory.metering.reserve_lease(name, subject_of(lease), len(lease.slots) * arguments.seconds, attributed(context, lease.project))
    try:
        return granted(await factory.leases.renew(context.tenant, lease.id, arguments.seconds, context.key))
    except LineshaftError as error:
        if not error.retryable:
            await factory.metering.release_lease(name)
        raise


async def dry_run_renew(context: ToolContext, raw: Raw) -> DryRun:
    """The lease must be held."""
    name = raw.get("lease_id")
    if isinstance(name, str):
        try:
            lease = await context.factory.leases.get(context.tenant, name)
        except LineshaftError as error:
            return refused(error)
        if not lease.state.held:
            return DryRun(feasible=False, code="lease_ended", reason=f"Lease {name} is {lease.state}.", remedy="Ask for a new one.")
    return DryRun(reason="lengthens the lease")


async def price_renew(context: ToolContext, raw: Raw) -> Price:
    """Price the further term: from nothing, where the lease is released before it begins, to all of it."""
    prices = context.factory.metering.prices
    try:
        arguments = RENEW.parse(raw)
        lease = await context.factory.leases.get(context.tenant, arguments.lease_id)
    except LineshaftError as error:
        return Price(currency=prices.currency, basis=error.reason)
    quantity = Decimal(len(lease.slots) * arguments.seconds)
    high = prices.price(Charge(unit="slot_seconds", subject=subject_of(lease), quantity=quantity))
    basis = f"{len(lease.slots)} {subject_of(lease)} slots for up to {arguments.seconds} s more, price book {prices.version}"
    return Price(low=Decimal(0), high=high, currency=prices.currency, basis=marked(context, basis, {lease.pool}))


async def verify_renew(context: ToolContext, arguments: RenewArguments, result: Granted) -> None:
    """The lease has the further term, and it is reserved."""
    lease = await context.factory.leases.get(context.tenant, arguments.lease_id)
    if renewal_id(context.key) not in lease.renewals:
        raise PostconditionFailed(f"Lease {lease.id} was not renewed.")


ACQUIRE = Tool(
    "leases.acquire",
    Effect.COSTLY,
    AcquireArguments,
    Granted,
    acquire,
    dry_run_acquire,
    price_acquire,
    verify_acquire,
    undo_acquire,
    undo_words="release the lease",
    postcondition="the lease is active with as many slots, or waits for them, and is reserved in the ledger",
)
RENEW = Tool(
    "leases.renew",
    Effect.COSTLY,
    RenewArguments,
    Granted,
    renew,
    dry_run_renew,
    price_renew,
    verify_renew,
    undo_words="none needed: release the lease, and what is left of its term costs nothing",
    postcondition="the lease has the further term, reserved in the ledger",
)
TOOLS = (
    Tool("leases.list", Effect.READ, ListArguments, LeaseList, list_leases),
    ACQUIRE,
    RENEW,
    Tool(
        "leases.release",
        Effect.WRITE,
        ReleaseArguments,
        Released,
        release,
        dry_run_release,
        None,
        verify_release,
        undo_words="none needed: a released lease costs nothing more",
        postcondition="the lease has ended and is settled",
    ),
)

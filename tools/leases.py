"""Tools over leases: slots for a time, reserved in the ledger before and settled after."""

from decimal import Decimal

from pydantic import Field

from factory_infra.errors import CapacityExceeded, InvalidInput, LineshaftError, PostconditionFailed, QuotaExceeded
from factory_infra.iaas.leases.models import LeaseRequest, LeaseState
from factory_infra.iaas.leases.service import lease_id
from factory_infra.saas.metering.models import Attribution, Charge
from tools.plan import DryRun, Effect, Price
from tools.spec import Arguments, Raw, Result, Tool, ToolContext, number_argument, refused

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


class LeaseList(Result):
    """The leases that a team holds."""

    leases: list[LeaseLine]
    quota_slots: int
    quota_slots_used: int


async def list_leases(context: ToolContext, arguments: ListArguments) -> LeaseList:
    """List the leases that the team holds now, with its quota."""
    held = await context.factory.leases.list(context.tenant)
    usage = await context.factory.leases.usage(context.tenant)
    lines = [
        LeaseLine(
            lease_id=lease.id,
            slots=len(lease.slots),
            slot_kind=lease.slot_kind,
            purpose=lease.purpose,
            expires_at=lease.expires_at.isoformat(),
        )
        for lease in held
    ]
    return LeaseList(leases=lines, quota_slots=usage.quota_slots, quota_slots_used=usage.quota_slots_used)


class AcquireArguments(Arguments):
    """How many slots, for what, for how long at most."""

    slots: int = Field(ge=1, le=100_000)
    purpose: str = ""
    seconds: int = Field(default=3600, ge=60, le=604_800)


class Granted(Result):
    """The lease that was granted."""

    lease_id: str
    slots: int
    slot_kind: str
    slot_indices: list[int]
    expires_at: str


async def acquire(context: ToolContext, arguments: AcquireArguments) -> Granted:
    """Lease slots against the team's quota and budget. They are the team's until released or until the term ends."""
    factory, wanted = context.factory, lease_id(context.key)
    pool = await factory.accelerators.pool()
    whose = Attribution(tenant=context.tenant, plan_id=context.plan_id, thread_id=context.thread_id, agent=context.agent)
    await factory.metering.reserve_lease(wanted, pool.kind, arguments.slots * arguments.seconds, whose)
    try:
        lease = await factory.leases.acquire(
            LeaseRequest(
                tenant=context.tenant,
                slots=arguments.slots,
                purpose=arguments.purpose,
                seconds=arguments.seconds,
                plan_id=context.plan_id,
                key=context.key,
            )
        )
    except LineshaftError as error:
        if not error.retryable:
            await factory.metering.release(f"lease/{wanted}")
        raise
    return Granted(
        lease_id=lease.id,
        slots=len(lease.slots),
        slot_kind=lease.slot_kind,
        slot_indices=lease.slots,
        expires_at=lease.expires_at.isoformat(),
    )


async def dry_run_acquire(context: ToolContext, raw: Raw) -> DryRun:
    """Ask the pool and the quota whether the lease could be granted now."""
    try:
        wanted, _ = number_argument(raw, "slots", 1), number_argument(raw, "seconds", 3600)
    except InvalidInput as error:
        return refused(error)
    usage = await context.factory.leases.usage(context.tenant)
    quota = f"{usage.quota_slots_used} of {usage.quota_slots} slots of team {context.tenant} in use; {wanted} more"
    if wanted < 1:
        return refused(InvalidInput(f"A lease of {wanted} slots cannot be.", remedy="Ask for at least one slot."))
    if wanted > usage.slots_total:
        reason = f"{wanted} slots were asked for and this machine has {usage.slots_total} ({usage.slot_kind})."
        return refused(CapacityExceeded(reason, remedy=f"Ask for at most {usage.slots_total}."))
    if usage.quota_slots_used + wanted > usage.quota_slots:
        left = max(usage.quota_slots - usage.quota_slots_used, 0)
        remedy = f"Ask for at most {left}." if left else "Release a lease or have an administrator raise the quota."
        return refused(QuotaExceeded(f"Team {context.tenant} has {left} of its {usage.quota_slots} slots left.", remedy=remedy))
    if wanted > usage.slots_free:
        reason = f"{usage.slots_free} of {usage.slots_total} slots are free now."
        return refused(CapacityExceeded(reason, remedy=f"Ask for at most {usage.slots_free}, or wait until a lease ends."))
    return DryRun(quota=quota, starts_in_seconds=0.0, reason="free now")


async def price_acquire(context: ToolContext, raw: Raw) -> Price:
    """Price the lease: from a typical short run to the whole term. What cannot be priced is refused by the dry run."""
    prices = context.factory.metering.prices
    try:
        slots, seconds = number_argument(raw, "slots", 1), number_argument(raw, "seconds", 3600)
    except InvalidInput as error:
        return Price(currency=prices.currency, basis=error.reason)
    kind = (await context.factory.accelerators.pool()).kind
    low, high = (
        prices.price(Charge(unit="slot_seconds", subject=kind, quantity=Decimal(slots * each)))
        for each in (min(TYPICAL_SECONDS, seconds), seconds)
    )
    basis = f"{slots} {kind} slots for {min(TYPICAL_SECONDS, seconds)} to {seconds} s, price book {prices.version}"
    return Price(low=low, high=high, currency=prices.currency, basis=basis)


async def verify_acquire(context: ToolContext, arguments: AcquireArguments, result: Granted) -> None:
    """The lease is active, of this size, and reserved."""
    lease = await context.factory.leases.get(context.tenant, result.lease_id)
    if lease.state is not LeaseState.ACTIVE or len(lease.slots) != arguments.slots:
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
    """Give a lease back and charge what was used, from the grant to now."""
    factory = context.factory
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
    if lease.state is LeaseState.ACTIVE or await context.factory.metering.open_reservations(f"lease/{lease.id}"):
        raise PostconditionFailed(f"Lease {lease.id} is {lease.state} and its reservation is open.")


TOOLS = (
    Tool("leases.list", Effect.READ, ListArguments, LeaseList, list_leases),
    Tool(
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
        postcondition="the lease is active with as many slots, and reserved in the ledger",
    ),
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

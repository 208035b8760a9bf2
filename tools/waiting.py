"""What it means for a tool that a lease waits for its slots."""

from factory_infra.errors import CapacityExceeded, InvalidInput, Unavailable
from factory_infra.iaas.leases.models import LEASE_QUEUED, Lease, LeaseState
from factory_infra.iaas.scheduling.answers import Foreseen
from factory_infra.iaas.scheduling.reasons import duration
from tools.plan import DryRun
from tools.spec import ToolContext, refused

SOONER_MAX = 2


def waits_for(lease: Lease) -> str:
    """Why a lease does not hold its slots yet, in words."""
    if lease.state is LeaseState.GRANTING:
        return "its machines are being made"
    if lease.state is not LeaseState.QUEUED:
        return ""
    return lease.waiting.reason if lease.waiting else "the next pass of the scheduler"


async def ready_lease(context: ToolContext, name: str) -> Lease:
    """Return the lease that a job is to run on. Raises Unavailable `lease_queued` while it waits for its slots, and what ends the wait."""
    lease = await context.factory.leases.get(context.tenant, name)
    if lease.state in {LeaseState.QUEUED, LeaseState.GRANTING}:
        raise Unavailable(f"Lease {lease.id} waits: {waits_for(lease)}.", code=LEASE_QUEUED, remedy=f"See: lineshaft leases why {lease.id}")
    if lease.state is not LeaseState.ACTIVE:
        raise InvalidInput(f"Lease {lease.id} is {lease.state}.", remedy="Plan again with a new lease.")
    return lease


def in_line(wait_seconds: int, alone: DryRun, told: Foreseen) -> DryRun:
    """Foresee a lease that takes its turn among others.

    Args:
        wait_seconds: for how long it would wait.
        alone: what would become of it if nobody else asked.
        told: what the scheduler foresees.
    """
    if told.at_once:
        return DryRun(quota=alone.quota, starts_in_seconds=0.0, reason=alone.reason if alone.feasible else "begins now, with fewer slots")
    sooner = f" Sooner: {'; '.join(change.words for change in told.changes[:SOONER_MAX])}." if told.changes else ""
    if not wait_seconds:
        reason = f"Others come first: {told.reason}."
        return refused(CapacityExceeded(reason, remedy=f"Wait for it (wait_seconds), or ask for less.{sooner}"))
    when = "it is not known when it begins"
    if told.starts_in_seconds is not None:
        late = ", later than it would wait" if told.starts_in_seconds > wait_seconds else ""
        when = f"it should begin in {duration(told.starts_in_seconds)}{late}"
    return DryRun(quota=alone.quota, starts_in_seconds=told.starts_in_seconds, reason=f"it waits: {told.reason}; {when}.{sooner}")

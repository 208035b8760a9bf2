"""How a lease's row is made and moved: what is asked, what is granted, what ends. Each within its caller's transaction."""

import hashlib
from datetime import datetime, timedelta

from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput, NotFound
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.foundation.clusters.models import ClusterSpec
from factory_infra.iaas.leases.choice import Choice, Quote
from factory_infra.iaas.leases.models import LeaseRequest, LeaseState
from factory_infra.iaas.leases.tables import LeaseRow

STOCK_SECONDS = 60
"""So long after machines were not to be had, they are asked for again."""


def lease_id(key: str) -> str:
    """The id of the lease that a key asks for: known before it is granted, so that money can be reserved under it."""
    return "lease-" + hashlib.sha256(key.encode()).hexdigest()[:16]


def renewal_id(key: str) -> str:
    """The name of the renewal that a key asks for, known before it is granted."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def queued_row(request: LeaseRequest, pool: Pool, quote: Quote, queue: str) -> LeaseRow:
    """The row of a lease that holds nothing yet. One that does not wait gives nothing up: who makes it grants or drops it."""
    now = utcnow()
    give_up_at = now + timedelta(seconds=request.wait_seconds)
    return LeaseRow(
        id=lease_id(request.key),
        key=request.key,
        tenant=request.tenant,
        project=request.project,
        pool=pool.name,
        slot_kind=quote.slot_kind,
        slots=[],
        purpose=request.purpose[:200],
        plan_id=request.plan_id,
        state=LeaseState.QUEUED.value,
        granted_at=now,
        expires_at=give_up_at,
        accelerator=quote.accelerator,
        price_class=quote.price_class,
        topology=request.topology,
        devices=[],
        machine=quote.machine,
        machines=[],
        cluster_id="",
        cluster_gone=True,
        terms=[request.seconds],
        renewals=[],
        queue=queue,
        slots_wanted=quote.slots,
        wanted=request.model_dump(mode="json"),
        asked_at=now,
        give_up_at=give_up_at if request.wait_seconds else None,
        waiting={},
    )


def grant(row: LeaseRow, chosen: Choice, pool: Pool) -> None:
    """Give a lease its slots from now on, in whichever of its pools. Where machines must be made, its term begins when they are there."""
    now, made, request = utcnow(), bool(chosen.machine), request_of(row)
    row.pool, row.price_class = pool.name, request.price_class or pool.price_class
    row.accelerator = chosen.slots[0].accelerator if made or request.accelerator else ""
    row.slots = [slot.index for slot in chosen.slots]
    row.devices = [slot.device for slot in chosen.slots if slot.device]
    row.slot_kind = chosen.slots[0].kind
    row.state = (LeaseState.GRANTING if made else LeaseState.ACTIVE).value
    row.granted_at, row.expires_at = now, now + timedelta(seconds=row.terms[0])
    row.machine, row.cluster_gone = chosen.machine, not made
    foretold = row.waiting.get("foretold")  # how far it was off makes the intervals of later forecasts
    row.waiting = {"foretold": foretold} if foretold else {}


def back_in_line(row: LeaseRow, reason: str) -> bool:
    """Let a lease wait again whose machines could not be had, where it would wait; return whether it does."""
    asked, now = row.asked_at or row.granted_at, utcnow()
    give_up_at = asked + timedelta(seconds=request_of(row).wait_seconds)
    if row.state != LeaseState.GRANTING.value or give_up_at <= now:
        return False
    row.state, row.slots, row.devices, row.cluster_gone = LeaseState.QUEUED.value, [], [], True
    row.granted_at, row.asked_at, row.give_up_at, row.expires_at = asked, asked, give_up_at, give_up_at
    until = now + timedelta(seconds=STOCK_SECONDS)
    row.waiting = {"binding": "stock", "reason": reason, "since": now.isoformat(), "until": until.isoformat()}
    return True


def pools_of(row: LeaseRow) -> tuple[str, ...]:
    """The pools that will do for a lease that waits, the preferred first; where one that is held lies."""
    others = request_of(row).or_pools if row.state == LeaseState.QUEUED.value else []
    return tuple(dict.fromkeys((row.pool, *others)))


def request_of(row: LeaseRow) -> LeaseRequest:
    """What was asked for; of a lease of before that was kept, as far as its row tells."""
    if row.wanted:
        return LeaseRequest.model_validate(row.wanted)
    return LeaseRequest(
        tenant=row.tenant,
        slots=len(row.slots),
        seconds=min(row.terms[0] if row.terms else 3600, 604_800),
        key=row.key,
        pool=row.pool,
        accelerator=row.accelerator,
    )


def cluster_spec(row: LeaseRow, pool: Pool) -> ClusterSpec:
    """The machines that are to be made for a lease. Raises InvalidInput `machine_unknown` where the pool makes them no longer."""
    machine = next((each for each in pool.machines if each.name == row.machine), None)
    if machine is None:
        reason = f"Pool '{row.pool}' does not make a {row.machine} any more."
        raise InvalidInput(reason, remedy="Plan again with what it makes now.", code="machine_unknown")
    others = [each.name for each in pool.machines if each.accelerator == machine.accelerator and each.slots == machine.slots]
    return ClusterSpec.model_validate(
        {
            "key": row.id,
            "tenant": row.tenant,
            "lease_id": row.id,
            "run_id": row.plan_id,
            "machine": machine.name,
            "alternatives": tuple(name for name in others if name != machine.name),
            "count": len(row.slots) // machine.slots,
            "price_class": row.price_class,
            "topology": "rack" if row.topology == "rack" else "any",
        }
    )


def end_if_overdue(row: LeaseRow, now: datetime) -> bool:
    """A lease ends with its term, and a wait with its patience, whenever that is noticed: it never costs more than was reserved for it."""
    if row.state == LeaseState.QUEUED.value:
        return row.give_up_at is not None and row.give_up_at <= now and withdraw(row)
    if row.expires_at > now or row.state == LeaseState.GRANTING.value:
        return False
    row.state, row.ended_at = LeaseState.EXPIRED.value, row.expires_at
    return True


def withdraw(row: LeaseRow) -> bool:
    """End what never began; it costs nothing."""
    row.state, row.ended_at = LeaseState.REFUSED.value, row.granted_at
    return True


def not_there(lease: str) -> NotFound:
    """Absent, or another team's."""
    return NotFound(f"There is no lease {lease}.", remedy="List the leases with GET /v1/leases.")

"""What is paid for and not needed, with what would mend it: pure functions of what is known of leases, slots and endpoints."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from factory_infra.paas.optimization.models import SMALLEST, Money

Kind = Literal["lease_idle", "lease_oversized", "lease_dear", "endpoint_idle", "cluster_idle"]
State = Literal["open", "fixing", "dismissed"]
HOUR = Decimal(3600)
ZERO = Decimal(0)
TERM_SECONDS_MAX = 604_800
"""No lease is asked for longer at once."""


class Fixed(BaseModel):
    """What every remedy is."""

    model_config = ConfigDict(frozen=True)


class ReleaseLease(Fixed):
    """Give a lease back."""

    fix: Literal["release_lease"] = "release_lease"
    lease_id: str


class ReplaceLease(Fixed):
    """Lease other slots for the rest of its time, and give this one back."""

    fix: Literal["replace_lease"] = "replace_lease"
    lease_id: str
    slots: int
    seconds: int
    pool: str
    accelerator: str = ""
    purpose: str = ""


class SleepEndpoint(Fixed):
    """Let an endpoint sleep while nobody asks it."""

    fix: Literal["sleep_endpoint"] = "sleep_endpoint"
    endpoint: str
    servers_max: int
    parallel_target: float
    idle_seconds: float


class ReleaseCluster(Fixed):
    """Remove a cluster with its machines."""

    fix: Literal["release_cluster"] = "release_cluster"
    cluster_id: str


Remedy = Annotated[ReleaseLease | ReplaceLease | SleepEndpoint | ReleaseCluster, Field(discriminator="fix")]


class Finding(BaseModel):
    """One thing that is paid for and not needed, and the plan that would mend it."""

    id: str = Field(description="The same thing has the same one.")
    kind: Kind
    team: str
    project: str = ""
    pool: str
    subject: str = Field(description="The lease, the endpoint or the cluster.")
    title: str
    evidence: str = Field(description="What it was concluded from.")
    since: datetime
    saving_hourly: Money = Field(description="By the price book; 0 for what it does not price.")
    saving_left: Money = Field(description="Until it would end by itself.")
    remedy: Remedy
    blocked: str = Field(default="", description="Why it cannot be mended now; its plan is refused until then.")
    state: State = "open"
    plan_id: str = Field(default="", description="The plan that mends it.")


class Thresholds(BaseModel):
    """From when on something counts as not needed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    idle_seconds: int = Field(default=1800, ge=60, le=30 * 86_400, description="No job ran on a lease, or in a cluster, for so long.")
    endpoint_idle_seconds: int = Field(default=86_400, ge=600, le=6 * 86_400, description="Nobody asked an endpoint for so long.")
    busy_percent_min: float = Field(default=5.0, ge=0, le=100, description="A slot below that did nothing.")
    busy_hours_min: int = Field(default=2, ge=1, le=168, description="Over so many whole hours.")
    dear_share_min: float = Field(default=0.1, gt=0, lt=1, description="So much cheaper must another pool be.")
    left_seconds_min: int = Field(default=1800, ge=0, description="What ends sooner by itself is left to.")


@dataclass(frozen=True)
class LeaseFacts:
    """What is known of a lease that is held."""

    id: str
    team: str
    project: str
    pool: str
    slot_kind: str
    accelerator: str
    price_class: str
    slots: tuple[int, ...]
    purpose: str
    granted_at: datetime
    expires_at: datetime
    hour_price: Decimal | None
    jobs_running: int
    last_job_ended_at: datetime | None
    busy: dict[int, tuple[int, float]] = field(default_factory=dict)
    """By slot: in how many whole hours it was looked at, and how busy it was on the mean."""
    machines: bool = False
    """Whether machines were made for it: other slots of them cannot be had apart."""


@dataclass(frozen=True)
class EndpointFacts:
    """What is known of an endpoint that is live and awake."""

    team: str
    name: str
    pool: str
    live_since: datetime
    last_asked_at: datetime | None
    servers: int
    servers_max: int
    parallel_target: float


@dataclass(frozen=True)
class ClusterFacts:
    """What is known of a cluster that a team keeps beside its leases."""

    id: str
    team: str
    pool: str
    machine: str
    count: int
    asked_at: datetime
    expires_at: datetime | None
    hour_price: Decimal | None
    """Of all its machines together."""
    last_used_at: datetime | None
    in_use: bool


@dataclass(frozen=True)
class RoomFacts:
    """What is free in a pool now, of one kind."""

    pool: str
    slot_kind: str
    accelerator: str
    free: int
    hour_price: Decimal | None


@dataclass(frozen=True)
class Facts:
    """All that findings are made of, at one moment."""

    now: datetime
    leases: Sequence[LeaseFacts] = ()
    endpoints: Sequence[EndpointFacts] = ()
    clusters: Sequence[ClusterFacts] = ()
    rooms: Sequence[RoomFacts] = ()


def find(facts: Facts, limits: Thresholds) -> list[Finding]:
    """All findings, what saves most first. At most one for each thing: what mends it in the simplest way."""
    found = [*of_leases(facts, limits), *of_endpoints(facts, limits), *of_clusters(facts, limits)]
    return sorted(found, key=lambda each: (-each.saving_left, -each.saving_hourly, each.id))


def name_of(kind: Kind, team: str, subject: str) -> str:
    """The id of a finding."""
    return f"f-{hashlib.sha256(f'{kind}/{team}/{subject}'.encode()).hexdigest()[:16]}"


def of_leases(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Leases that nothing runs on, that are larger than what runs on them, or that cost less elsewhere."""
    for lease in facts.leases:
        left = lease.expires_at - facts.now
        if left < timedelta(seconds=limits.left_seconds_min):
            continue
        found = idle(lease, facts.now, limits) or oversized(lease, facts.now, limits) or dear(lease, facts, limits)
        if found is not None:
            yield found


def idle(lease: LeaseFacts, now: datetime, limits: Thresholds) -> Finding | None:
    """A lease on which no job has run for long enough, or ever."""
    since = max(lease.granted_at, lease.last_job_ended_at or lease.granted_at)
    if lease.jobs_running or now - since < timedelta(seconds=limits.idle_seconds):
        return None
    before = "its last job ended" if lease.last_job_ended_at else "it was granted"
    evidence = f"No job has run on it for {told(now - since)}, since {before}."
    return finding_of(
        lease,
        "lease_idle",
        (f"Release {lease.id}: nothing runs on its {len(lease.slots)} slots", evidence),
        Saving(since, len(lease.slots), lease.hour_price, now),
        ReleaseLease(lease_id=lease.id),
    )


def oversized(lease: LeaseFacts, now: datetime, limits: Thresholds) -> Finding | None:
    """A lease of which some slots worked and others did nothing, where each was looked at for long enough."""
    seen = {slot: mean for slot, (hours, mean) in lease.busy.items() if hours >= limits.busy_hours_min}
    if lease.machines or len(seen) < len(lease.slots):
        return None
    working = sum(mean >= limits.busy_percent_min for mean in seen.values())
    spare = len(lease.slots) - working
    if not working or not spare:
        return None
    busiest = max(mean for mean in seen.values() if mean < limits.busy_percent_min)
    found = finding_of(
        lease,
        "lease_oversized",
        (
            f"Lease {working} slots in place of the {len(lease.slots)} of {lease.id}",
            f"{spare} of its slots were busy for at most {busiest:.1f} % of the last {limits.busy_hours_min} hours or more.",
        ),
        Saving(lease.granted_at, spare, lease.hour_price, now),
        replacing(lease, now, slots=working, pool=lease.pool),
    )
    return blocked_by_jobs(found, lease)


def dear(lease: LeaseFacts, facts: Facts, limits: Thresholds) -> Finding | None:
    """A lease whose kind of slot is free for less in another pool."""
    if lease.hour_price is None or not lease.hour_price:
        return None
    most = lease.hour_price * (1 - Decimal(str(limits.dear_share_min)))
    rooms = [
        room
        for room in facts.rooms
        if room.pool != lease.pool
        and (room.slot_kind, room.accelerator) == (lease.slot_kind, lease.accelerator)
        and room.hour_price is not None
        and room.hour_price <= most
        and room.free >= len(lease.slots)
    ]
    if not rooms:
        return None
    best = min(rooms, key=lambda room: (room.hour_price or ZERO, room.pool))
    less, here = lease.hour_price - (best.hour_price or ZERO), f"A slot costs {lease.hour_price:f} an hour in pool {lease.pool}"
    found = finding_of(
        lease,
        "lease_dear",
        (
            f"Lease in pool {best.pool} in place of {lease.id}",
            f"{here} and {best.hour_price:f} in {best.pool}, where {best.free} are free.",
        ),
        Saving(lease.granted_at, len(lease.slots), less, facts.now),
        replacing(lease, facts.now, slots=len(lease.slots), pool=best.pool),
    )
    return blocked_by_jobs(found, lease)


def replacing(lease: LeaseFacts, now: datetime, *, slots: int, pool: str) -> ReplaceLease:
    """Another lease for the time that is left of one, to whole minutes: the same finding gives the same plan for a while."""
    left = min(max(int((lease.expires_at - now).total_seconds()) // 60 * 60, 60), TERM_SECONDS_MAX)
    return ReplaceLease(lease_id=lease.id, slots=slots, seconds=left, pool=pool, accelerator=lease.accelerator, purpose=lease.purpose[:150])


def blocked_by_jobs(found: Finding, lease: LeaseFacts) -> Finding:
    """A lease is not given back under what runs on it."""
    if not lease.jobs_running:
        return found
    words = f"{lease.jobs_running} job(s) run on it: giving it back would end them."
    return found.model_copy(update={"blocked": words})


@dataclass(frozen=True)
class Saving:
    """What would not be paid for: so many slots at so much an hour."""

    since: datetime
    slots: int
    hour_price: Decimal | None
    now: datetime

    @property
    def hourly(self) -> Decimal:
        """All of them together."""
        return ((self.hour_price or ZERO) * self.slots).quantize(SMALLEST)

    def until(self, end: datetime | None) -> Decimal:
        """What that makes until a moment; nothing where there is no end."""
        seconds = max(Decimal((end - self.now) // timedelta(microseconds=1)) / 1_000_000, ZERO) if end else ZERO
        return (self.hourly * seconds / HOUR).quantize(SMALLEST)


def finding_of(lease: LeaseFacts, kind: Kind, told_as: tuple[str, str], saving: Saving, remedy: Remedy) -> Finding:
    """A finding about a lease, told by its title and its evidence."""
    title, evidence = told_as
    return Finding(
        id=name_of(kind, lease.team, lease.id),
        kind=kind,
        team=lease.team,
        project=lease.project,
        pool=lease.pool,
        subject=lease.id,
        title=title,
        evidence=evidence,
        since=saving.since,
        saving_hourly=saving.hourly,
        saving_left=saving.until(lease.expires_at),
        remedy=remedy,
    )


def of_endpoints(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Endpoints that stand by though nobody asks them. The ledger does not price their servers: what is saved is the host's memory."""
    for each in facts.endpoints:
        since = max(each.live_since, each.last_asked_at or each.live_since)
        if facts.now - since < timedelta(seconds=limits.endpoint_idle_seconds):
            continue
        asked = "since it was asked last" if each.last_asked_at else "since it went live"
        yield Finding(
            id=name_of("endpoint_idle", each.team, each.name),
            kind="endpoint_idle",
            team=each.team,
            pool=each.pool,
            subject=each.name,
            title=f"Let endpoint {each.name} sleep while nobody asks it",
            evidence=f"Nobody has asked it for {told(facts.now - since)}, {asked}; {each.servers} server(s) stand by.",
            since=since,
            saving_hourly=ZERO,
            saving_left=ZERO,
            remedy=SleepEndpoint(
                endpoint=each.name, servers_max=each.servers_max, parallel_target=each.parallel_target, idle_seconds=3600.0
            ),
        )


def of_clusters(facts: Facts, limits: Thresholds) -> Iterator[Finding]:
    """Clusters that a team keeps and does not use."""
    for each in facts.clusters:
        since = max(each.asked_at, each.last_used_at or each.asked_at)
        ends_soon = each.expires_at is not None and each.expires_at - facts.now < timedelta(seconds=limits.left_seconds_min)
        if each.in_use or ends_soon or facts.now - since < timedelta(seconds=limits.idle_seconds):
            continue
        saving = Saving(since, 1, each.hour_price, facts.now)
        yield Finding(
            id=name_of("cluster_idle", each.team, each.id),
            kind="cluster_idle",
            team=each.team,
            pool=each.pool,
            subject=each.id,
            title=f"Release cluster {each.id}: nothing of the team runs in pool {each.pool}",
            evidence=f"The team has run no job in pool {each.pool} for {told(facts.now - since)}; {each.count} {each.machine} stand by.",
            since=since,
            saving_hourly=saving.hourly,
            saving_left=saving.until(each.expires_at),
            remedy=ReleaseCluster(cluster_id=each.id),
        )


def told(length: timedelta) -> str:
    """A length of time as people say it."""
    minutes = int(length.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"

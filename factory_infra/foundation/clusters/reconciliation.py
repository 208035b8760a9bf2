"""What there is against what the ledger owns: a pure comparison, without asking anybody."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from factory_infra.foundation.clusters.models import Cluster, ClusterState

GRACE = timedelta(minutes=15)
"""What is younger than this may still be on its way into the ledger, or out of AWS's caches."""


class FindingKind(StrEnum):
    """What differs.

    `stray`: there, and no ledger has ever known it. `leftover`: there, and its owner has ended. `gone`: owned, and not there.
    `machines_lost`: some of its machines are not there. `surplus`: more machines than it wants. `half_made`: begun, and without machines.
    """

    STRAY = "stray"
    LEFTOVER = "leftover"
    GONE = "gone"
    MACHINES_LOST = "machines_lost"
    SURPLUS = "surplus"
    HALF_MADE = "half_made"


class Owner(BaseModel):
    """Who owns a cluster, by the ledger: a lease, or a row of the clusters' table."""

    model_config = ConfigDict(frozen=True)

    cluster_id: str
    tenant: str
    lease_id: str = ""
    wanted: int = 0
    machines: tuple[str, ...] = ()
    state: Literal["making", "held", "ended"]
    since: datetime = Field(description="When it took that state.")


class Finding(BaseModel):
    """One difference."""

    model_config = ConfigDict(frozen=True)

    kind: FindingKind
    pool: str
    cluster_id: str
    tenant: str = ""
    lease_id: str = ""
    machines: tuple[str, ...] = ()
    words: str
    remove: bool = Field(default=False, description="Whether the policy has it removed now.")

    @property
    def id(self) -> str:
        """The same difference has the same id, whenever it is found."""
        return "finding-" + hashlib.sha256(f"{self.pool}/{self.cluster_id}/{self.kind}".encode()).hexdigest()[:16]


def compare(
    pool: str, exists: Sequence[Cluster], owners: Sequence[Owner], strays: Literal["report", "remove"], now: datetime
) -> list[Finding]:
    """Every difference of one pool. Removed is what has lost its owner, and by the policy `remove` also what never had one."""
    owned = {owner.cluster_id: owner for owner in owners}
    found = [finding for cluster in exists for finding in _of_cluster(pool, cluster, owned.get(cluster.id), strays == "remove", now)]
    there = {cluster.id for cluster in exists}
    return found + [
        _finding(FindingKind.GONE, pool, owner, f"Cluster {owner.cluster_id} is owned and is not there any more.", owner.machines)
        for owner in owners
        if owner.state == "held" and owner.cluster_id not in there and now - owner.since > GRACE
    ]


def _of_cluster(pool: str, cluster: Cluster, owner: Owner | None, remove: bool, now: datetime) -> Iterator[Finding]:
    machines = tuple(machine.id for machine in cluster.machines)
    if owner is None:
        if cluster.created_at is None or now - cluster.created_at > GRACE:
            words = f"{len(machines)} machines of {cluster.id} are there, and no lease or cluster owns them."
            yield Finding(
                kind=FindingKind.STRAY,
                pool=pool,
                cluster_id=cluster.id,
                tenant=cluster.tenant,
                lease_id=cluster.lease_id,
                machines=machines,
                words=words,
                remove=remove,
            )
    elif owner.state == "ended":
        words = f"Cluster {cluster.id} has ended and {len(machines)} of its machines are still there."
        yield _finding(FindingKind.LEFTOVER, pool, owner, words, machines).model_copy(update={"remove": True})
    elif cluster.state is ClusterState.BROKEN:
        yield _finding(FindingKind.HALF_MADE, pool, owner, f"Cluster {cluster.id} was begun and has no machines.", ())
    elif owner.state == "held":
        yield from _of_machines(pool, cluster, owner)


def _of_machines(pool: str, cluster: Cluster, owner: Owner) -> Iterator[Finding]:
    there = {machine.id for machine in cluster.machines if machine.state != "gone"}
    lost = tuple(machine for machine in owner.machines if machine not in there)
    if lost:
        yield _finding(FindingKind.MACHINES_LOST, pool, owner, f"{len(lost)} machines of {cluster.id} are not there any more.", lost)
    if owner.wanted and len(there) > owner.wanted:
        words = f"Cluster {cluster.id} has {len(there)} machines and wants {owner.wanted}."
        yield _finding(FindingKind.SURPLUS, pool, owner, words, tuple(sorted(there - set(owner.machines))))


def _finding(kind: FindingKind, pool: str, owner: Owner, words: str, machines: tuple[str, ...]) -> Finding:
    return Finding(
        kind=kind,
        pool=pool,
        cluster_id=owner.cluster_id,
        tenant=owner.tenant,
        lease_id=owner.lease_id,
        machines=machines,
        words=words,
    )

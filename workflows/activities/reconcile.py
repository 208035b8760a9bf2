"""Activities of the reconciliation: ask a pool what exists, ask the ledger who owns it, act by policy."""

import structlog
from temporalio import activity

from factory_infra.database import utcnow
from factory_infra.errors import LineshaftError, NotFound
from factory_infra.factory import Factory
from factory_infra.foundation.clusters.models import Cluster
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.reconciliation import Finding, FindingKind, Owner, compare
from factory_infra.foundation.clusters.service import ClusterBook
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.leases.models import Lease, LeaseState
from tools.clusters import release_cluster
from workflows.activities.beating import beating
from workflows.activities.context import translated
from workflows.reconciling import PoolQuestion, PoolReport, Pools, Told

PAGE = 500
log = structlog.get_logger("reconcile")


class ReconcileActivities:
    """Compares one pool. Run twice at the same time it does nothing twice: removing and ending are idempotent."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self._book = ClusterBook(factory.database, factory.clusters)

    @activity.defn(name="pools_of_machines")
    @translated
    async def pools(self) -> Pools:
        """The pools in which machines are made."""
        return Pools(names=self._factory.clusters.names())

    @activity.defn(name="reconcile_pool")
    @translated
    async def reconcile(self, request: PoolQuestion) -> PoolReport:
        """Compare a pool, act, and keep what was found."""
        async with beating():
            return await self.compared(request.pool)

    async def compared(self, pool: str) -> PoolReport:
        """Compare a pool with the ledger; remove what its policy says, end leases whose machines are gone, tell the rest."""
        await self._end_overdue(pool)
        exists = await self._factory.clusters.of(pool).list()
        owners = [*await self._book.owners(pool, {each.id for each in exists}), *await self._leases(pool, exists)]
        spec = self._factory.pools.named(pool)
        strays = spec.strays if isinstance(spec, AwsPool) else "report"
        found = compare(pool, exists, owners, strays, utcnow())
        outcomes = {finding.id: await self._act(finding) for finding in found}
        for fresh in await self._book.note(pool, found, lambda finding: outcomes[finding.id]):
            log.warning(
                "clusters differ from the ledger", **fresh.model_dump(mode="json", include={"kind", "cluster_id", "words", "outcome"})
            )
        return PoolReport(
            pool=pool,
            clusters=len(exists),
            machines=sum(len(each.machines) for each in exists),
            findings=[_told(finding, outcomes[finding.id]) for finding in found],
        )

    async def _end_overdue(self, pool: str) -> None:
        """Release clusters whose term is over or whose release was cut off, and charge for them."""
        for row in await self._book.overdue(pool):
            try:
                await release_cluster(self._factory, row.id, row.tenant)
            except LineshaftError as error:
                log.warning("a cluster could not be released", cluster_id=row.id, code=error.error_code, reason=error.reason)

    async def _leases(self, pool: str, exists: list[Cluster]) -> list[Owner]:
        """Leases of machines as owners: those that are held, and of those whose machines still exist the ended ones."""
        held: list[Lease] = []
        while page := await self._factory.leases.list(pool=pool, limit=PAGE, offset=len(held)):
            held += page
        known = {lease.id for lease in held}
        ended = [await self._ended(each.lease_id) for each in exists if each.lease_id and each.lease_id not in known]
        begun = [lease for lease in held if lease.state.held]
        return [_owner(lease) for lease in [*begun, *(lease for lease in ended if lease is not None)]]

    async def _ended(self, lease: str) -> Lease | None:
        try:
            return await self._factory.leases.of(lease, None)
        except NotFound:
            return None

    async def _act(self, finding: Finding) -> str:
        try:
            if finding.remove:
                await self._factory.clusters.of(finding.pool).release(finding.cluster_id, finding.tenant)
                return "removed"
            if finding.kind is FindingKind.GONE:
                return await self._end(finding)
        except LineshaftError as error:
            log.warning("a finding could not be settled", cluster_id=finding.cluster_id, code=error.error_code, reason=error.reason)
            return "failed"
        return "reported"

    async def _end(self, finding: Finding) -> str:
        """End the lease or the row of a cluster that is gone: its team must not pay for what is not there."""
        if finding.lease_id and cluster_id(finding.lease_id) == finding.cluster_id:
            await self._factory.leases.release(finding.tenant, finding.lease_id)
        else:
            await release_cluster(self._factory, finding.cluster_id, finding.tenant)
        return "ended"


def _owner(lease: Lease) -> Owner:
    state = "making" if lease.state is LeaseState.GRANTING else "held" if lease.state is LeaseState.ACTIVE else "ended"
    return Owner.model_validate(
        {
            "cluster_id": lease.cluster_id or cluster_id(lease.id),
            "tenant": lease.tenant,
            "lease_id": lease.id,
            "wanted": len(lease.machines),
            "machines": tuple(lease.machines),
            "state": state,
            "since": lease.ended_at or lease.granted_at,
        }
    )


def _told(finding: Finding, outcome: str) -> Told:
    return Told.model_validate({**finding.model_dump(mode="json", exclude={"pool", "remove"}), "outcome": outcome})

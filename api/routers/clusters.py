"""Clusters: what stands, what a reconciliation found, and templates. They are made and released by plans: see the tools over clusters."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import JsonValue
from temporalio.common import WorkflowIDConflictPolicy

from api.deps import AdminDep, HouseDep, PageDep, PrincipalDep, ScopeDep, UserDep
from api.schemas.clusters import TemplateQuestion
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec
from factory_infra.foundation.clusters.service import ClusterBook, ClusterRecord, FindingRecord
from factory_infra.paas.tenants.models import PLATFORM
from workflows.reconciling import ReconcileInput, ReconcileReport

router = APIRouter(prefix="/v1", tags=["clusters"])
ClusterPath = Annotated[str, Path(max_length=64)]


def book(held: HouseDep) -> ClusterBook:
    """The clusters of the installation with their ledger."""
    return ClusterBook(held.factory.database, held.factory.clusters)


@router.get("/clusters")
async def list_clusters(held: HouseDep, tenant: ScopeDep, page: PageDep, standing: bool = True) -> list[ClusterRecord]:
    """List clusters as the ledger knows them, newest first; those of leases are listed with the leases."""
    return await book(held).list(tenant, standing=standing, limit=page.limit, offset=page.offset)


@router.get("/clusters/{cluster_id}")
async def cluster(cluster_id: ClusterPath, asker: PrincipalDep, held: HouseDep) -> Cluster:
    """Show a cluster as its provider sees it now."""
    return await book(held).get(cluster_id, asker.tenant)


@router.get("/cluster-findings")
async def findings(
    held: HouseDep, tenant: ScopeDep, page: PageDep, settled: Annotated[bool, Query(description="Those that are settled too.")] = False
) -> list[FindingRecord]:
    """List what reconciliations found: strays, lost machines, clusters that are gone."""
    return await book(held).findings(tenant, open_only=not settled, limit=page.limit, offset=page.offset)


@router.post("/cluster-findings/reconcile")
async def reconcile(body: ReconcileInput, asker: AdminDep, held: HouseDep) -> ReconcileReport:
    """Compare what exists with what the ledger owns, now; strays are removed where their pool's policy says so."""
    for name in body.pools:
        held.factory.clusters.of(name)
    report: ReconcileReport = await held.temporal.execute_workflow(
        "reconcile",
        body,
        id=f"reconcile-by-{asker.name}",
        task_queue=held.task_queue,
        result_type=ReconcileReport,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    return report


@router.post("/clusters/template")
async def template(body: TemplateQuestion, asker: UserDep, held: HouseDep) -> dict[str, JsonValue]:
    """Show the CloudFormation template by which what is long-lived would be made. Nothing is made."""
    wanted = ClusterSpec(
        key=f"template/{body.pool}/{body.name}",
        tenant=asker.tenant or PLATFORM,
        form=body.form,
        machine=body.machine,
        count=body.count,
        price_class=body.price_class,
    )
    return TemplateQuestion.read(await book(held).template(body.pool, wanted))

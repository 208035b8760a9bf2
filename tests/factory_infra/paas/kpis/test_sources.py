"""Whatever changes a row tells the log of it, in the same transaction; what is rolled back was never told."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import JsonValue
from sqlalchemy import event, select
from sqlalchemy.dialects.postgresql import insert

from factory_infra.database import Database, utcnow
from factory_infra.errors import NotFound
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.foundation.clusters.tables import ClusterRow
from factory_infra.foundation.reliability.health import Trigger
from factory_infra.foundation.reliability.node_models import NodeAccelerator, NodeEvent, NodeReport
from factory_infra.foundation.reliability.nodes import Nodes
from factory_infra.foundation.reliability.tables import NodeRow
from factory_infra.iaas.isolation.models import Attempt, AuditReport
from factory_infra.iaas.isolation.tables import AuditRow
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState
from factory_infra.iaas.jobs.tables import JobRow
from factory_infra.iaas.jobs.telling import submitted
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.paas.deployments.rows import record
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.kpis import sources
from factory_infra.paas.registry.providers.mlflow import MlflowRegistry
from factory_infra.paas.tenants.service import Tenants
from factory_infra.paas.training.tracking import Run, RunInfo
from factory_infra.records.approvals import Approval, Approvals
from factory_infra.records.happenings import Happening, happened, subject_of
from factory_infra.records.models import PlanRecord
from factory_infra.records.service import Records
from factory_infra.records.tables import EventRow
from factory_infra.saas.metering.models import Attribution, Charge
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.metering.service import Metering

pytestmark = pytest.mark.stack


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """Listen, and leave it as it was."""
    before = [event.contains(model, moment, told) for model, moments, told in sources.LISTENERS for moment in moments]
    sources.listen()
    yield
    if not any(before):
        deaf()


def deaf() -> None:
    for model, moments, told in sources.LISTENERS:
        for moment in moments:
            if event.contains(model, moment, told):
                event.remove(model, moment, told)


async def log(database: Database, *kinds: str) -> list[EventRow]:
    """What the log has of some kinds, oldest first."""
    async with database.transaction() as session:
        return list(await session.scalars(select(EventRow).where(EventRow.kind.in_(kinds)).order_by(EventRow.id)))


class Slots:
    async def pool(self, name: str = "") -> Pool:
        return Pool(name=name or "here", slots=[Slot(index=index, kind="cpu", name="core", memory_gib=1) for index in range(4)])


@pytest.fixture
async def leases(database: Database) -> Leases:
    await Tenants(database, b"pepper").create("vision", quota_slots=4, budget=Decimal(1))
    return Leases(database, Slots())


async def test_a_lease_begins_and_ends_once(database: Database, leases: Leases) -> None:
    wanted = LeaseRequest(tenant="vision", slots=2, seconds=600, key="k")
    held = await leases.acquire(wanted)
    assert await leases.acquire(wanted) == held
    await leases.release("vision", held.id)
    await leases.release("vision", held.id)
    begun, ended = await log(database, "lease.begun", "lease.ended")
    assert (begun.key, ended.key) == (f"{held.id}/begun", f"{held.id}/ended")
    assert (begun.tenant, begun.payload["slots"], begun.payload["pool"], begun.at) == ("vision", 2, "here", held.granted_at)
    assert 0 <= int(str(begun.payload["provision_ms"])) < 60_000
    assert ended.payload["state"] == "released"


async def test_a_lease_that_waited_tells_how_long_and_one_that_never_began_is_refused(database: Database, leases: Leases) -> None:
    first = await leases.acquire(LeaseRequest(tenant="vision", slots=4, seconds=600, key="a"))
    queued = await leases.acquire(LeaseRequest(tenant="vision", slots=4, seconds=600, key="b", wait_seconds=600))
    given_up = await leases.acquire(LeaseRequest(tenant="vision", slots=4, seconds=600, key="c", wait_seconds=600))
    await leases.release("vision", given_up.id)
    async with database.transaction() as session:
        (await session.get_one(LeaseRow, queued.id)).asked_at = utcnow() - timedelta(seconds=100)
    await leases.release("vision", first.id)
    await leases.grant_waiting()
    begun = {row.payload["lease_id"]: row for row in await log(database, "lease.begun")}
    assert 100_000 <= int(str(begun[queued.id].payload["provision_ms"])) < 160_000
    (refused,) = await log(database, "lease.refused")
    assert (refused.payload["lease_id"], refused.payload["slots"]) == (given_up.id, 4)


async def test_what_is_rolled_back_was_never_told(database: Database, leases: Leases) -> None:
    held = await leases.acquire(LeaseRequest(tenant="vision", slots=1, seconds=600, key="k"))
    with pytest.raises(LookupError):
        async with database.transaction() as session:
            row = await session.get_one(LeaseRow, held.id)
            row.state, row.ended_at = "released", utcnow()
            await session.flush()
            raise LookupError
    assert not await log(database, "lease.ended")


async def test_without_listeners_nothing_is_told(database: Database, leases: Leases) -> None:
    """The control."""
    deaf()
    held = await leases.acquire(LeaseRequest(tenant="vision", slots=1, seconds=600, key="k"))
    await leases.release("vision", held.id)
    assert not await log(database, "lease.begun", "lease.ended")


async def test_a_job_is_told_by_its_attempts_with_its_slots(database: Database) -> None:
    spec, now = JobSpec(id="j", tenant="vision", name="n", argv=["true"], slots=[0, 1], slot_kind="gpu", pool="p"), utcnow()
    pending = Job(id="j", tenant="vision", name="n", state=JobState.PENDING, pool="p")
    values = {"tenant": "vision", "id": "j", "pool": "p", "lease_id": "", "name": "n", "final": False, "asked_at": now, "held": False}
    async with database.transaction() as session:
        await session.execute(insert(JobRow).values(**values, last=pending.model_dump(mode="json")))
        await happened(session, submitted(spec))
    changes = (
        {"state": JobState.RUNNING, "started_at": now},
        {"state": JobState.RUNNING, "started_at": now, "percent": 50.0},
        {"state": JobState.RUNNING, "started_at": now + timedelta(seconds=9), "attempt": 2},
        {"state": JobState.SUCCEEDED, "started_at": now + timedelta(seconds=9), "attempt": 2},
    )
    for change in changes:
        async with database.transaction() as session:
            row = await session.get_one(JobRow, ("vision", "j"))
            row.last = pending.model_copy(update=change).model_dump(mode="json")
            if change["state"] is JobState.SUCCEEDED:
                row.final, row.ended_at = True, now + timedelta(seconds=60)
    told = await log(database, "job.started", "job.ended")
    assert [(row.kind, row.payload["attempt"], row.payload["slots"], row.payload["kind"]) for row in told] == [
        ("job.started", 1, 2, "gpu"),
        ("job.started", 2, 2, "gpu"),
        ("job.ended", 2, 2, "gpu"),
    ]
    assert told[0].at == now and told[2].payload["state"] == "succeeded"
    assert told[1].key.rpartition("/")[0] == told[2].key.rpartition("/")[0]


async def test_nodes_fail_are_mended_sampled_and_retired(database: Database) -> None:
    nodes, busy = Nodes(database), NodeReport(accelerators=[NodeAccelerator(index=0, busy_percent=50), NodeAccelerator(index=1)])
    await nodes.report("p", "n", busy)
    await nodes.report("p", "n", busy)
    async with database.transaction() as session:
        (await session.get_one(NodeRow, ("p", "n"))).heartbeat_at = utcnow() - timedelta(minutes=20)
    await nodes.report("p", "n", busy)
    await nodes.record(
        "p", "n", [NodeEvent(id="event-one", code="xid_79", at=utcnow()), NodeEvent(id="event-two", code="xid_79", at=utcnow())]
    )
    for trigger in (Trigger.DRAIN, Trigger.REPAIR, Trigger.RESUME, Trigger.DRAIN, Trigger.RETIRE):
        await nodes.move("p", "n", trigger, "test", "test")
    told = [row.kind for row in await log(database, "node.seen", "node.failed", "node.mended", "node.retired")]
    assert told == ["node.seen", "node.failed", "node.mended", "node.retired"]
    samples = await log(database, "node.sampled")
    assert all((row.payload["samples"], row.payload["busy"]) == (1, 5000) for row in samples)
    assert len(samples) in {2, 3, 4}  # the clock may pass a mark between two reports


async def test_a_cluster_is_ready_when_its_machines_are_there(database: Database) -> None:
    now = utcnow()
    row = ClusterRow(id="c", pool="p", tenant="vision", key="k", form="fleet", machine="m", price_class="spot", count=2, count_max=2)
    row.state, row.machines, row.asked_at = "making", [], now - timedelta(seconds=30)
    async with database.transaction() as session:
        session.add(row)
    for state, machines in (("held", ["a"]), ("held", ["a", "b"]), ("held", ["a", "c"]), ("ended", [])):
        async with database.transaction() as session:
            found = await session.get_one(ClusterRow, "c")
            found.state, found.machines = state, machines
    ready, released = await log(database, "cluster.ready", "cluster.released")
    assert 30_000 <= int(str(ready.payload["provision_ms"])) < 90_000 and ready.payload["machines"] == 2
    assert released.key == "c/released"


async def test_a_deployment_a_rollback_and_how_long_the_model_took(database: Database) -> None:
    begun = utcnow() - timedelta(hours=5)
    registered: dict[str, JsonValue] = {"begun_ms": int(begun.timestamp() * 1000)}
    async with database.transaction() as session:
        subject = subject_of("model", "vision", "m", "2")
        await happened(session, Happening(kind="model.registered", subject=subject, tenant="vision", payload=registered))
        endpoint = EndpointRow(tenant="vision", name="e", model_name="m", version=1, previous=[], state="live", job_id="j", port=1, pool="")
        session.add(endpoint)
    for kind, key, version in (("deploy", "one", 1), ("rollout", "two", 2), ("rollback", "three", 1), ("rollback", "four", 1)):
        async with database.transaction() as session:
            found = await session.get_one(EndpointRow, ("vision", "e"))
            found.version = version
            await record(session, found, kind, key)
    live = [row.key for row in await log(database, "deployment.live")]
    back = [row.key for row in await log(database, "deployment.rolled_back")]
    assert live == [f"{subject_of('deployment', key)}/live" for key in ("one", "two")]
    assert back == [f"{subject_of('deployment', key)}/rolled_back" for key in ("two", "one")]
    first, second = await log(database, "model.live")
    assert "cycle_seconds" not in first.payload
    assert 18_000 <= int(str(second.payload["cycle_seconds"])) < 18_100


@pytest.mark.parametrize(
    ("requester", "approver", "decided", "hands"),
    [
        ("user", "approver", "somebody", "team"),
        ("user", "admin", "root", "platform"),
        ("admin", "approver", "x", "platform"),
        ("user", "", "policy reads", "policy"),
    ],
)
async def test_a_plan_tells_whose_hands_it_went_through(
    database: Database, requester: str, approver: str, decided: str, hands: str
) -> None:
    now, records = utcnow(), Records(database)
    plan = PlanRecord(
        id="plan",
        tenant="vision",
        thread_id="t",
        digest="d",
        state="proposed",
        document={"requester_role": requester},
        outcome={},
        decided_by=None,
        created_at=now,
        updated_at=now,
    )
    await records.save_plan(plan)
    if approver:
        given = {"plan_id": "plan", "tenant": "vision", "digest": "d", "revision": 1, "actor": decided, "role": approver, "approve": True}
        await Approvals(database).save(Approval.model_validate({**given, "at": now, "expires_at": now + timedelta(hours=1)}))
    for state in ("running", "done", "done"):
        await records.move_plan("plan", state, decided_by=decided)
    (closed,) = await log(database, "plan.closed")
    assert (closed.tenant, closed.payload["state"], closed.payload["hands"]) == ("vision", "done", hands)


async def test_an_audit_and_a_team_are_told(database: Database) -> None:
    tenants = Tenants(database, b"pepper")
    await tenants.create("robots", quota_slots=1, budget=Decimal(1))
    attempts = [Attempt(door="see", through="api", tried="look", refused=refused) for refused in (True, False)]
    report = AuditReport(pool="p", attacker="a", victim="b", at=utcnow(), walls=[], attempts=attempts)
    row = AuditRow(
        id="audit-1", pool="p", attacker="a", victim="b", at=report.at, holds=False, asked_by="x", report=report.model_dump(mode="json")
    )
    async with database.transaction() as session:
        session.add(row)
    (audited,) = await log(database, "isolation.audited")
    assert (audited.payload["holds"], audited.payload["attempts"], audited.payload["refused"]) == (False, 2, 1)
    assert isinstance(audited.at, datetime)
    (made,) = await log(database, "team.made")
    assert (made.key, made.tenant) == ("team-robots/made", "robots")


class Registry(MlflowRegistry):
    """A registry whose server gives every model its first version."""

    async def _run(self, tenant: str, run_id: str) -> Run:
        info = RunInfo(run_id=run_id, experiment_id="1", artifact_uri="", status="FINISHED", start_time=1_700_000_000_000)
        return Run(info=info)

    async def _version_of_key(self, name: str, key: str) -> int | None:
        return 1


async def test_a_version_is_registered_with_when_its_run_began(database: Database) -> None:
    registry = Registry("http://127.0.0.1:9", database)
    for _ in range(2):
        await registry.register("vision", "m", "a" * 32, "key")
    (told,) = await log(database, "model.registered")
    assert told.payload == {"model_name": "m", "version": 1, "run_id": "a" * 32, "begun_ms": 1_700_000_000_000}
    assert (told.tenant, told.key) == ("vision", f"{subject_of('model', 'vision', 'm', '1')}/registered")
    await registry.close()


async def test_what_a_lease_cost_is_told_when_it_is_settled(database: Database, leases: Leases) -> None:
    metering = Metering(database, PriceBook.load(), leases)
    whose = Attribution(tenant="vision", plan_id="", thread_id="", agent="")
    charge = Charge(unit="slot_seconds", subject="cpu", quantity=Decimal(7200))
    await metering.reserve("lease/l", charge, whose)
    for _ in range(2):
        paid = await metering.settle("lease/l", charge)
    (told,) = await log(database, "usage.settled")
    assert (told.payload["subject"], told.payload["slot_ms"], told.tenant) == ("cpu", 7_200_000, "vision")
    assert told.payload["amount_nano"] == int(paid * 10**9)
    tokens = Charge(unit="tokens", subject="embedded", quantity=Decimal(5))
    with pytest.raises(NotFound):
        await metering.settle("other", tokens)

"""The reconciliation: the workflow over scripted pools, and its activities over the emulator and a real ledger."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import yaml
from pydantic import SecretStr
from temporalio import activity
from temporalio.client import Client, Schedule, ScheduleAlreadyRunningError, ScheduleOverlapPolicy
from temporalio.worker import Worker

from factory_infra.errors import Unavailable
from factory_infra.factory import Factory, connect
from factory_infra.foundation.clusters import reconciliation
from factory_infra.foundation.clusters.models import ClusterSpec
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.service import ClusterBook, Term
from factory_infra.foundation.pools import aws
from factory_infra.iaas.leases.models import LeaseRequest, LeaseState
from factory_infra.settings import Settings
from tests.emulators.aws import ec2_spot
from tests.emulators.aws.server import Emulator
from tests.emulators.aws.standing import KEYS, standing
from tests.factory_infra.foundation.clusters.programs import machines_of
from tests.parts import NOWHERE
from workflows.activities.reconcile import ReconcileActivities
from workflows.definitions.reconcile import ReconcileWorkflow
from workflows.failures import to_application_error
from workflows.interruptions import Notices
from workflows.reconciling import PoolQuestion, PoolReport, Pools, ReconcileInput, ReconcileReport
from workflows.sandbox import sandbox
from workflows.schedules import ensure_reconciling

pytestmark = pytest.mark.stack


class Scripted:
    """Two pools, one of which does not answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @activity.defn(name="pools_of_machines")
    async def pools(self) -> Pools:
        """Both."""
        return Pools(names=["east", "west"])

    @activity.defn(name="reconcile_pool")
    async def reconcile(self, request: PoolQuestion) -> PoolReport:
        """The first never answers."""
        self.asked.append(request.pool)
        if request.pool == "east":
            raise to_application_error(Unavailable("East does not answer."))
        return PoolReport(pool=request.pool, clusters=3)


async def test_a_pool_that_is_away_does_not_hold_the_others_up(client: Client) -> None:
    script, queue = Scripted(), f"q-{uuid.uuid4().hex[:8]}"
    async with Worker(
        client, task_queue=queue, workflows=[ReconcileWorkflow], activities=[script.pools, script.reconcile], workflow_runner=sandbox()
    ):
        report: ReconcileReport = await client.execute_workflow(
            ReconcileWorkflow.run, ReconcileInput(), id=f"r-{uuid.uuid4().hex[:8]}", task_queue=queue
        )
    east, west = report.pools
    assert (east.error, east.equal) == ("East does not answer.", False)
    assert (west.clusters, west.equal) == (3, True)
    assert script.asked.count("east") > 1, "it was tried again"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """AWS with nothing in it, and no grace for what is young."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(reconciliation, "GRACE", timedelta(0))
    found = standing()
    found.fresh()
    return found


def factory_of(connected: Settings, emulator: Emulator, **more: object) -> Factory:
    """A factory with a pool of AWS."""
    pool = {
        "provider": "aws",
        "name": "east",
        "region": "us-east-1",
        "endpoint_url": emulator.address,
        "settle_seconds": 0.05,
        "instance_types": ["g5.xlarge"],
    }
    connected.home.mkdir(parents=True, exist_ok=True)
    connected.pools_file.write_text(yaml.safe_dump({"pools": [{"provider": "local", "name": "local"}, pool | more]}))
    known = {"mlflow_url": NOWHERE, "chroma_url": NOWHERE, "model_server_url": NOWHERE, "model_server_key": SecretStr("k")}
    return connect(connected.model_copy(update=known))


@pytest.fixture
async def factory(connected: Settings, emulator: Emulator) -> AsyncIterator[Factory]:
    """One whose policy is to report strays."""
    built = factory_of(connected, emulator)
    yield built
    await built.database.close()


WANTED = ClusterSpec(key="k", tenant="vision", machine="g5.xlarge", count=2, price_class="spot")


async def test_what_the_ledger_owns_is_no_difference(factory: Factory) -> None:
    await ClusterBook(factory.database, factory.clusters).provision("east", WANTED)
    report = await ReconcileActivities(factory).compared("east")
    assert (report.equal, report.clusters, report.machines) == (True, 1, 2)


async def test_a_stray_is_reported_and_stays(factory: Factory, emulator: Emulator) -> None:
    await factory.clusters.of("east").provision(WANTED)
    report = await ReconcileActivities(factory).compared("east")
    assert [(each.kind, each.outcome) for each in report.findings] == [("stray", "reported")]
    assert sum(machines_of(emulator.world.account).values()) == 2


async def test_a_stray_is_removed_where_the_policy_says_so(connected: Settings, emulator: Emulator) -> None:
    factory = factory_of(connected, emulator, strays="remove")
    await factory.clusters.of("east").provision(WANTED)
    report = await ReconcileActivities(factory).compared("east")
    assert [(each.kind, each.outcome) for each in report.findings] == [("stray", "removed")]
    assert sum(machines_of(emulator.world.account).values()) == 0
    assert (await ReconcileActivities(factory).compared("east")).equal
    await factory.database.close()


async def test_a_machine_of_another_installation_is_never_touched(connected: Settings, emulator: Emulator) -> None:
    factory = factory_of(connected, emulator, strays="remove")
    other = factory_of(connected, emulator, installation="other")
    await other.clusters.of("east").provision(WANTED)
    factory = factory_of(connected, emulator, strays="remove")
    assert (await ReconcileActivities(factory).compared("east")).equal
    assert sum(machines_of(emulator.world.account).values()) == 2
    for each in (factory, other):
        await each.database.close()


async def test_a_cluster_that_is_gone_is_ended(factory: Factory) -> None:
    book = ClusterBook(factory.database, factory.clusters)
    await book.provision("east", WANTED)
    await factory.clusters.of("east").release(cluster_id("k"), "vision")
    report = await ReconcileActivities(factory).compared("east")
    assert [(each.kind, each.outcome) for each in report.findings] == [("gone", "ended")]
    assert await book.list() == []
    assert (await ReconcileActivities(factory).compared("east")).equal


async def test_a_release_that_was_cut_off_is_finished(factory: Factory, emulator: Emulator) -> None:
    book = ClusterBook(factory.database, factory.clusters)
    await book.provision("east", WANTED)
    emulator.faults.add("throttled", "DeleteLaunchTemplate", times=3)
    with pytest.raises(Unavailable):
        await book.release(cluster_id("k"), "vision")
    report = await ReconcileActivities(factory).compared("east")
    assert report.equal
    assert sum(machines_of(emulator.world.account).values()) == 0
    assert (await book.record(cluster_id("k"), "vision")).state == "ended"


async def test_what_is_over_its_term_is_released(factory: Factory, emulator: Emulator) -> None:
    book = ClusterBook(factory.database, factory.clusters)
    await book.provision("east", WANTED, Term(seconds=0, count_max=2))
    assert (await ReconcileActivities(factory).compared("east")).equal
    assert sum(machines_of(emulator.world.account).values()) == 0


async def test_a_machine_that_died_is_told(factory: Factory) -> None:
    made = await ClusterBook(factory.database, factory.clusters).provision("east", WANTED)
    provider = factory.clusters.of("east")
    await provider.access.change("ec2", "terminate_instances", InstanceIds=[made.machines[0].id])  # type: ignore[attr-defined]
    [told] = (await ReconcileActivities(factory).compared("east")).findings
    assert (told.kind, told.machines, told.outcome) == ("machines_lost", [made.machines[0].id], "reported")


async def test_notice_of_spot_launches_another_once(factory: Factory, emulator: Emulator) -> None:
    made = await ClusterBook(factory.database, factory.clusters).provision("east", WANTED)
    ec2_spot.interrupt(emulator.world, made.machines[0].id)
    for _ in range(2):
        [answered] = await Notices(factory).answer()
        assert answered.replaced and answered.notice.machine_id == made.machines[0].id
    assert sum(machines_of(emulator.world.account).values()) == 3


async def test_notice_without_capacity_is_told(factory: Factory, emulator: Emulator) -> None:
    made = await ClusterBook(factory.database, factory.clusters).provision("east", WANTED)
    ec2_spot.interrupt(emulator.world, made.machines[0].id)
    emulator.world.capacity["g5.xlarge", ""] = 0
    [answered] = await Notices(factory).answer()
    assert not answered.replaced and "None could be had" in answered.words


async def test_a_lease_whose_machines_are_gone_is_ended(connected: Settings, emulator: Emulator) -> None:
    factory = factory_of(connected, emulator)
    await factory.leases.set_quota("vision", 10)
    lease = await factory.leases.acquire(LeaseRequest(tenant="vision", slots=1, pool="east", key="l"))
    assert lease.state is LeaseState.ACTIVE
    assert (await ReconcileActivities(factory).compared("east")).equal
    await factory.clusters.of("east").release(cluster_id(lease.id), "vision")
    report = await ReconcileActivities(factory).compared("east")
    assert [(each.kind, each.outcome, each.lease_id) for each in report.findings] == [("gone", "ended", lease.id)]
    assert not (await factory.leases.get("vision", lease.id)).state.held


class Server:
    """A server that keeps schedules by their ids."""

    def __init__(self) -> None:
        self.made: dict[str, Schedule] = {}

    async def create_schedule(self, name: str, schedule: Schedule) -> None:
        """Refuse a second one of a name, as Temporal does."""
        if name in self.made:
            raise ScheduleAlreadyRunningError
        self.made[name] = schedule


async def test_the_schedule_is_made_once_however_many_workers_start() -> None:
    server = Server()
    assert await ensure_reconciling(server)  # type: ignore[arg-type]
    assert not await ensure_reconciling(server)  # type: ignore[arg-type]
    [schedule] = server.made.values()
    assert schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert schedule.spec.intervals[0].every == timedelta(minutes=5)

"""Fleets: what is asked of AWS, and a defined outcome for each thing that goes wrong."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest

from factory_infra.errors import CapacityExceeded, Conflict, Forbidden, InvalidInput, LineshaftError, Unauthenticated, Unavailable
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec, ClusterState
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.providers.aws import AwsClusters
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.settings import Settings
from tests.emulators.aws import ec2, ec2_spot
from tests.emulators.aws.server import Emulator
from tests.emulators.aws.standing import standing
from tests.factory_infra.foundation.clusters.programs import machines_of

pytestmark = pytest.mark.stack
KEY = "lease-1"
NAME = cluster_id(KEY)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """AWS with nothing in it."""
    found = standing()
    found.fresh()
    yield found
    assert found.world.broken == []


def clusters_of(emulator: Emulator, settings: Settings, **more: object) -> AwsClusters:
    """A provider that knows nothing yet."""
    pool = {"name": "east", "region": "us-east-1", "endpoint_url": emulator.address, "settle_seconds": 0.05}
    return AwsClusters(AwsPool.model_validate(pool | more), settings)


def wanted(**more: object) -> ClusterSpec:
    """What is asked for."""
    return ClusterSpec.model_validate({"key": KEY, "tenant": "vision", "lease_id": KEY, "machine": "g5.xlarge", "count": 2} | more)


def asked(emulator: Emulator, action: str) -> dict[str, str]:
    """The fields of the last call of an action."""
    return {name: values[0] for name, values in parse_qs(emulator.world.bodies["ec2", action]).items()}


def there(emulator: Emulator) -> int:
    """How many machines the account really has."""
    return sum(machines_of(emulator.world.account).values())


class TestRequest:
    async def test_the_metadata_service_asks_for_a_token(self, emulator: Emulator, settings: Settings) -> None:
        await clusters_of(emulator, settings).provision(wanted())
        assert asked(emulator, "CreateLaunchTemplate")["LaunchTemplateData.MetadataOptions.HttpTokens"] == "required"

    async def test_machines_are_tagged_with_whose_they_are(self, emulator: Emulator, settings: Settings) -> None:
        await clusters_of(emulator, settings, installation="ours").provision(wanted(run_id="plan-1"))
        fields = asked(emulator, "CreateFleet")
        tags = {fields[name]: fields[name.replace("Key", "Value")] for name in fields if name.endswith("Key")}
        expected = {"installation": "ours", "tenant": "vision", "lease": KEY, "run": "plan-1", "key": KEY, "cluster": NAME, "pool": "east"}
        assert {f"lineshaft:{name}": value for name, value in expected.items()}.items() <= tags.items()

    async def test_spot_is_spread_over_types_and_subnets(self, emulator: Emulator, settings: Settings) -> None:
        found = (await clusters_of(emulator, settings).access.read("ec2", "describe_subnets"))["Subnets"]
        assert isinstance(found, list)
        subnets = [each["SubnetId"] for each in found][:3]
        spread = clusters_of(emulator, settings, subnet_ids=subnets)
        await spread.provision(wanted(price_class="spot", alternatives=("g6.xlarge",)))
        fields = asked(emulator, "CreateFleet")
        places = [name for name in fields if name.endswith("SubnetId")]
        assert len(places) == 6
        assert fields["SpotOptions.AllocationStrategy"] == "price-capacity-optimized"

    async def test_a_rack_has_a_placement_group_and_efa_cards(self, emulator: Emulator, settings: Settings) -> None:
        clusters = clusters_of(emulator, settings, security_group_ids=["sg-1"])
        await clusters.provision(wanted(machine="p4d.24xlarge", topology="rack", alternatives=("p5.48xlarge",)))
        fields = asked(emulator, "CreateLaunchTemplate")
        kinds = [value for name, value in fields.items() if name.endswith("InterfaceType")]
        assert kinds == ["efa", "efa-only", "efa-only", "efa-only"]
        assert fields["LaunchTemplateData.Placement.GroupName"] == f"lineshaft-{NAME}"
        assert emulator.world.groups[f"lineshaft-{NAME}"]["Strategy"] == "cluster"
        assert asked(emulator, "CreateFleet")["OnDemandOptions.SingleAvailabilityZone"] == "true"
        await clusters.release(NAME, "vision")
        assert emulator.world.groups == {}

    async def test_a_reservation_is_named_and_used(self, emulator: Emulator, settings: Settings) -> None:
        clusters = clusters_of(emulator, settings)
        answer = await clusters.access.change(
            "ec2",
            "create_capacity_reservation",
            InstanceType="g5.xlarge",
            InstancePlatform="Linux/UNIX",
            AvailabilityZone="us-east-1a",
            InstanceCount=2,
            ClientToken="t",
        )
        reservation = answer["CapacityReservation"]["CapacityReservationId"]  # type: ignore[index]
        await clusters.provision(wanted(price_class="reserved", reservation_id=reservation))
        assert emulator.world.reservations[reservation]["AvailableInstanceCount"] == 0
        with pytest.raises(CapacityExceeded) as refused:
            await clusters.provision(wanted(key="other", price_class="reserved", reservation_id=reservation))
        assert refused.value.error_code == "capacity_short"

    async def test_a_block_needs_its_reservation(self, emulator: Emulator, settings: Settings) -> None:
        with pytest.raises(InvalidInput) as refused:
            await clusters_of(emulator, settings).provision(wanted(price_class="capacity_block"))
        assert refused.value.error_code == "reservation_missing"

    async def test_leased_machines_join_the_ecs_cluster_of_batch(self, emulator: Emulator, settings: Settings) -> None:
        await clusters_of(emulator, settings, batch_cluster="arn:aws:ecs:us-east-1:1:cluster/leased").provision(wanted())
        script = base64.b64decode(asked(emulator, "CreateLaunchTemplate")["LaunchTemplateData.UserData"]).decode()
        assert "ECS_CLUSTER=leased\n" in script
        attributes = next(line for line in script.splitlines() if line.startswith("ECS_INSTANCE_ATTRIBUTES="))
        assert json.loads(attributes.partition("=")[2])["lineshaft.lease"] == KEY

    async def test_only_what_the_pool_allows_is_launched(self, emulator: Emulator, settings: Settings) -> None:
        with pytest.raises(InvalidInput) as refused:
            await clusters_of(emulator, settings, instance_types=["g6.xlarge"]).provision(wanted())
        assert refused.value.error_code == "not_offered"


class TestWhatGoesWrong:
    @pytest.mark.parametrize("action", ["CreateLaunchTemplate", "CreateFleet"])
    @pytest.mark.parametrize("kind", ["throttled", "internal", "dropped", "dropped_before"])
    async def test_one_fault_is_one_call_more(self, emulator: Emulator, settings: Settings, action: str, kind: str) -> None:
        emulator.faults.add(kind, action)  # type: ignore[arg-type]
        made = await clusters_of(emulator, settings).provision(wanted())
        assert (made.state, there(emulator)) == (ClusterState.READY, 2)
        assert emulator.world.calls["ec2", action] <= 2

    async def test_no_answer_at_all_is_unavailable_and_asked_again_it_is_one(self, emulator: Emulator, settings: Settings) -> None:
        emulator.faults.add("dropped", "CreateFleet", times=3)
        with pytest.raises(Unavailable):
            await clusters_of(emulator, settings).provision(wanted())
        await clusters_of(emulator, settings).provision(wanted())
        assert there(emulator) == 2

    async def test_control_without_tokens_a_lost_answer_doubles(self, emulator: Emulator, settings: Settings) -> None:
        emulator.faults.add("dropped", "CreateFleet")
        await clusters_of(emulator, settings.model_copy(update={"idempotency_keys": False})).provision(wanted())
        assert there(emulator) == 4

    async def test_what_is_not_shown_yet_is_not_made_again(self, emulator: Emulator, settings: Settings) -> None:
        emulator.world.seen_after_seconds = 0.2
        first = await clusters_of(emulator, settings).provision(wanted())
        again = await clusters_of(emulator, settings).provision(wanted())
        assert {each.id for each in first.machines} == {each.id for each in again.machines}
        assert there(emulator) == 2

    async def test_too_few_are_given_back(self, emulator: Emulator, settings: Settings) -> None:
        emulator.world.capacity["g5.xlarge", ""] = 1
        with pytest.raises(CapacityExceeded) as refused:
            await clusters_of(emulator, settings).provision(wanted())
        assert "1 of 2" in refused.value.reason
        assert there(emulator) == 0
        assert await clusters_of(emulator, settings).list() == []

    async def test_a_limit_of_the_account_is_told_as_such(self, emulator: Emulator, settings: Settings) -> None:
        emulator.faults.add("refused", "CreateFleet", code="VcpuLimitExceeded")
        with pytest.raises(CapacityExceeded) as refused:
            await clusters_of(emulator, settings).provision(wanted())
        assert refused.value.error_code == "account_limit"

    async def test_expired_credentials_are_told(self, emulator: Emulator, settings: Settings) -> None:
        emulator.faults.add("refused", code="ExpiredToken", status=403, times=9)
        with pytest.raises(Unauthenticated):
            await clusters_of(emulator, settings).provision(wanted())

    async def test_half_made_is_told_and_made_whole(self, emulator: Emulator, settings: Settings) -> None:
        emulator.faults.add("throttled", "CreateFleet", times=3)
        with pytest.raises(Unavailable):
            await clusters_of(emulator, settings).provision(wanted())
        half = await clusters_of(emulator, settings).get(NAME, "vision")
        assert (half.state, half.machines) == (ClusterState.CREATING, [])
        assert [each.id for each in await clusters_of(emulator, settings).list()] == [NAME]
        assert (await clusters_of(emulator, settings).provision(wanted())).state is ClusterState.READY

    async def test_half_made_can_be_released(self, emulator: Emulator, settings: Settings) -> None:
        emulator.world.seen_after_seconds = 0.03
        emulator.faults.add("dropped", "CreateFleet", times=3)
        with pytest.raises(Unavailable):
            await clusters_of(emulator, settings).provision(wanted())
        gone = await clusters_of(emulator, settings).release(NAME, "vision")
        assert (gone.state, there(emulator)) == (ClusterState.RELEASED, 0)

    async def test_released_and_asked_for_again_it_is_a_new_one(self, emulator: Emulator, settings: Settings) -> None:
        clusters = clusters_of(emulator, settings)
        first = await clusters.provision(wanted())
        await clusters.release(NAME, "vision")
        second = await clusters.provision(wanted())
        assert not {each.id for each in first.machines} & {each.id for each in second.machines}
        assert there(emulator) == 2

    async def test_a_late_launch_fails_at_the_fence(self, emulator: Emulator, settings: Settings) -> None:
        clusters = clusters_of(emulator, settings)
        await clusters.provision(wanted())
        await clusters.release(NAME, "vision")
        with pytest.raises(Conflict) as refused:
            await clusters.scale(NAME, "vision", 3, "late")
        assert refused.value.error_code == "cluster_released"

    async def test_a_machine_that_died_makes_it_partial(self, emulator: Emulator, settings: Settings) -> None:
        clusters = clusters_of(emulator, settings)
        made = await clusters.provision(wanted())
        await clusters.access.change("ec2", "terminate_instances", InstanceIds=[made.machines[0].id])
        after = await clusters.get(NAME, "vision")
        assert (after.state, after.note) == (ClusterState.PARTIAL, "1 of 2 machines are there.")

    async def test_machines_that_boot_are_told(self, emulator: Emulator, settings: Settings) -> None:
        emulator.world.boot_seconds = 30
        made = await clusters_of(emulator, settings).provision(wanted())
        assert made.state is ClusterState.CREATING and "boot" in made.note

    async def test_a_machine_that_is_not_there_is_not_replaced(self, emulator: Emulator, settings: Settings) -> None:
        clusters = clusters_of(emulator, settings)
        await clusters.provision(wanted())
        with pytest.raises(LineshaftError) as refused:
            await clusters.replace(NAME, "vision", "i-00000000000000000", "k")
        assert refused.value.error_code == "machine_gone"

    async def test_a_replacement_that_cannot_be_had_leaves_the_old_one(self, emulator: Emulator, settings: Settings) -> None:
        clusters = clusters_of(emulator, settings)
        made = await clusters.provision(wanted())
        emulator.world.capacity["g5.xlarge", ""] = 0
        with pytest.raises(CapacityExceeded):
            await clusters.replace(NAME, "vision", made.machines[0].id, "k")
        assert there(emulator) == 2


class TestLists:
    async def test_a_cluster_is_listed_once_whatever_its_form(self, emulator: Emulator, settings: Settings) -> None:
        clusters = clusters_of(emulator, settings)
        made = [await clusters.provision(wanted(form=form)) for form in ("fleet", "auto_scaling")]
        assert sorted(each.id for each in await clusters.list()) == sorted(each.id for each in made)

    async def test_a_form_that_the_role_may_not_see_has_no_clusters(self, emulator: Emulator, settings: Settings) -> None:
        clusters = clusters_of(emulator, settings)
        await clusters.provision(wanted())
        emulator.faults.add("refused", "DescribeAutoScalingGroups", service="autoscaling", code="AccessDenied", status=403)
        assert [each.id for each in await clusters.list()] == [NAME]
        emulator.faults.add("refused", "DescribeInstances", code="UnauthorizedOperation", status=403)
        with pytest.raises(Forbidden):
            await clusters.list()


class TestNotices:
    async def made(self, clusters: AwsClusters, **more: object) -> Cluster:
        """A cluster."""
        return await clusters.provision(wanted(**more))

    async def test_spot_is_taken_back_in_two_minutes(self, emulator: Emulator, settings: Settings) -> None:
        clusters = clusters_of(emulator, settings)
        made = await self.made(clusters, price_class="spot")
        assert await clusters.interruptions() == []
        ec2_spot.interrupt(emulator.world, made.machines[0].id)
        [notice] = await clusters.interruptions()
        assert (notice.machine_id, notice.cluster_id, notice.lease_id) == (made.machines[0].id, NAME, KEY)
        assert notice.action == "terminate"

    async def test_planned_retirement_is_a_notice(self, emulator: Emulator, settings: Settings) -> None:
        clusters = clusters_of(emulator, settings)
        made = await self.made(clusters)
        ec2.schedule(emulator.world, made.machines[1].id)
        [notice] = await clusters.interruptions()
        assert (notice.machine_id, notice.action) == (made.machines[1].id, "terminate")

    async def test_the_old_machine_is_left_to_its_end(self, emulator: Emulator, settings: Settings) -> None:
        clusters = clusters_of(emulator, settings)
        made = await self.made(clusters, price_class="spot")
        old = made.machines[0].id
        for _ in range(2):
            after = await clusters.replace(NAME, "vision", old, f"interruption/{old}", ending=False)
        assert old in {each.id for each in after.machines} and len(after.machines) == 3

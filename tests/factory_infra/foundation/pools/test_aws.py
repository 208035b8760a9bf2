"""How AWS is reached: retries, deadlines, credentials, roles."""

import pytest

from factory_infra.errors import CapacityExceeded, EffectFailed, InvalidInput, NotFound, Unauthenticated, Unavailable
from factory_infra.foundation.pools.aws import ATTEMPTS_OF_CHANGES, AwsAccess, RetryBudget
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.settings import Settings
from tests.emulators.aws.server import Emulator

pytestmark = pytest.mark.stack


def access_to(emulator: Emulator, settings: Settings, **more: object) -> AwsAccess:
    """A way to the emulator."""
    pool = {"name": "east", "region": "us-east-1", "endpoint_url": emulator.address}
    return AwsAccess(AwsPool.model_validate(pool | more), settings)


async def make_group(access: AwsAccess) -> None:
    """One change."""
    await access.change("ec2", "create_placement_group", GroupName="g", Strategy="cluster")


class TestCalls:
    async def test_clients_are_made_once(self, emulator: Emulator, settings: Settings) -> None:
        access = access_to(emulator, settings)
        assert await access.client("ec2") is await access.client("ec2")
        assert await access.client("ec2") is not await access.client("ec2", attempts_max=1)

    async def test_reads_are_tried_again(self, emulator: Emulator, settings: Settings) -> None:
        emulator.faults.add("throttled", "DescribePlacementGroups", times=2)
        assert (await access_to(emulator, settings).read("ec2", "describe_placement_groups"))["PlacementGroups"] == []
        assert emulator.world.calls["ec2", "DescribePlacementGroups"] == 3

    async def test_changes_are_asked_for_three_times_at_most(self, emulator: Emulator, settings: Settings) -> None:
        emulator.faults.add("throttled", "CreatePlacementGroup", times=99)
        with pytest.raises(Unavailable) as refused:
            await make_group(access_to(emulator, settings))
        assert refused.value.error_code == "throttled"
        assert emulator.world.calls["ec2", "CreatePlacementGroup"] == ATTEMPTS_OF_CHANGES

    async def test_a_lost_answer_is_asked_for_again(self, emulator: Emulator, settings: Settings) -> None:
        emulator.faults.add("dropped_before", "CreatePlacementGroup")
        await make_group(access_to(emulator, settings))
        assert list(emulator.world.groups) == ["g"]

    async def test_a_refusal_for_capacity_is_not_tried_again(self, emulator: Emulator, settings: Settings) -> None:
        emulator.world.capacity["p5.48xlarge", ""] = 0
        with pytest.raises(CapacityExceeded):
            await access_to(emulator, settings).change(
                "ec2", "run_instances", ImageId="ami-12345678", InstanceType="p5.48xlarge", MinCount=1, MaxCount=1
            )
        assert emulator.world.calls["ec2", "RunInstances"] == 1

    async def test_an_empty_budget_ends_the_retries(self, emulator: Emulator, settings: Settings) -> None:
        access = access_to(emulator, settings)
        access.budget = RetryBudget(saved_max=1)
        emulator.faults.add("internal", "CreatePlacementGroup", times=99)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await make_group(access)
        assert emulator.world.calls["ec2", "CreatePlacementGroup"] == 4

    async def test_a_late_answer_is_given_up(self, emulator: Emulator, settings: Settings) -> None:
        access = access_to(emulator, settings)
        emulator.faults.add("late", "DescribePlacementGroups", seconds=1.5)
        client = await access.client("ec2", attempts_max=1, read_seconds=0.3)
        with pytest.raises(Unavailable) as refused:
            await access.call(client.describe_placement_groups)
        assert refused.value.error_code == "timed_out"

    async def test_nobody_at_the_address_is_unavailable(self, emulator: Emulator, settings: Settings) -> None:
        access = access_to(emulator, settings, endpoint_url="http://127.0.0.1:9")
        with pytest.raises(Unavailable):
            await make_group(access)

    async def test_what_is_not_emulated_is_told(self, emulator: Emulator, settings: Settings) -> None:
        with pytest.raises(EffectFailed) as refused:
            await access_to(emulator, settings).read("ec2", "describe_spot_datafeed_subscription")
        assert refused.value.error_code == "not_emulated" and "DescribeSpotDatafeedSubscription" in refused.value.reason

    async def test_a_wrong_argument_is_refused_here(self, emulator: Emulator, settings: Settings) -> None:
        with pytest.raises(InvalidInput):
            await access_to(emulator, settings).read("ec2", "describe_placement_groups", Nonsense=1)

    async def test_what_is_not_there_is_not_found(self, emulator: Emulator, settings: Settings) -> None:
        with pytest.raises(NotFound):
            await access_to(emulator, settings).change("ec2", "delete_placement_group", GroupName="nothing")


class TestCredentials:
    async def test_expired_ones_are_told(self, emulator: Emulator, settings: Settings) -> None:
        emulator.faults.add("refused", "DescribePlacementGroups", code="ExpiredToken", status=403)
        with pytest.raises(Unauthenticated) as refused:
            await access_to(emulator, settings).read("ec2", "describe_placement_groups")
        assert refused.value.error_code == "credentials_expired" and "aws sso login" in refused.value.remedy

    async def test_none_are_told(self, emulator: Emulator, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        with pytest.raises(Unauthenticated):
            await access_to(emulator, settings).read("ec2", "describe_placement_groups")

    async def test_an_unknown_profile_is_told(self, emulator: Emulator, settings: Settings) -> None:
        with pytest.raises(Unauthenticated) as refused:
            await access_to(emulator, settings, profile="nobody").read("ec2", "describe_placement_groups")
        assert refused.value.error_code == "credentials_expired"

    async def test_a_region_that_is_none_is_told_before_anything_is_sent(self, emulator: Emulator, settings: Settings) -> None:
        with pytest.raises(InvalidInput) as refused:
            await access_to(emulator, settings, region="us-east-9").read("ec2", "describe_placement_groups")
        assert refused.value.error_code == "region_unknown"
        assert not emulator.world.calls


class TestRoles:
    ROLE = "arn:aws:iam::210987654321:role/lineshaft"

    async def test_a_role_is_assumed_with_external_id_and_the_tenants_tag(self, emulator: Emulator, settings: Settings) -> None:
        access = access_to(emulator, settings, role_arn=self.ROLE, external_id="our-id").for_tenant("vision")
        await access.read("ec2", "describe_placement_groups")
        asked = emulator.world.bodies["sts", "AssumeRole"]
        for part in ("ExternalId=our-id", "lineshaft%3Atenant", "Value=vision", "RoleSessionName=lineshaft-vision"):
            assert part in asked

    async def test_each_tenant_has_a_session_of_its_own(self, emulator: Emulator, settings: Settings) -> None:
        access = access_to(emulator, settings, role_arn=self.ROLE)
        assert access.for_tenant("vision") is access.for_tenant("vision")
        assert access.for_tenant("vision") is not access.for_tenant("speech")

    async def test_without_a_role_all_act_alike(self, emulator: Emulator, settings: Settings) -> None:
        access = access_to(emulator, settings)
        assert access.for_tenant("vision") is access

    async def test_a_role_that_may_not_be_assumed_is_told(self, emulator: Emulator, settings: Settings) -> None:
        emulator.faults.add("refused", "AssumeRole", service="sts", code="ExpiredTokenException", status=403)
        with pytest.raises(Unauthenticated):
            await access_to(emulator, settings, role_arn=self.ROLE).read("ec2", "describe_placement_groups")

"""A team's role in AWS: what it may, who may assume it, and in which account it lies."""

import asyncio
import json
from pathlib import Path

import pytest

from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.isolation.aws_roles import data_policy, external_id, machines_policy, role_arn, role_name, trust
from factory_infra.iaas.isolation.providers.aws import AwsWalls
from factory_infra.settings import Settings
from tests.contract.aws import client
from tests.emulators.aws import iam as gate
from tests.emulators.aws.standing import KEYS, standing

ACCOUNT, OTHER = "111111111111", "222222222222"


def pool(**fields: object) -> AwsPool:
    return AwsPool.model_validate({"name": "cloud", "region": "us-east-1", "bucket": "jobs", **fields})


class TestDocuments:
    def test_roles_and_external_ids_differ_for_every_pool_and_team(self) -> None:
        pairs = [(pool(), "vision"), (pool(), "speech"), (pool(name="other"), "vision"), (pool(), "a" * 60), (pool(), "a" * 59 + "b")]
        assert len({role_name(*pair) for pair in pairs}) == len({external_id(*pair) for pair in pairs}) == len(pairs)
        assert all(len(role_name(*pair)) <= 64 for pair in pairs)

    def test_a_role_is_in_the_teams_account_where_it_has_one(self) -> None:
        assert f"::{OTHER}:" in role_arn(pool(tenant_accounts={"speech": OTHER}), ACCOUNT, "speech")
        assert f"::{ACCOUNT}:" in role_arn(pool(tenant_accounts={"speech": OTHER}), ACCOUNT, "vision")

    @pytest.mark.parametrize(
        ("action", "resource", "context", "may"),
        [
            ("s3:GetObject", "arn:aws:s3:::jobs/lineshaft/vision/job/spec.json", {}, True),
            ("s3:PutObject", "arn:aws:s3:::jobs/lineshaft/vision/x", {}, True),
            ("s3:GetObject", "arn:aws:s3:::jobs/lineshaft/speech/job/spec.json", {}, False),
            ("s3:GetObject", "arn:aws:s3:::jobs/lineshaft/vision-2/job/spec.json", {}, False),
            ("s3:ListBucket", "arn:aws:s3:::jobs", {"s3:prefix": "lineshaft/vision/job/"}, True),
            ("s3:ListBucket", "arn:aws:s3:::jobs", {"s3:prefix": "lineshaft/"}, False),
            ("s3:ListBucket", "arn:aws:s3:::jobs", {}, False),
            ("ec2:TerminateInstances", "*", {"aws:ResourceTag/lineshaft:tenant": "vision"}, True),
            ("ec2:TerminateInstances", "*", {"aws:ResourceTag/lineshaft:tenant": "speech"}, False),
            ("ec2:TerminateInstances", "*", {}, False),
            ("ec2:DescribeInstances", "*", {}, False),
            ("ec2:CreateTags", "*", {"aws:ResourceTag/lineshaft:tenant": "vision"}, False),
            ("sts:AssumeRole", "*", {}, False),
        ],
    )
    def test_what_the_role_may(self, action: str, resource: str, context: dict[str, str], may: bool) -> None:
        policies = [json.loads(json.dumps(each)) for each in (data_policy(pool(), "vision"), machines_policy())]
        told = {"aws:PrincipalTag/lineshaft:tenant": "vision", **context}
        assert gate.permitted(policies, action, resource, told) is may

    @pytest.mark.parametrize(("said", "tag", "may"), [("", "vision", False), ("own", "speech", False), ("own", "vision", True)])
    def test_who_may_assume_it(self, said: str, tag: str, may: bool) -> None:
        given = {"own": external_id(pool(), "vision")}.get(said, "")
        context = {"sts:ExternalId": given, "aws:RequestTag/lineshaft:tenant": tag}
        trusted = json.loads(json.dumps(trust(pool(), ACCOUNT, "vision")))
        assert gate.permitted([trusted], "sts:AssumeRole", "*", context, services=False) is may


@pytest.mark.stack
async def test_a_team_with_an_account_has_its_role_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    emulator = standing()
    world = emulator.fresh()
    spec = pool(endpoint_url=emulator.address, tenant_accounts={"speech": OTHER})
    walls = AwsWalls(spec, Settings(home=tmp_path))
    found = {wall.name: wall for wall in await walls.ensure("speech")}
    assert (found["account"].state, found["iam_role"].state) == ("up", "up") and OTHER in found["iam_role"].note
    assert {wall.name: wall.state for wall in await walls.ensure("vision")}["account"] == "not_available"
    roles = await asyncio.to_thread(client("iam", emulator.address).list_roles, PathPrefix="/lineshaft/")
    assert [role["RoleName"] for role in roles["Roles"]] == [role_name(spec, "vision")] and world.account != OTHER
    await walls.remove("speech")
    assert {wall.state for wall in await walls.check("speech") if wall.name != "account"} == {"missing"}

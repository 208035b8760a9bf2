"""The walls in an account of AWS as a house: the emulator with IAM as its gate."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.isolation.aws_roles import role_name
from factory_infra.iaas.isolation.interface import Walls
from factory_infra.iaas.isolation.providers.aws import AwsWalls
from factory_infra.settings import Settings
from tests.contract.aws import QUEUE, REGION, client
from tests.emulators.aws import batch
from tests.emulators.aws.iam import GatedEmulator
from tests.emulators.aws.standing import KEYS

EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
ANYBODY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]})


class WallsHouse:
    """Two tenants in one account."""

    attacker, victim = "vision", "speech"
    lacks: ClassVar[dict[str, str]] = {}
    removable: ClassVar[tuple[str, ...]] = ("iam_role", "external_id", "session_tags", "data_policy", "machines_policy", "nothing_more")

    def __init__(self, folder: Path) -> None:
        self._settings = Settings(home=folder)
        self._environment = pytest.MonkeyPatch()
        self.emulator = GatedEmulator()
        self.walls: Walls

    async def __aenter__(self) -> "WallsHouse":
        for name, value in KEYS.items():
            self._environment.setenv(name, value)
        await asyncio.to_thread(self._open)
        self.walls = AwsWalls(self.pool, self._settings)
        return self

    def _open(self) -> None:
        self.emulator.start()
        if "batch" not in self.emulator.world.extra:
            batch.plug(self.emulator.world)
        self.emulator.world.extra["endpoint"] = self.emulator.address
        client("s3", self.emulator.address).create_bucket(Bucket=self.pool.bucket)

    async def __aexit__(self, *exception: object) -> None:
        self.emulator.stop()
        self._environment.undo()

    @property
    def pool(self) -> AwsPool:
        """The pool's entry."""
        return AwsPool.model_validate(
            {
                "name": "cloud",
                "region": REGION,
                "endpoint_url": self.emulator.address,
                "instance_types": ["m5.large"],
                "bucket": f"lineshaft-walls-{self.emulator.world.account}",
                "batch_queue": QUEUE,
            }
        )

    @asynccontextmanager
    async def without(self, name: str) -> AsyncIterator[Walls]:
        """Take a wall of the attacker's down as well as the victim's: who breaks out is the one whose own role may too much."""
        await asyncio.to_thread(self._down, name)
        try:
            yield self.walls
        finally:
            await asyncio.to_thread(self._up_again)
            for tenant in (self.attacker, self.victim):
                await self.walls.ensure(tenant)

    def _down(self, name: str) -> None:
        iam = client("iam", self.emulator.address)
        for tenant in (self.attacker, self.victim):
            self._without(iam, role_name(self.pool, tenant), name)

    def _without(self, iam: Any, role: str, name: str) -> None:
        if name == "nothing_more":
            iam.put_role_policy(RoleName=role, PolicyName="more", PolicyDocument=EVERYTHING)
        elif name == "iam_role":
            iam.update_assume_role_policy(RoleName=role, PolicyDocument=ANYBODY)
        elif name in {"data_policy", "machines_policy"}:
            policy = {"data_policy": "lineshaft-data", "machines_policy": "lineshaft-machines"}[name]
            iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=EVERYTHING)
        else:
            trusted = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
            key = {"external_id": "sts:ExternalId", "session_tags": "aws:RequestTag/lineshaft:tenant"}[name]
            trusted["Statement"][0]["Condition"]["StringEquals"].pop(key)
            iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trusted))

    def _up_again(self) -> None:
        iam = client("iam", self.emulator.address)
        for tenant in (self.attacker, self.victim):
            role = role_name(self.pool, tenant)
            if "more" in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                iam.delete_role_policy(RoleName=role, PolicyName="more")

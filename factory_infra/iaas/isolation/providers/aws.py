"""The walls between tenants in AWS: a role each, with an external id, session tags and policies; an account each where there is one."""

import json
from typing import NamedTuple, cast
from urllib.parse import unquote

from factory_infra.errors import Conflict, NotFound
from factory_infra.foundation.pools.aws import Answer, AwsAccess, tags
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.isolation.aws_roles import (
    DATA_POLICY,
    MACHINES_POLICY,
    PATH,
    TENANT_TAG,
    Document,
    data_policy,
    external_id,
    machines_policy,
    role_arn,
    role_name,
    text,
    trust,
)
from factory_infra.iaas.isolation.models import Attempt, Wall
from factory_infra.iaas.isolation.providers.aws_attack import AwsAttack
from factory_infra.settings import Settings


class Policy(NamedTuple):
    """An inline policy and the wall that it is."""

    wall: str
    name: str
    wanted: Document


class AwsWalls:
    """Walls in one pool of AWS.

    Args:
        pool: the pool's entry.
        settings: of the installation.
    """

    def __init__(self, pool: AwsPool, settings: Settings) -> None:
        self._pool = pool
        self._settings = settings
        self._access = AwsAccess(pool, settings)
        self._accounts: dict[str, AwsAccess] = {}

    async def ensure(self, tenant: str) -> list[Wall]:
        """Put up the role with its trust and policies; what differs is put right."""
        account, iam = await self._account(), await self._iam(tenant)
        name, wanted = role_name(self._pool, tenant), text(trust(self._pool, account, tenant))
        try:
            marked = tags({TENANT_TAG: tenant, "lineshaft:pool": self._pool.name})
            await iam.change("iam", "create_role", RoleName=name, Path=PATH, AssumeRolePolicyDocument=wanted, Tags=marked)
        except Conflict:
            await iam.change("iam", "update_assume_role_policy", RoleName=name, PolicyDocument=wanted)
        for policy in self._policies(tenant):
            await iam.change("iam", "put_role_policy", RoleName=name, PolicyName=policy.name, PolicyDocument=text(policy.wanted))
        return await self.check(tenant)

    async def check(self, tenant: str) -> list[Wall]:
        """Compare what stands with what should."""
        account, iam, name = await self._account(), await self._iam(tenant), role_name(self._pool, tenant)
        try:
            role = cast("Answer", (await iam.read("iam", "get_role", RoleName=name))["Role"])
        except NotFound:
            gone = [
                Wall(name=each, state="missing", note=f"There is no role {name}.") for each in ("iam_role", "external_id", "session_tags")
            ]
            return [*gone, *(Wall(name=each.wall, state="missing") for each in self._policies(tenant)), self._account_wall(tenant)]
        trusted = read_document(role.get("AssumeRolePolicyDocument"))
        walls = [Wall(name="iam_role", state="up", note=role_arn(self._pool, account, tenant)), *self._trust_walls(trusted, tenant)]
        if trusted != trust(self._pool, account, tenant):
            walls[0] = Wall(name="iam_role", state="broken", note="Others than this installation may assume it.")
        for policy in self._policies(tenant):
            walls.append(await self._policy_wall(iam, name, policy))
        return [*walls, await self._no_others(iam, name), self._account_wall(tenant)]

    async def attack(self, attacker: str, victim: str) -> list[Attempt]:
        """As the attacker's role try everything on what is the victim's."""
        account = await self._account()
        return await AwsAttack(self._pool, self._settings, account).run(attacker, victim)

    async def remove(self, tenant: str) -> None:
        """Take the role and its policies away."""
        iam, name = await self._iam(tenant), role_name(self._pool, tenant)
        for policy in self._policies(tenant):
            await quietly(iam, "delete_role_policy", RoleName=name, PolicyName=policy.name)
        await quietly(iam, "delete_role", RoleName=name)

    def _policies(self, tenant: str) -> list[Policy]:
        return [
            Policy("data_policy", DATA_POLICY, data_policy(self._pool, tenant)),
            Policy("machines_policy", MACHINES_POLICY, machines_policy()),
        ]

    def _trust_walls(self, trusted: Document, tenant: str) -> list[Wall]:
        """The two conditions of the trust, each a wall of its own."""
        statements = cast("list[dict[str, dict[str, dict[str, str]]]]", trusted.get("Statement", []))
        asked = statements[0].get("Condition", {}).get("StringEquals", {}) if statements else {}
        wanted = {
            "external_id": ("sts:ExternalId", external_id(self._pool, tenant)),
            "session_tags": (f"aws:RequestTag/{TENANT_TAG}", tenant),
        }
        return [
            Wall(
                name=name,
                state="up" if asked.get(key) == value else "missing",
                note="" if asked.get(key) == value else f"{key} is not asked for.",
            )
            for name, (key, value) in wanted.items()
        ]

    async def _policy_wall(self, iam: AwsAccess, role: str, policy: Policy) -> Wall:
        try:
            told = await iam.read("iam", "get_role_policy", RoleName=role, PolicyName=policy.name)
        except NotFound:
            return Wall(name=policy.wall, state="missing", note=f"The role has no policy {policy.name}.")
        same = read_document(told.get("PolicyDocument")) == policy.wanted
        return Wall(name=policy.wall, state="up" if same else "broken", note="" if same else f"{policy.name} says something else.")

    async def _no_others(self, iam: AwsAccess, role: str) -> Wall:
        """Whatever else is attached to the role would widen it."""
        inline = cast("list[str]", (await iam.read("iam", "list_role_policies", RoleName=role)).get("PolicyNames", []))
        attached = cast("list[Answer]", (await iam.read("iam", "list_attached_role_policies", RoleName=role)).get("AttachedPolicies", []))
        others = sorted({*inline} - {DATA_POLICY, MACHINES_POLICY}) + [str(each["PolicyName"]) for each in attached]
        return Wall(
            name="nothing_more", state="broken" if others else "up", note=f"The role may more: {', '.join(others)}." if others else ""
        )

    def _account_wall(self, tenant: str) -> Wall:
        account = self._pool.tenant_accounts.get(tenant)
        if account:
            return Wall(name="account", state="up", note=f"The team's account is {account}.")
        note = f"Pool {self._pool.name} names no account for the team (tenant_accounts): its role and tags are the walls."
        return Wall(name="account", state="not_available", note=note)

    async def _account(self) -> str:
        return str((await self._access.read("sts", "get_caller_identity"))["Account"])

    async def _iam(self, tenant: str) -> AwsAccess:
        """The door to the account that holds the tenant's role."""
        account = self._pool.tenant_accounts.get(tenant)
        if not account:
            return self._access
        if account not in self._accounts:
            role = f"arn:aws:iam::{account}:role/{self._pool.tenant_account_role}"
            self._accounts[account] = AwsAccess(self._pool.model_copy(update={"role_arn": role}), self._settings)
        return self._accounts[account]


async def quietly(iam: AwsAccess, operation: str, **arguments: object) -> None:
    """Take away what may be gone already."""
    try:
        await iam.change("iam", operation, **arguments)
    except NotFound:
        return


def read_document(value: object) -> Document:
    """A policy as IAM answers it: read already, or as quoted text."""
    if isinstance(value, str):
        return cast("Document", json.loads(unquote(value)))
    return cast("Document", value) if isinstance(value, dict) else {}

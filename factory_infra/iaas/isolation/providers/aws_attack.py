"""An attack on another tenant's things in AWS with the attacker's own role; it changes nothing, also where it is let through."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from factory_infra.errors import Forbidden, LineshaftError, Unauthenticated, Unavailable
from factory_infra.foundation.pools.aws import AwsAccess
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.isolation.aws_roles import TENANT_TAG, external_id, role_arn
from factory_infra.iaas.isolation.models import Attempt, Door
from factory_infra.iaas.jobs.carrier.keys import tenant_prefix
from factory_infra.iaas.jobs.providers.aws_bucket import aws_code
from factory_infra.settings import Settings

MARK = "lineshaft-audit.txt"
NO_INSTANCE = "i-00000000000000000"
LOG_GROUP = "/aws/batch/job"
Try = Callable[[], Awaitable[object]]


class AwsAttack:
    """Tries every door.

    Args:
        pool: the pool's entry.
        settings: of the installation.
        account: the pool's account.
    """

    def __init__(self, pool: AwsPool, settings: Settings, account: str) -> None:
        self._pool, self._settings, self._account = pool, settings, account
        self._access = AwsAccess(pool, settings)

    async def run(self, attacker: str, victim: str) -> list[Attempt]:
        """Lay out what is the victim's, try it as the attacker, and clear up."""
        prefix = tenant_prefix(victim)
        mark = {"Bucket": self._pool.bucket, "Key": f"{prefix}{MARK}"}
        if self._pool.bucket:
            await self._access.change("s3", "put_object", **mark, Body=b"the victim's")
        try:
            thief = self._as(attacker, attacker)
            attempts = [await tried(door, words, ask) for door, words, ask in self._tries(thief, attacker, victim)]
            return [*attempts, *await self._impersonations(attacker, victim)]
        finally:
            if self._pool.bucket:
                await self._access.change("s3", "delete_object", **mark)

    def _tries(self, thief: AwsAccess, attacker: str, victim: str) -> list[tuple[Door, str, Try]]:
        prefix, instance = tenant_prefix(victim), NO_INSTANCE
        found: list[tuple[Door, str, Try]] = [
            ("see", "list machines", lambda: thief.read("ec2", "describe_instances")),
            ("see", "list jobs", lambda: thief.read("batch", "list_jobs", jobQueue=self._pool.batch_queue or "none")),
            ("stop", "end a job", lambda: thief.change("batch", "terminate_job", jobId=str(uuid4()), reason="an audit")),
            ("stop", "end a machine", lambda: thief.change("ec2", "terminate_instances", InstanceIds=[instance], DryRun=True)),
            ("read_logs", "find logs", lambda: thief.read("logs", "describe_log_streams", logGroupName=LOG_GROUP)),
            ("spend", "launch a machine in the victim's name", lambda: thief.change("ec2", "run_instances", **self._launch(victim))),
        ]
        if self._pool.bucket:
            bucket = {"Bucket": self._pool.bucket}
            objects = {**bucket, "Key": f"{prefix}{MARK}"}
            found += [
                ("see", "list data", lambda: thief.read("s3", "list_objects_v2", **bucket, Prefix=prefix)),
                ("use_data", "read data", lambda: thief.read("s3", "get_object", **objects)),
                ("use_data", "write data", lambda: thief.change("s3", "put_object", **objects, Body=b"the victim's")),
                ("read_logs", "read a job's records", lambda: thief.read("s3", "get_object", **bucket, Key=f"{prefix}job/exits/0001.json")),
            ]
        return found

    def _launch(self, victim: str) -> dict[str, object]:
        """A launch that is only asked about."""
        marked = [{"ResourceType": "instance", "Tags": [{"Key": TENANT_TAG, "Value": victim}]}]
        machine = self._pool.instance_types[0] if self._pool.instance_types else "m5.large"
        image = self._pool.image_id or "ami-00000000"
        return {"ImageId": image, "InstanceType": machine, "MinCount": 1, "MaxCount": 1, "TagSpecifications": marked, "DryRun": True}

    async def _impersonations(self, attacker: str, victim: str) -> list[Attempt]:
        """Take the victim's role: from the attacker's session, and as the installation misled into it."""
        role = role_arn(self._pool, self._account, victim)
        own = {"ExternalId": external_id(self._pool, attacker), "Tags": [{"Key": TENANT_TAG, "Value": attacker}]}
        lied = {"ExternalId": external_id(self._pool, attacker), "Tags": [{"Key": TENANT_TAG, "Value": victim}]}
        tagged = {"ExternalId": external_id(self._pool, victim), "Tags": [{"Key": TENANT_TAG, "Value": attacker}]}
        asked = {"RoleArn": role, "RoleSessionName": "lineshaft-audit"}
        thief = self._as(attacker, attacker)
        doors: list[tuple[str, Try]] = [
            ("assume the victim's role from the attacker's session", lambda: thief.change("sts", "assume_role", **asked, **own)),
            (
                "mislead the installation with the attacker's external id",
                lambda: self._access.change("sts", "assume_role", **asked, **lied),
            ),
            ("assume the victim's role with the attacker's tag", lambda: self._access.change("sts", "assume_role", **asked, **tagged)),
        ]
        return [await tried("use_data", words, ask) for words, ask in doors]

    def _as(self, tenant: str, tagged: str) -> AwsAccess:
        """AWS as one tenant's role sees it."""
        update = {"role_arn": role_arn(self._pool, self._account, tenant), "external_id": external_id(self._pool, tenant)}
        return AwsAccess(self._pool.model_copy(update=update), self._settings, tagged)


async def tried(door: Door, words: str, ask: Try) -> Attempt:
    """Try it; what refused it is told by AWS' own code. Anything but a refusal counts as let through."""
    try:
        await ask()
    except (Forbidden, Unauthenticated) as error:
        return Attempt(door=door, through="aws", tried=words, refused=True, by=f"{aws_code(error) or error.error_code}: {error.reason}")
    except Unavailable:
        raise
    except LineshaftError as error:
        return Attempt(door=door, through="aws", tried=words, refused=False, by=error.reason)
    return Attempt(door=door, through="aws", tried=words, refused=False)

"""Switches machines of EC2, and lets public keys in through Instance Connect."""

from collections.abc import Mapping, Sequence
from typing import cast

from factory_infra.errors import Conflict, InvalidInput, LineshaftError, NotFound
from factory_infra.foundation.pools.aws import Answer, AwsAccess
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.kubernetes.vms_models import SeenMachine, VmState
from factory_infra.settings import Settings

KEY_SECONDS = 60
"""For so long Instance Connect keeps a key."""
STATES: dict[str, VmState] = {
    "pending": "pending",
    "running": "running",
    "stopping": "stopping",
    "stopped": "stopped",
    "shutting-down": "gone",
    "terminated": "gone",
}


class AwsMachines:
    """Machines of one account and region.

    Args:
        pool: the pool's entry.
        settings: of the installation.
    """

    def __init__(self, pool: AwsPool, settings: Settings) -> None:
        self._pool = pool
        self._access = AwsAccess(pool, settings)

    async def look(self, machine_ids: Sequence[str]) -> list[SeenMachine]:
        """How machines stand, by a filter: one that is forgotten must not hide the others."""
        wanted = [{"Name": "instance-id", "Values": list(machine_ids)}]
        told = await self._access.read_all("ec2", "describe_instances", "Reservations", Filters=wanted)
        return [seen(each) for reservation in told for each in cast("list[Answer]", reservation["Instances"])]

    async def stop(self, machine_id: str) -> None:
        """Switch it off."""
        try:
            await self._access.change("ec2", "stop_instances", InstanceIds=[machine_id])
        except InvalidInput as error:
            remedy = "A spot machine, and one without a disk of its own, cannot be switched off: remove it."
            raise Conflict(
                f"Machine {machine_id} cannot be switched off: {error.reason}", remedy=remedy, code="vm_not_stoppable"
            ) from error

    async def start(self, machine_id: str) -> None:
        """Switch it on again."""
        await self._access.change("ec2", "start_instances", InstanceIds=[machine_id])

    async def let_in(self, machine: SeenMachine, user: str, key_name: str) -> int:
        """Take the public half of a key pair by its name, and push it to the machine for a minute."""
        try:
            told = await self._access.read("ec2", "describe_key_pairs", KeyNames=[key_name], IncludePublicKey=True)
        except LineshaftError as error:
            if isinstance(error, InvalidInput | NotFound):
                raise self._no_key(key_name) from error
            raise
        pairs = cast("list[Answer]", told.get("KeyPairs", []))
        public = str(pairs[0].get("PublicKey", "")) if pairs else ""
        if not public:
            raise self._no_key(key_name)
        arguments = {"InstanceId": machine.id, "InstanceOSUser": user, "SSHPublicKey": public}
        if machine.zone:
            arguments["AvailabilityZone"] = machine.zone
        await self._access.change("ec2-instance-connect", "send_ssh_public_key", **arguments)
        return KEY_SECONDS

    def _no_key(self, name: str) -> NotFound:
        return NotFound(
            f"The account of pool '{self._pool.name}' has no key pair '{name}'.",
            remedy="Import its public half there (aws ec2 import-key-pair); no private key is ever asked for.",
            code="ssh_key_unknown",
        )


def seen(told: Mapping[str, object]) -> SeenMachine:
    """Read one entry of DescribeInstances."""
    state, placement = cast("Mapping[str, str]", told["State"]), cast("Mapping[str, str]", told.get("Placement") or {})
    address = told.get("PrivateIpAddress") or ""
    return SeenMachine(
        id=str(told["InstanceId"]),
        state=STATES.get(state["Name"], "gone"),
        address=str(address),
        zone=placement.get("AvailabilityZone", ""),
    )

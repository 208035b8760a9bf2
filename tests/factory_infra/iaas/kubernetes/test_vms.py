"""Virtual machines are leases of one machine; they are switched in EC2 and entered by a key's name."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from factory_infra.database import utcnow
from factory_infra.errors import Conflict, InvalidInput, LineshaftError, NotFound
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.iaas.kubernetes.vms import VirtualMachines
from factory_infra.iaas.leases.models import Lease, LeaseState
from factory_infra.iaas.leases.service import Leases
from factory_infra.settings import Settings
from tests.contract.aws import client
from tests.emulators.aws.server import Emulator
from tests.emulators.aws.standing import KEYS, standing

pytestmark = pytest.mark.stack
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJ1bq0cWq0wQz0b1v4o0x7v5yYw1Xw0mFZ5o3x5d0Q2 somebody"


class Book:
    """Leases in a list."""

    def __init__(self, leases: list[Lease]) -> None:
        self.leases = leases

    async def list(self, tenant: str | None, *, limit: int, offset: int) -> list[Lease]:
        return [each for each in self.leases if tenant in (None, each.tenant)][offset : offset + limit]

    async def of(self, lease_id: str, tenant: str | None) -> Lease:
        for each in self.leases:
            if each.id == lease_id and tenant in (None, each.tenant):
                return each
        raise NotFound(f"There is no lease {lease_id}.")


def lease(name: str, machine: str = "", **fields: object) -> Lease:
    return Lease.model_validate(
        {
            "id": f"lease-{name}",
            "tenant": "vision",
            "pool": "cloud",
            "slot_kind": "gpu",
            "slots": [0],
            "purpose": f"vm {name}",
            "plan_id": "",
            "state": LeaseState.ACTIVE,
            "granted_at": utcnow(),
            "expires_at": utcnow() + timedelta(hours=1),
            "ended_at": None,
            "machine": "g6.xlarge",
            "machines": [machine] if machine else [],
            **fields,
        }
    )


@pytest.fixture(scope="module")
def account() -> Emulator:
    found = standing()
    found.fresh()
    return found


@pytest.fixture
def emulator(account: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return account


@pytest.fixture
def ec2(emulator: Emulator) -> Any:
    return client("ec2", emulator.address)


@pytest.fixture
def machine(ec2: Any) -> str:
    launched = ec2.run_instances(ImageId="ami-12345678", InstanceType="g6.xlarge", MinCount=1, MaxCount=1)
    return str(launched["Instances"][0]["InstanceId"])


def machines(emulator: Emulator, folder: Path, *leases: Lease) -> VirtualMachines:
    file = folder / "pools.yaml"
    cloud = {"name": "cloud", "provider": "aws", "region": "us-east-1", "endpoint_url": emulator.address}
    file.write_text(yaml.safe_dump({"pools": [{"name": "local", "provider": "local"}, cloud]}))
    return VirtualMachines(cast("Leases", Book(list(leases))), PoolBook(file), Settings(home=folder))


async def code_of(asked: Any) -> str:
    with pytest.raises(LineshaftError) as refused:
        await asked
    assert refused.value.remedy
    return refused.value.error_code


async def test_a_machine_is_seen_switched_off_and_on(emulator: Emulator, machine: str, tmp_path: Path) -> None:
    vms = machines(emulator, tmp_path, lease("reader", machine), lease("other", tenant="speech"), lease("x", purpose="training"))
    assert [(vm.name, vm.state, vm.machine_id) for vm in await vms.list("vision")] == [("reader", "running", machine)]
    assert (await vms.get("lease-reader", "vision")).address
    assert (await vms.stop("lease-reader", "vision")).state in {"stopping", "stopped"}
    assert (await vms.stop("lease-reader", "vision")).state in {"stopping", "stopped"}
    assert await code_of(vms.let_in("lease-reader", "vision", "ubuntu", "mine")) == "vm_not_running"
    assert (await vms.start("lease-reader", "vision")).state in {"pending", "running"}


async def test_another_teams_machine_and_a_lease_that_is_none_are_not_there(emulator: Emulator, machine: str, tmp_path: Path) -> None:
    vms = machines(emulator, tmp_path, lease("reader", machine), lease("job", machine, purpose="training"))
    for vm_id, tenant in (("lease-reader", "speech"), ("lease-job", "vision"), ("lease-none", "vision")):
        for ask in (vms.get, vms.stop, vms.start):
            with pytest.raises(NotFound) as refused:
                await ask(vm_id, tenant)
            assert refused.value.error_code == "vm_unknown"


async def test_a_key_is_let_in_by_its_name(emulator: Emulator, ec2: Any, machine: str, tmp_path: Path) -> None:
    vms = machines(emulator, tmp_path, lease("reader", machine))
    assert await code_of(vms.let_in("lease-reader", "vision", "ubuntu", "mine")) == "ssh_key_unknown"
    await asyncio.to_thread(ec2.import_key_pair, KeyName="mine", PublicKeyMaterial=PUBLIC.encode())
    door = await vms.let_in("lease-reader", "vision", "ubuntu", "mine")
    assert (door.user, door.seconds) == ("ubuntu", 60) and door.address


async def test_what_is_not_there_any_more_or_not_yet(emulator: Emulator, ec2: Any, machine: str, tmp_path: Path) -> None:
    making = lease("young", state=LeaseState.GRANTING)
    vms = machines(emulator, tmp_path, lease("reader", machine), making, lease("old", machine, state=LeaseState.EXPIRED))
    await asyncio.to_thread(ec2.terminate_instances, InstanceIds=[machine])
    assert {vm.name: vm.state for vm in await vms.list("vision")} == {"reader": "gone", "young": "making", "old": "gone"}
    for name in ("reader", "young", "old"):
        with pytest.raises(Conflict):
            await vms.stop(f"lease-{name}", "vision")


async def test_a_pool_that_makes_no_machines_refuses_by_name(emulator: Emulator, tmp_path: Path) -> None:
    vms = machines(emulator, tmp_path)
    with pytest.raises(InvalidInput) as refused:
        vms.power("local")
    assert refused.value.error_code == "not_offered" and "cloud" in refused.value.remedy


async def test_a_pool_that_does_not_answer_shows_machines_as_they_were_leased(emulator: Emulator, machine: str, tmp_path: Path) -> None:
    vms = machines(emulator, tmp_path, lease("reader", machine))
    emulator.faults.add("refused", "DescribeInstances", code="AuthFailure", status=401)
    assert [(vm.name, vm.state) for vm in await vms.list("vision")] == [("reader", "pending")]

"""Virtual machines: what there is, off and on, and a door for a key. They are launched and removed by plans: see the tools over vms."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from api.deps import HouseDep, OperatorDep, PageDep, PrincipalDep, ScopeDep
from factory_infra.iaas.kubernetes.vms import VirtualMachines
from factory_infra.iaas.kubernetes.vms_models import KeyName, LoginName, SshDoor, Vm

router = APIRouter(prefix="/v1/vms", tags=["vms"])


class SshRequest(BaseModel):
    """Which key is let in, by its name in the pool's account, and as whom."""

    model_config = ConfigDict(extra="forbid")

    key_name: KeyName
    user: LoginName = "ec2-user"


def machines(held: HouseDep) -> VirtualMachines:
    """The machines of the installation."""
    return VirtualMachines(held.factory.leases, held.factory.pools, held.factory.settings)


@router.get("")
async def list_vms(held: HouseDep, tenant: ScopeDep, page: PageDep) -> list[Vm]:
    """List machines, newest first."""
    return await machines(held).list(tenant, page.limit, page.offset)


@router.get("/{vm_id}")
async def vm(vm_id: str, asker: PrincipalDep, held: HouseDep) -> Vm:
    """Show a machine."""
    return await machines(held).get(vm_id, asker.tenant)


@router.post("/{vm_id}/ssh")
async def let_in(vm_id: str, body: SshRequest, asker: OperatorDep, held: HouseDep) -> SshDoor:
    """Let a public key in that the account knows by its name, for a minute. No key passes through here."""
    return await machines(held).let_in(vm_id, asker.tenant, body.user, body.key_name)

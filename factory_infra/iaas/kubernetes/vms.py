"""Virtual machines as a service: each is a lease of one machine, so quota, price, term, ledger and removal are those of leases."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from factory_infra.errors import Conflict, InvalidInput, LineshaftError, NotFound
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.loading import Built, provider_class
from factory_infra.iaas.kubernetes.vms_models import SeenMachine, SshDoor, Vm
from factory_infra.iaas.leases.models import Lease, LeaseState
from factory_infra.iaas.leases.service import Leases
from factory_infra.settings import Settings

PURPOSE = "vm "
"""How the purpose of a lease begins that is a machine by a name."""
PROVIDERS: dict[str, str] = {"aws": "factory_infra.iaas.kubernetes.providers.aws_vms:AwsMachines"}
"""A new provider is one module and one line here."""


class MachinePower(Protocol):
    """Switches machines of one pool, and lets people in."""

    async def look(self, machine_ids: Sequence[str]) -> list[SeenMachine]:
        """How machines stand; those that are gone are left out."""
        ...

    async def stop(self, machine_id: str) -> None:
        """Switch it off; its disk stays. Off already is not an error. Raises Conflict for one that cannot be, such as a spot machine."""
        ...

    async def start(self, machine_id: str) -> None:
        """Switch it on again. On already is not an error. Raises CapacityExceeded."""
        ...

    async def let_in(self, machine: SeenMachine, user: str, key_name: str) -> int:
        """Let the public key of this name in, and return for how many seconds. Raises NotFound for a key that is not there."""
        ...


class VirtualMachines:
    """The machines of teams.

    Args:
        leases: what they are.
        pools: where they may be.
        settings: what providers are built with.
    """

    def __init__(self, leases: Leases, pools: PoolBook, settings: Settings) -> None:
        self._leases = leases
        self._pools = pools
        self._built: Built[MachinePower] = Built(lambda spec: provider_class(PROVIDERS[spec.provider])(spec, settings))

    def power(self, pool: str) -> MachinePower:
        """Who switches machines of a pool. Raises NotFound, or InvalidInput `not_offered` where none are made."""
        spec = self._pools.named(pool)
        if spec.provider not in PROVIDERS:
            names = ", ".join(each.name for each in self._pools.all() if each.provider in PROVIDERS) or "none"
            raise InvalidInput(
                f"Pool '{spec.name}' ({spec.provider}) makes no machines.", remedy=f"Pools that do: {names}.", code="not_offered"
            )
        return self._built.of(spec)

    async def list(self, tenant: str | None, limit: int = 100, offset: int = 0) -> list[Vm]:
        """The machines of a team, or of all, newest first. A pool that does not answer shows them as they were leased."""
        leases = [each for each in await self._leases.list(tenant, limit=limit, offset=offset) if each.purpose.startswith(PURPOSE)]
        pools = sorted({each.pool for each in leases})
        seen = await asyncio.gather(*(self._seen(pool, [each for each in leases if each.pool == pool]) for pool in pools))
        known = {machine.id: machine for part in seen for machine in part}
        return [vm_of(lease, known.get(machine_of(lease))) for lease in leases]

    async def get(self, vm_id: str, tenant: str | None) -> Vm:
        """One machine. Raises NotFound, also for another team's."""
        lease = await self._lease(vm_id, tenant)
        if not machine_of(lease) or not lease.state.held:
            return vm_of(lease, None)
        found = await self.power(lease.pool).look([machine_of(lease)])
        return vm_of(lease, found[0] if found else SeenMachine(id=machine_of(lease), state="gone"))

    async def stop(self, vm_id: str, tenant: str | None) -> Vm:
        """Switch it off. Its slots stay the team's and are charged: nobody else gets the machine. Raises NotFound, Conflict."""
        vm = await self._standing(vm_id, tenant)
        await self.power(vm.pool).stop(vm.machine_id)
        return await self.get(vm_id, tenant)

    async def start(self, vm_id: str, tenant: str | None) -> Vm:
        """Switch it on again. Raises NotFound, Conflict, CapacityExceeded."""
        vm = await self._standing(vm_id, tenant)
        await self.power(vm.pool).start(vm.machine_id)
        return await self.get(vm_id, tenant)

    async def let_in(self, vm_id: str, tenant: str | None, user: str, key_name: str) -> SshDoor:
        """Let a key in that the account knows by this name; no key comes through here. Raises NotFound, Conflict for one that is off."""
        vm = await self._standing(vm_id, tenant)
        if vm.state != "running":
            raise Conflict(f"Machine {vm.name} is {vm.state}.", remedy="Start it, or wait until it runs.", code="vm_not_running")
        machine = SeenMachine(id=vm.machine_id, state=vm.state, address=vm.address, zone=vm.zone)
        seconds = await self.power(vm.pool).let_in(machine, user, key_name)
        return SshDoor(vm_id=vm.id, user=user, address=vm.address, zone=vm.zone, seconds=seconds)

    async def _seen(self, pool: str, leases: Sequence[Lease]) -> Sequence[SeenMachine]:
        ids = [machine_of(each) for each in leases if machine_of(each)]
        try:
            return await self.power(pool).look(ids) if ids else []
        except LineshaftError:
            return []

    async def _lease(self, vm_id: str, tenant: str | None) -> Lease:
        try:
            lease = await self._leases.of(vm_id, tenant)
        except NotFound as error:
            raise unknown_vm(vm_id) from error
        if not lease.purpose.startswith(PURPOSE):
            raise unknown_vm(vm_id)
        return lease

    async def _standing(self, vm_id: str, tenant: str | None) -> Vm:
        vm = await self.get(vm_id, tenant)
        if vm.state in {"gone", "making"}:
            reason = f"Machine {vm.name} is {'not there yet' if vm.state == 'making' else 'gone'}."
            raise Conflict(reason, remedy="Wait for it, or launch another one.", code="vm_not_running")
        return vm


def machine_of(lease: Lease) -> str:
    """The one machine of a lease; nothing while it is made."""
    return lease.machines[0] if lease.machines else ""


def vm_of(lease: Lease, seen: SeenMachine | None) -> Vm:
    """A lease as the machine that it is."""
    state = "gone" if not lease.state.held else "making" if lease.state is LeaseState.GRANTING else seen.state if seen else "pending"
    return Vm(
        id=lease.id,
        name=lease.purpose.removeprefix(PURPOSE),
        tenant=lease.tenant,
        pool=lease.pool,
        machine=lease.machine,
        accelerator=lease.accelerator,
        machine_id=machine_of(lease),
        state=state,
        address=seen.address if seen else "",
        zone=seen.zone if seen else "",
        expires_at=lease.expires_at,
    )


def unknown_vm(vm_id: str) -> NotFound:
    """What is said of a machine that is not there, or another team's."""
    return NotFound(f"There is no machine {vm_id[:64]!r}.", remedy="lineshaft vms list shows yours.", code="vm_unknown")

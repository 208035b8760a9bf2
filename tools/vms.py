"""Tools over virtual machines: leases of one machine, with a name."""

from pydantic import Field

from factory_infra.errors import LineshaftError, PostconditionFailed
from factory_infra.foundation.pools.spec import PriceClass
from factory_infra.iaas.kubernetes.vms import PURPOSE, VirtualMachines
from factory_infra.iaas.kubernetes.vms_models import Vm, VmName
from tools import leases
from tools.plan import DryRun, Effect, Price
from tools.spec import Arguments, Raw, Result, Tool, ToolContext, refused, text_argument

OFF, ON = {"stopping", "stopped"}, {"pending", "running"}


def machines_of(context: ToolContext) -> VirtualMachines:
    """The machines of the installation."""
    factory = context.factory
    return VirtualMachines(factory.leases, factory.pools, factory.settings)


class ListArguments(Arguments):
    """Nothing is asked."""


class VmLine(Result):
    """One machine."""

    vm_id: str
    name: str
    pool: str
    machine: str
    state: str
    expires_at: str


class VmList(Result):
    """A team's machines."""

    vms: list[VmLine]


def line(vm: Vm) -> VmLine:
    """Shape a machine for a reader."""
    return VmLine(vm_id=vm.id, name=vm.name, pool=vm.pool, machine=vm.machine, state=vm.state, expires_at=vm.expires_at.isoformat())


async def list_vms(context: ToolContext, arguments: ListArguments) -> VmList:
    """List the team's virtual machines, newest first."""
    return VmList(vms=[line(vm) for vm in await machines_of(context).list(context.tenant)])


class LaunchArguments(Arguments):
    """What machine, for how long."""

    name: VmName = Field(description="What the team calls it.")
    pool: str = Field(max_length=40, description="A pool in which machines are made.")
    slots: int = Field(default=1, ge=1, le=1000, description="At least so many accelerators, or vCPUs, in it.")
    seconds: int = Field(default=3600, ge=60, le=604_800, description="Then it is removed, unless its lease is renewed.")
    accelerator: str = Field(default="", max_length=64, description="The type, such as L4; any if empty.")
    price_class: PriceClass | None = Field(default=None, description="On demand, spot, reserved; the pool's own if left out.")


def lease_of(arguments: LaunchArguments) -> leases.AcquireArguments:
    """The lease that the machine is."""
    return leases.AcquireArguments(
        slots=arguments.slots,
        purpose=PURPOSE + arguments.name,
        seconds=arguments.seconds,
        pool=arguments.pool,
        accelerator=arguments.accelerator,
        price_class=arguments.price_class,
        topology="node",
    )


async def launch(context: ToolContext, arguments: LaunchArguments) -> leases.Granted:
    """Launch one virtual machine for the team, against its quota and budget. It is removed when its time is over."""
    machines_of(context).power(arguments.pool)
    return await leases.acquire(context, lease_of(arguments))


async def dry_run_launch(context: ToolContext, raw: Raw) -> DryRun:
    """Ask whether machines are made there, and whether quota and pool have room."""
    try:
        arguments = LAUNCH.parse(raw)
        machines_of(context).power(arguments.pool)
    except LineshaftError as error:
        return refused(error)
    return await leases.dry_run_acquire(context, lease_of(arguments).model_dump(mode="json"))


async def price_launch(context: ToolContext, raw: Raw) -> Price:
    """Price the machine for its time."""
    try:
        arguments = LAUNCH.parse(raw)
    except LineshaftError as error:
        return Price(currency=context.factory.metering.prices.currency, basis=error.reason)
    return await leases.price_acquire(context, lease_of(arguments).model_dump(mode="json"))


async def verify_launch(context: ToolContext, arguments: LaunchArguments, result: leases.Granted) -> None:
    """The lease is active and reserved, and the machine is there."""
    await leases.verify_acquire(context, lease_of(arguments), result)
    vm = await machines_of(context).get(result.lease_id, context.tenant)
    if vm.state == "gone":
        raise PostconditionFailed(f"Machine {vm.name} is gone.")


async def undo_launch(context: ToolContext, arguments: LaunchArguments, result: leases.Granted) -> str:
    """Remove the machine and settle its lease."""
    return await leases.undo_acquire(context, lease_of(arguments), result)


class VmArguments(Arguments):
    """Which machine."""

    vm_id: str = Field(max_length=64)


async def stop(context: ToolContext, arguments: VmArguments) -> VmLine:
    """Switch a virtual machine off. Its disk stays, and so do its slots and their price; what only lay in its memory is lost."""
    return line(await machines_of(context).stop(arguments.vm_id, context.tenant))


async def start(context: ToolContext, arguments: VmArguments) -> VmLine:
    """Switch a virtual machine on again."""
    return line(await machines_of(context).start(arguments.vm_id, context.tenant))


async def dry_run_switch(context: ToolContext, raw: Raw) -> DryRun:
    """The machine must be there."""
    vm_id = text_argument(raw, "vm_id")
    if vm_id is None:
        return DryRun()
    try:
        vm = await machines_of(context).get(vm_id, context.tenant)
    except LineshaftError as error:
        return refused(error)
    if vm.state == "gone":
        return DryRun(feasible=False, code="vm_not_running", reason=f"Machine {vm.name} is gone.", remedy="Launch another one.")
    return DryRun(reason=f"{vm.name} is {vm.state} now")


async def verify_stop(context: ToolContext, arguments: VmArguments, result: VmLine) -> None:
    """It is off, or goes off."""
    await expect(context, arguments.vm_id, OFF)


async def verify_start(context: ToolContext, arguments: VmArguments, result: VmLine) -> None:
    """It is on, or comes up."""
    await expect(context, arguments.vm_id, ON)


async def expect(context: ToolContext, vm_id: str, states: set[str]) -> None:
    """Raise PostconditionFailed unless the machine is in one of the states."""
    vm = await machines_of(context).get(vm_id, context.tenant)
    if vm.state not in states:
        raise PostconditionFailed(f"Machine {vm.name} is {vm.state}.")


async def undo_stop(context: ToolContext, arguments: VmArguments, result: VmLine) -> str:
    """Switch it on again."""
    await machines_of(context).start(arguments.vm_id, context.tenant)
    return f"{result.name} is switched on again"


async def undo_start(context: ToolContext, arguments: VmArguments, result: VmLine) -> str:
    """Switch it off again."""
    await machines_of(context).stop(arguments.vm_id, context.tenant)
    return f"{result.name} is switched off again"


async def terminate(context: ToolContext, arguments: VmArguments) -> leases.Released:
    """Remove a virtual machine with its disks, and charge what was used. What was not stored elsewhere is lost."""
    await machines_of(context).get(arguments.vm_id, context.tenant)
    return await leases.release(context, leases.ReleaseArguments(lease_id=arguments.vm_id))


async def verify_terminate(context: ToolContext, arguments: VmArguments, result: leases.Released) -> None:
    """Its lease has ended, and nothing is reserved for it."""
    await leases.verify_release(context, leases.ReleaseArguments(lease_id=arguments.vm_id), result)


LAUNCH = Tool(
    "vms.launch",
    Effect.COSTLY,
    LaunchArguments,
    leases.Granted,
    launch,
    dry_run_launch,
    price_launch,
    verify_launch,
    undo_launch,
    undo_words="remove the machine",
    postcondition="the machine is there, leased and reserved in the ledger",
)

TOOLS = (
    Tool("vms.list", Effect.READ, ListArguments, VmList, list_vms),
    LAUNCH,
    Tool(
        "vms.stop",
        Effect.WRITE,
        VmArguments,
        VmLine,
        stop,
        dry_run_switch,
        None,
        verify_stop,
        undo_stop,
        undo_words="switch the machine on again",
        postcondition="the machine is off, or goes off",
    ),
    Tool(
        "vms.start",
        Effect.WRITE,
        VmArguments,
        VmLine,
        start,
        dry_run_switch,
        None,
        verify_start,
        undo_start,
        undo_words="switch the machine off again",
        postcondition="the machine is on, or comes up",
    ),
    Tool(
        "vms.terminate",
        Effect.DESTRUCTIVE,
        VmArguments,
        leases.Released,
        terminate,
        dry_run_switch,
        None,
        verify_terminate,
        undo_words="cannot be undone: what lay on its disks is gone",
        postcondition="the machine is gone and its lease is settled",
    ),
)

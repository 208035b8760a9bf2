"""Tools over virtual machines: launched once for a key, switched, and removed with their lease; the ledger says the same."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest
import yaml
from pydantic import SecretStr

from factory_infra.errors import InvalidInput, NotFound
from factory_infra.factory import Factory, connect
from factory_infra.settings import Settings
from tests.emulators.aws.server import Emulator
from tests.emulators.aws.standing import KEYS, standing
from tests.parts import NOWHERE
from tools import vms
from tools.spec import ToolContext
from tools.vms import LaunchArguments, ListArguments, VmArguments

pytestmark = pytest.mark.stack
WANTED = LaunchArguments(name="reader", pool="cloud", accelerator="L4", seconds=3600)


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Emulator:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    found = standing()
    found.fresh()
    return found


@pytest.fixture
async def context(connected: Settings, emulator: Emulator) -> AsyncIterator[ToolContext]:
    cloud = {"name": "cloud", "provider": "aws", "region": "us-east-1", "endpoint_url": emulator.address}
    pools = [{"name": "local", "provider": "local"}, {**cloud, "instance_types": ["g6.xlarge"], "slots_max": 2, "settle_seconds": 0.1}]
    connected.pools_file.parent.mkdir(parents=True, exist_ok=True)
    connected.pools_file.write_text(yaml.safe_dump({"pools": pools}))
    known = {"mlflow_url": NOWHERE, "chroma_url": NOWHERE, "model_server_url": NOWHERE, "model_server_key": SecretStr("k")}
    factory = connect(connected.model_copy(update=known))
    await factory.tenants.create("vision", quota_slots=2, budget=Decimal(500))
    yield ToolContext(factory, "vision", "ann", "plan-1/vm", plan_id="plan-1", thread_id="thread-1", agent="provisioner")
    await factory.close()


async def gone(factory: Factory, context: ToolContext) -> bool:
    return (await factory.metering.reconcile()).equal and await factory.metering.open_reservations() == []


async def test_a_machine_from_launch_to_removal(context: ToolContext, emulator: Emulator) -> None:
    raw = WANTED.model_dump(mode="json")
    assert (await vms.dry_run_launch(context, raw)).feasible
    assert (await vms.price_launch(context, raw)).high
    launched = await vms.launch(context, WANTED)
    again = await vms.launch(context, WANTED)
    assert again == launched and len(launched.machines) == 1
    await vms.verify_launch(context, WANTED, launched)
    asked = VmArguments(vm_id=launched.lease_id)
    assert [(vm.name, vm.machine, vm.state) for vm in (await vms.list_vms(context, ListArguments())).vms] == [
        ("reader", "g6.xlarge", "running")
    ]
    off = await vms.stop(context, asked)
    await vms.verify_stop(context, asked, off)
    assert "on again" in await vms.undo_stop(context, asked, off)
    await vms.verify_start(context, asked, await vms.start(context, asked))
    removed = await vms.terminate(context, asked)
    await vms.verify_terminate(context, asked, removed)
    assert (await vms.list_vms(context, ListArguments())).vms == [] and await gone(context.factory, context)


async def test_undo_removes_it(context: ToolContext, emulator: Emulator) -> None:
    launched = await vms.launch(context, WANTED)
    assert launched.lease_id in await vms.undo_launch(context, WANTED, launched)
    assert await gone(context.factory, context)


async def test_what_cannot_be_is_refused(context: ToolContext) -> None:
    here = WANTED.model_copy(update={"pool": "local"})
    assert (await vms.dry_run_launch(context, here.model_dump(mode="json"))).code == "not_offered"
    with pytest.raises(InvalidInput):
        await vms.launch(context, here)
    other = replace(context, tenant="language")
    for ask in (vms.stop, vms.start, vms.terminate):
        with pytest.raises(NotFound):
            await ask(other, VmArguments(vm_id="lease-0000000000000000"))
    assert not (await vms.dry_run_switch(context, {"vm_id": "lease-0000000000000000"})).feasible

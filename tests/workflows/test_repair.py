"""XID 79 on a simulated H100, all the way: told, doubted, planned once under policy, drained, replaced, validated, handed out."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.worker import Worker

from factory_infra.errors import CapacityExceeded
from factory_infra.factory import Factory
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.foundation.reliability.node_models import Incident, NodeAccelerator, NodeReport
from factory_infra.foundation.reliability.nodes import Nodes
from factory_infra.foundation.telemetry.agent import Identity, NodeAgent, Sources
from factory_infra.foundation.telemetry.providers.neuron import NeuronReader
from factory_infra.foundation.telemetry.providers.nvml import NvmlReader
from factory_infra.foundation.telemetry.spool import Spool
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.leases.service import Leases
from factory_infra.paas.tenants.bootstrap import ensure_platform_team
from factory_infra.records.models import PlanRecord
from factory_infra.settings import Settings
from tests.emulators.machines import MakerPools, MemoryMaker
from tests.nvml.library import build
from tests.nvml.simulator import Simulator, simulated
from tests.parts import factory_with_slots
from tests.workflows.line import development_server
from tools.plan import Plan, PlanState
from workflows.activities.audit import AuditActivities
from workflows.activities.policy import PolicyActivities
from workflows.activities.records import RecordActivities
from workflows.activities.steps import StepActivities
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.thread import ThreadWorkflow
from workflows.messages import Decision, Who
from workflows.proposal import Starter
from workflows.repair import plan_for, repair_all
from workflows.sandbox import sandbox

pytestmark = pytest.mark.stack

POOL = "local"
ROOT = Who(actor="root (1)", role="admin", tenant=None)
POLICY = """
version: "test"
defaults:
  write: {then: approve}
  costly: {then: approve}
  destructive: {then: approve}
rules:
  - {name: nodes-mend-themselves, when: {tool: ["nodes.*"], agent: maintainer}, then: run}
"""


@dataclass
class Floor:
    """A pool of one node with eight H100, an agent on it, and what makes machines."""

    starter: Starter
    machine: Simulator
    agent: NodeAgent
    maker: MemoryMaker

    @property
    def factory(self) -> Factory:
        return self.starter.factory

    @property
    def nodes(self) -> Nodes:
        return Nodes(self.factory.database)

    async def tell(self) -> None:
        """Read once, and have the API's service told, as its door does."""
        self.agent.tick()
        await self.nodes.report(POOL, self.agent.identity.name, self.agent.report())
        waiting = self.agent.spool.first(100)
        await self.nodes.record(POOL, self.agent.identity.name, waiting)
        self.agent.spool.done({event.id for event in waiting})

    async def ended(self, plan: PlanRecord) -> PlanRecord:
        """Wait for a plan's end; a new machine reports meanwhile, as its agent would."""
        fine = NodeReport(accelerator="H100", driver="ok", accelerators=[NodeAccelerator(index=index) for index in range(8)])
        async with asyncio.timeout(60):
            while True:
                found = await self.factory.records.plan(plan.id, None)
                if found.state not in {PlanState.PROPOSED, PlanState.APPROVED, PlanState.RUNNING}:
                    return found
                for name in self.maker.machines:
                    if name.startswith("i-new"):
                        await self.nodes.report(POOL, name, fine)
                await asyncio.sleep(0.2)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client() -> AsyncIterator[Client]:
    """A client of a server whose clock does not jump: a plan that waits for a person must not run out before the person is asked."""
    async with development_server() as connected:
        yield connected


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Simulator]:
    """Eight H100 that this process sees."""
    with simulated(build(tmp_path), tmp_path / "state") as made:
        yield made


@pytest.fixture
async def floor(client: Client, connected: Settings, machine: Simulator, tmp_path: Path) -> AsyncIterator[Floor]:
    """The floor with a worker of the real workflows and activities."""
    policy = tmp_path / "policy.yaml"
    built, maker, queue = factory_with_slots(connected.model_copy(update={"policy": policy}), 1), MemoryMaker("i-old"), uuid.uuid4().hex
    factory = replace(built, clusters=MakerPools(maker))
    await ensure_platform_team(factory.tenants)
    policy.write_text(POLICY)
    sources = Sources(NvmlReader(slow_seconds=0), NeuronReader(("no-such",)), tmp_path)
    agent = NodeAgent(Identity(POOL, "i-old"), sources, Spool(tmp_path / "spool"))
    steps, records = StepActivities(factory), RecordActivities(factory)
    activities: list[Callable[..., Any]] = [
        *(steps.run, steps.verify, steps.undo, PolicyActivities(factory).judge_plan, AuditActivities(factory).audit),
        *(records.write_events, records.save_plan, records.move_plan, records.save_approval, records.report_plan),
    ]
    worker = Worker(client, task_queue=queue, workflows=[PlanWorkflow, ThreadWorkflow], activities=activities, workflow_runner=sandbox())
    async with worker:
        yield Floor(Starter(factory, client, queue), machine, agent, maker)
    agent.close()
    await factory.close()


async def break_down(floor: Floor) -> None:
    """The node is well; then GPU 3 raises XID 79 and falls off the bus."""
    await floor.tell()
    assert await floor.nodes.unfit(POOL) == set()
    floor.machine.xid(3, 79)
    floor.machine.lose(3)
    await floor.tell()


async def test_xid_79_is_drained_and_replaced_by_one_plan(floor: Floor) -> None:
    await break_down(floor)
    assert await floor.nodes.unfit(POOL) == {"i-old"}
    (plan,) = await repair_all(floor.starter, set())
    await floor.tell()
    assert await repair_all(floor.starter, set()) == []
    end = await floor.ended(plan)
    assert end.state == PlanState.DONE, end.outcome
    assert floor.maker.machines == ["i-new-1"]
    old, new = await floor.nodes.history(POOL, "i-old"), await floor.nodes.get(POOL, "i-new-1")
    assert [(move.was, move.now) for move in reversed(old.moves)] == [
        ("healthy", "suspect"),
        ("suspect", "draining"),
        ("draining", "repairing"),
        ("repairing", "retired"),
    ]
    assert (new.health, await floor.nodes.unfit(POOL)) == ("healthy", {"i-old"})
    (incident,) = old.incidents
    assert (incident.plan_id, incident.closed_at is not None) == (plan.id, True)
    assert len(await floor.factory.records.plans(None)) == 1
    assert (await floor.nodes.figures(POOL)).mttr.events == 1


async def test_control_without_a_plan_that_is_kept_and_named_by_its_incident_there_are_two(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forgetful(self: Nodes, incident_id: str, plan_id: str) -> None:
        return

    def anew(incident: Incident, *, by_hand: bool) -> Plan:
        name = uuid.uuid4().hex[:12]
        return plan_for(incident, by_hand=by_hand).model_copy(update={"id": f"plan-{name}", "thread_id": f"thread-{name}"})

    await break_down(floor)
    (floor.factory.settings.policy or Path()).write_text(POLICY.partition("rules:")[0])
    monkeypatch.setattr(Nodes, "planned", forgetful)
    assert len({plan.id for _ in range(2) for plan in await repair_all(floor.starter, set())}) == 1  # its name alone makes it one
    monkeypatch.setattr("workflows.repair.plan_for", anew)
    assert len({plan.id for _ in range(2) for plan in await repair_all(floor.starter, set())}) == 2


async def test_without_a_policy_that_says_so_a_person_approves_it_first(floor: Floor) -> None:
    (floor.factory.settings.policy or Path()).write_text(POLICY.partition("rules:")[0])
    await break_down(floor)
    (plan,) = await repair_all(floor.starter, set())
    assert plan.state == PlanState.PROPOSED
    assert (await floor.nodes.get(POOL, "i-old")).health == "suspect"
    assert floor.maker.machines == ["i-old"]
    handle = floor.starter.temporal.get_workflow_handle_for(PlanWorkflow.run, plan.id)
    await handle.execute_update(PlanWorkflow.decide, Decision(approve=True, digest=plan.digest, who=ROOT))
    assert (await floor.ended(plan)).state == PlanState.DONE
    assert floor.maker.machines == ["i-new-1"]


async def test_where_no_machines_are_made_the_plan_ends_by_handing_it_to_a_person(floor: Floor) -> None:
    by_hand = replace(floor.starter, factory=replace(floor.factory, clusters=MakerPools(None)))
    await break_down(floor)
    (plan,) = await repair_all(by_hand, set())
    assert [step.id for step in Plan.model_validate(plan.document).steps] == ["drain", "empty", "replace"]
    drain = Plan.model_validate(plan.document).steps[2].dry_run
    assert drain is not None and "by hand" in drain.reason


async def test_a_refusal_is_told_once_and_holds_up_no_other(floor: Floor) -> None:
    refusing = POLICY.replace("then: run}", "then: refuse}")
    (floor.factory.settings.policy or Path()).write_text(refusing)
    await break_down(floor)
    told: set[str] = set()
    assert await repair_all(floor.starter, told) == await repair_all(floor.starter, told) == []
    assert len(told) == 1
    assert await floor.nodes.unfit(POOL) == {"i-old"}


async def test_a_node_that_is_not_healthy_is_not_handed_out(floor: Floor) -> None:
    class Eight:
        async def pool(self, name: str = "") -> Pool:
            return Pool(name=POOL, slots=[Slot(index=index, kind="gpu", name="H100", memory_gib=80, node="i-old") for index in range(8)])

    leases = Leases(floor.factory.database, Eight(), fitness=(floor.nodes,))
    await leases.set_quota("vision", 8)
    await floor.tell()
    assert (await leases.acquire(LeaseRequest(tenant="vision", slots=1, key="before"))).slots == [0]
    await break_down_now(floor)
    with pytest.raises(CapacityExceeded):
        await leases.acquire(LeaseRequest(tenant="vision", slots=1, key="after"))


async def break_down_now(floor: Floor) -> None:
    floor.machine.xid(3, 79)
    await floor.tell()

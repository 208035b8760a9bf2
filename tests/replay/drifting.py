"""One look for drift, for its stored history: more monitors than are compared at once, and one of them that cannot be."""

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from factory_infra.errors import NotFound
from workflows.definitions.drift import DriftWorkflow
from workflows.drifting import Answer, Answers, Comparison, DriftInput, DueMonitors, MonitorName
from workflows.failures import to_application_error
from workflows.sandbox import sandbox

LOOK = "drift-replay"
NAMES = ("a", "b", "c")


@activity.defn(name="due_monitors")
async def due(request: DriftInput) -> DueMonitors:
    """Three."""
    return DueMonitors(monitors=[MonitorName(tenant="vision", name=name) for name in NAMES])


@activity.defn(name="check_monitor")
async def check(request: MonitorName) -> Comparison:
    """The first is gone, the second drifted."""
    if request.name == "a":
        raise to_application_error(NotFound("Its view is gone."))
    drifted = request.name == "b"
    return Comparison(
        tenant=request.tenant, name=request.name, verdict="drifted" if drifted else "calm", alert_id="drift-1" if drifted else ""
    )


@activity.defn(name="answer_drift")
async def answer() -> Answers:
    """A plan is proposed."""
    return Answers(answers=[Answer(alert_id="drift-1", plan_id="plan-drift-1")])


async def play_look(client: Client, queue: str) -> None:
    """Look once."""
    worker = Worker(client, task_queue=queue, workflows=[DriftWorkflow], activities=[due, check, answer], workflow_runner=sandbox())
    async with worker:
        await client.execute_workflow(DriftWorkflow.run, DriftInput(), id=LOOK, task_queue=queue)

"""A thread of 500 turns: its history is cut again and again, and no piece of it comes near Temporal's limits."""

import uuid
from collections.abc import Iterator

import pytest

from agents.memory import remember
from agents.state import Asker, Memory, TurnInput
from tests.workflows.line import ANN, JsonObject, Line, until
from tools.ports import Ports
from workflows import graphs
from workflows.definitions.thread import TURNS_PER_RUN, WAITING_MAX, ThreadWorkflow
from workflows.messages import ThreadInput, UserMessage

pytestmark = pytest.mark.stack

TURNS = 500
EVENTS_MAX = 5_000
BYTES_MAX = 2_000_000
EARLY = "lease-00000000000000e1"


async def remembering(ports: Ports, turn: JsonObject) -> JsonObject:
    """A graph that reads once, answers, and keeps what the product's memory keeps."""
    heard = TurnInput.model_validate({**turn, "who": Asker(actor="ann", role="user", tenant="vision")})
    await ports.emit("message.assistant", {"text": heard.text, "citations": []})
    return {"memory": remember(heard, None).model_dump(mode="json")}


@pytest.fixture(autouse=True)
def dispatch() -> Iterator[None]:
    """The scripted graph stands in for the registered one."""
    graphs.register("dispatch", remembering)
    yield


async def test_five_hundred_turns_stay_below_the_limits(line: Line) -> None:
    name = f"thread-{uuid.uuid4().hex[:8]}"
    start = ThreadInput(thread_id=name, tenant="vision")
    handle = await line.client.start_workflow(ThreadWorkflow.run, start, id=name, task_queue=line.queue)

    def done() -> int:
        return sum(1 for kind, argument in line.script.calls if kind == "write_event" and argument["kind"] == "turn.done")

    for number in range(TURNS):
        text = f"take {EARLY}" if number == 2 else f"about job-{number:016x}, " + "and more of it " * 20
        await handle.execute_update(ThreadWorkflow.send, UserMessage(id=f"m{number}", text=text, who=ANN))
        if number % (WAITING_MAX // 2) == 0:
            await until(lambda sent=number: done() >= sent, 30)  # type: ignore[misc]
    await until(lambda: done() >= TURNS, 60)

    run_id, runs, memory = handle.first_execution_run_id, 0, Memory()
    while run_id:
        history = await line.client.get_workflow_handle(name, run_id=run_id).fetch_history()
        assert len(history.events) < EVENTS_MAX
        assert sum(event.ByteSize() for event in history.events) < BYTES_MAX
        runs += 1
        run_id = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
        carried = history.events[0].workflow_execution_started_event_attributes.input
        (given,) = await line.client.data_converter.decode(list(carried.payloads), [ThreadInput])
        memory = Memory.model_validate(given.memory or {})
    assert runs >= TURNS // TURNS_PER_RUN
    assert EARLY in memory.identifiers
    await line.client.get_workflow_handle(name).terminate()

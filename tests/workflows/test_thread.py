"""A thread's workflow: each message once and in order, memory from turn to turn and across a cut of the history."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from factory_infra.errors import InvalidInput
from tests.workflows.line import ANN, JsonObject, Line, plan, step, until
from tools.plan import PlanState
from tools.ports import Ports
from workflows import graphs
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.thread import TURNS_PER_RUN, WAITING_MAX, ThreadWorkflow
from workflows.messages import Accepted, Decision, PlanEnded, ThreadInput, UserMessage

pytestmark = pytest.mark.stack

Thread = WorkflowHandle[ThreadWorkflow, None]


async def echo(ports: Ports, turn: JsonObject) -> JsonObject:
    """A graph that says what it heard and remembers all of it; some words make it do more."""
    memory = turn["memory"] if isinstance(turn["memory"], dict) else {}
    heard = [*(memory.get("heard") or []), turn["text"]]  # type: ignore[misc]
    if turn["text"] in {"slow", "broken"}:
        await ports.call("run_step", {"step": {"id": str(turn["text"])}})
    await ports.emit("message.assistant", {"text": f"{turn['text']}!", "heard": heard})
    result: JsonObject = {"memory": {"heard": heard}}
    if turn["text"] == "plan":
        made = plan(step("a"), id=str(turn["plan_id"]), thread_id=str(turn["thread_id"]))
        result["plan"] = made.model_dump(mode="json")
    return result


@pytest.fixture(autouse=True)
def dispatch() -> Iterator[None]:
    """The scripted graph stands in for the registered one."""
    graphs.register("dispatch", echo)
    yield


@pytest.fixture
async def thread(line: Line) -> AsyncIterator[Thread]:
    name = f"thread-{uuid.uuid4().hex[:8]}"
    start = ThreadInput(thread_id=name, tenant="vision")
    handle = await line.client.start_workflow(ThreadWorkflow.run, start, id=name, task_queue=line.queue)
    yield handle
    await line.client.get_workflow_handle(name).terminate()


async def send(thread: Thread, text: str, identity: str | None = None) -> Accepted:
    """Send a message, each time as an update of its own: what makes it one must be the message's id."""
    message = UserMessage(id=identity or uuid.uuid4().hex, text=text, who=ANN)
    return await thread.execute_update(ThreadWorkflow.send, message)


def events(line: Line, kind: str) -> list[JsonObject]:
    found = [argument for name, argument in line.script.calls if name == "write_event" and argument["kind"] == kind]
    return [each["payload"] for each in found if isinstance(each["payload"], dict)]


def heard(line: Line) -> list[object]:
    return [each["text"] for each in events(line, "message.user")]


async def turns_done(line: Line, count: int) -> None:
    await until(lambda: len(events(line, "turn.done")) >= count, 30)


class TestMessages:
    async def test_are_worked_on_one_after_the_other_in_order(self, line: Line, thread: Thread) -> None:
        texts = ["slow", *(f"m{number}" for number in range(5))]
        for text in texts:
            await send(thread, text)
        await turns_done(line, 6)
        assert heard(line) == texts
        kinds = [kind for kind in line.script.events() if kind in {"message.user", "turn.done"}]
        assert kinds == ["message.user", "turn.done"] * 6
        assert [each["turn"] for each in events(line, "turn.done")] == [1, 2, 3, 4, 5, 6]

    async def test_the_same_id_is_worked_on_once(self, line: Line, thread: Thread) -> None:
        await asyncio.gather(*(send(thread, "hello", "m-1") for _ in range(5)))
        await send(thread, "bye", "m-2")
        await send(thread, "hello", "m-1")
        await turns_done(line, 2)
        await send(thread, "end", "m-3")
        await turns_done(line, 3)
        assert heard(line) == ["hello", "bye", "end"]

    async def test_the_memory_of_a_turn_is_the_next_ones(self, line: Line, thread: Thread) -> None:
        for number, text in enumerate(("a", "b", "c")):
            await send(thread, text)
            await turns_done(line, number + 1)
        assert [each["heard"] for each in events(line, "message.assistant")] == [["a"], ["a", "b"], ["a", "b", "c"]]

    async def test_too_many_that_wait_are_refused_and_a_known_one_is_not(self, line: Line, thread: Thread) -> None:
        free = asyncio.Event()

        async def hold(_: JsonObject) -> JsonObject:
            await asyncio.wait_for(free.wait(), 20)
            return {}

        line.script.on("run_step", "slow", hold)
        await send(thread, "slow")
        await until(lambda: "run_step slow" in line.script.effects())
        for number in range(WAITING_MAX):
            await send(thread, "x", f"m-{number}")
        with pytest.raises(WorkflowUpdateFailedError) as raised:
            await send(thread, "one too many")
        assert isinstance(raised.value.cause, ApplicationError)
        assert raised.value.cause.type == "too_many_messages"
        await send(thread, "x", "m-3")
        free.set()
        await turns_done(line, WAITING_MAX + 1)
        assert len(heard(line)) == WAITING_MAX + 1

    async def test_a_turn_that_breaks_is_told_and_the_thread_goes_on(self, line: Line, thread: Thread) -> None:
        line.script.on("run_step", "broken", InvalidInput("It cannot be.", remedy="Say it otherwise."))
        await send(thread, "a")
        await send(thread, "broken")
        await send(thread, "b")
        await turns_done(line, 3)
        assert events(line, "refusal") == [{"code": "invalid_input", "reason": "It cannot be.", "remedy": "Say it otherwise."}]
        assert events(line, "message.assistant")[-1]["heard"] == ["a", "b"]


class TestHistory:
    async def test_a_cut_keeps_memory_order_and_what_was_seen(self, line: Line, thread: Thread) -> None:
        texts = [f"m{number}" for number in range(TURNS_PER_RUN + 3)]
        for text in texts:
            await send(thread, text, text)
            await turns_done(line, texts.index(text) + 1)
        await send(thread, "m0", "m0")
        await send(thread, texts[-1], texts[-1])
        await send(thread, "end", "end")
        await turns_done(line, len(texts) + 1)
        described = await line.client.get_workflow_handle(thread.id).describe()
        assert described.run_id != thread.first_execution_run_id
        assert heard(line) == [*texts, "end"]
        assert events(line, "message.assistant")[-1]["heard"] == [*texts, "end"]
        assert [each["turn"] for each in events(line, "turn.done")] == list(range(1, len(texts) + 2))
        keys = [str(argument["key"]) for name, argument in line.script.calls if name == "write_event"]
        assert len(keys) == len(set(keys))


class TestPlans:
    async def test_a_plan_waits_for_its_decision_and_its_end_is_told(self, line: Line, thread: Thread) -> None:
        line.script.on("report_plan", "", {"text": "It is done.", "citations": [{"title": "t", "url": "/v1/x"}]})
        await send(thread, "plan")
        await turns_done(line, 1)
        name = str(events(line, "turn.done")[0]["plan_id"])
        assert name == f"plan-{thread.id.removeprefix('thread-')}-1"
        await until(lambda: "plan.proposed" in line.script.events())
        digest = str(events(line, "plan.proposed")[0]["digest"])
        handle = line.client.get_workflow_handle_for(PlanWorkflow.run, name)
        await handle.execute_update(PlanWorkflow.decide, Decision(approve=True, digest=digest, who=ANN))
        await until(lambda: len(events(line, "message.assistant")) == 2)
        told = events(line, "message.assistant")[-1]
        assert told == {"text": "It is done.", "citations": [{"title": "t", "url": "/v1/x"}], "plan_id": name, "state": "done"}

    async def test_the_next_message_does_not_wait_for_the_plan(self, line: Line, thread: Thread) -> None:
        await send(thread, "plan")
        await send(thread, "hello")
        await turns_done(line, 2)
        assert [each["text"] for each in events(line, "message.assistant")] == ["plan!", "hello!"]

    async def test_each_turn_has_a_plan_of_its_own(self, line: Line, thread: Thread) -> None:
        await send(thread, "plan")
        await send(thread, "plan")
        await turns_done(line, 2)
        assert len({each["plan_id"] for each in events(line, "turn.done")}) == 2
        await until(lambda: line.script.events().count("plan.proposed") == 2)

    async def test_ends_that_come_in_a_turn_are_told_after_it(self, line: Line, thread: Thread) -> None:
        free = asyncio.Event()

        async def hold(_: JsonObject) -> JsonObject:
            await asyncio.wait_for(free.wait(), 20)
            return {}

        line.script.on("run_step", "slow", hold)
        await send(thread, "slow")
        await until(lambda: "run_step slow" in line.script.effects())
        for number in range(2):
            ended = PlanEnded(plan_id=f"p{number}", state=PlanState.DONE, title="T", text=f"end {number}")
            await thread.signal(ThreadWorkflow.plan_ended, ended)
        free.set()
        await until(lambda: len(events(line, "message.assistant")) == 3)
        assert [each["text"] for each in events(line, "message.assistant")] == ["slow!", "end 0", "end 1"]

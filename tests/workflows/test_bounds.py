"""A turn that thinks: it is ended by a person or by its bounds, and the thread lives on."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHandle

from tests.workflows.line import ANN, JsonObject, Line, development_server, until
from tools.plan import Bounds
from tools.ports import Ports
from workflows import graphs
from workflows.definitions.meter import Meter
from workflows.definitions.thread import ThreadWorkflow
from workflows.messages import Kill, ThreadInput, UserMessage

pytestmark = pytest.mark.stack

Thread = WorkflowHandle[ThreadWorkflow, None]
WORDS_MAX = 200
LIMIT = 60
"""Where the control's loop ends by itself: far beyond any bound that is set here."""


async def runaway(ports: Ports, turn: JsonObject) -> JsonObject:
    """A graph that asks the model for ever, but for one word that lets it answer; and one that swallows what stops it."""
    text = turn["text"]
    if text != "hello":
        await ports.call("read_situation", {})
        for _ in range(LIMIT):
            try:
                await ports.call("ask_model", {"call": {"messages": [{"role": "user", "content": "x" * WORDS_MAX}], "tokens_max": 50}})
            except Exception:  # an agent that does not want to hear
                if text != "deaf":
                    raise
    await ports.emit("message.assistant", {"text": f"{text}!"})
    return {"memory": {"last": text}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client() -> AsyncIterator[Client]:
    """The real server: one whose clock jumps hangs now and then once an activity was cancelled in its middle."""
    async with development_server() as connected:
        yield connected


@pytest.fixture(autouse=True)
def dispatch() -> Iterator[None]:
    """The scripted graph stands in for the registered one."""
    graphs.register("dispatch", runaway)
    yield


@pytest.fixture
async def thread(line: Line) -> AsyncIterator[Thread]:
    name = f"thread-{uuid.uuid4().hex[:8]}"
    handle = await line.client.start_workflow(
        ThreadWorkflow.run, ThreadInput(thread_id=name, tenant="vision"), id=name, task_queue=line.queue
    )
    yield handle
    await line.client.get_workflow_handle(name).terminate()


async def say(thread: Thread, text: str) -> None:
    await thread.execute_update(ThreadWorkflow.send, UserMessage(id=uuid.uuid4().hex, text=text, who=ANN))


def bounded(line: Line, **bounds: float) -> None:
    """What the situation says of how far a run may go."""
    line.script.on("read_situation", "", {"bounds": Bounds.model_validate(bounds).model_dump(mode="json")})


async def ended(line: Line, turns: int) -> None:
    await until(lambda: line.script.events().count("turn.done") == turns, 30)


async def lives_on(line: Line, thread: Thread, turns: int = 2) -> None:
    """The next message is answered."""
    await say(thread, "hello")
    await ended(line, turns)
    assert line.script.events()[-2:] == ["message.assistant", "turn.done"]


class TestBounds:
    @pytest.mark.parametrize(
        ("bounds", "calls"),
        [
            ({"model_calls_max": 7}, 7),
            ({"model_calls_max": 0}, 0),
            ({"tokens_max": 150}, 6),  # a call may take 100 at the most, and takes 10: what is not used is given back
            ({"tokens_max": 99}, 0),
        ],
    )
    @pytest.mark.parametrize("text", ["loop", "deaf"])
    async def test_a_runaway_loop_is_stopped_before_it_passes_one(
        self, line: Line, thread: Thread, bounds: dict[str, float], calls: int, text: str
    ) -> None:
        bounded(line, **bounds)
        await say(thread, text)
        await ended(line, 1)
        assert len(line.script.called("ask_model")) == calls
        if text == "loop":
            assert line.script.event("refusal")["code"] == "bound_reached"
        await lives_on(line, thread)

    async def test_wall_time_is_a_bound(self, line: Line, thread: Thread) -> None:
        async def slow(_: JsonObject) -> JsonObject:
            await asyncio.sleep(0.3)
            return {"ok": True, "answer": {}}

        line.script.on("ask_model", "", slow)
        bounded(line, seconds_max=1)
        await say(thread, "loop")
        await ended(line, 1)
        assert 1 <= len(line.script.called("ask_model")) < 10
        assert line.script.event("refusal")["code"] == "bound_reached"

    async def test_each_turn_has_its_own(self, line: Line, thread: Thread) -> None:
        bounded(line, model_calls_max=2)
        for turn in (1, 2):
            await say(thread, "loop")
            await ended(line, turn)
        assert len(line.script.called("ask_model")) == 4

    async def test_control_without_the_meter_the_loop_goes_on(self, line: Line, thread: Thread, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Meter, "before", lambda *_: None)
        bounded(line, model_calls_max=2)
        await say(thread, "loop")
        await ended(line, 1)
        assert len(line.script.called("ask_model")) == LIMIT


class TestKill:
    @pytest.mark.parametrize("text", ["loop", "deaf"])
    async def test_a_thinking_turn_is_ended_and_the_thread_lives_on(self, line: Line, thread: Thread, text: str) -> None:
        free = asyncio.Event()

        async def think(_: JsonObject) -> JsonObject:
            await asyncio.wait_for(free.wait(), 20)
            return {"ok": True, "answer": {}}

        line.script.on("ask_model", "", think)
        await say(thread, text)
        await until(lambda: len(line.script.called("ask_model")) == 1)
        run = f"plan-{thread.id.removeprefix('thread-')}-1"
        await thread.signal(ThreadWorkflow.kill, Kill(run_id=run, who=ANN, reason="It loops."))
        await ended(line, 1)
        assert line.script.event("refusal") == {"code": "killed", "reason": "It loops.", "remedy": "Ask again."}
        assert len(line.script.called("ask_model")) == 1
        free.set()
        await lives_on(line, thread)

    async def test_another_runs_kill_ends_nothing(self, line: Line, thread: Thread) -> None:
        async def think(_: JsonObject) -> JsonObject:
            await thread.signal(ThreadWorkflow.kill, Kill(run_id="plan-of-another-1", who=ANN))
            return {"ok": True, "answer": {}}

        line.script.on("ask_model", "", think)
        bounded(line, model_calls_max=2)
        await say(thread, "loop")
        await ended(line, 1)
        assert line.script.event("refusal")["code"] == "bound_reached"

    async def test_a_late_one_ends_nothing(self, line: Line, thread: Thread) -> None:
        await say(thread, "hello")
        await ended(line, 1)
        run = f"plan-{thread.id.removeprefix('thread-')}-1"
        await thread.signal(ThreadWorkflow.kill, Kill(run_id=run, who=ANN))
        await lives_on(line, thread)

"""A chat thread as a workflow: a message comes in as an update, events go out, the history is cut when it grows."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from pydantic import JsonValue

    from tools.plan import Plan
    from workflows.definitions.calls import SHORT_READS, call
    from workflows.definitions.events import EventWriter
    from workflows.definitions.meter import Meter
    from workflows.definitions.plan import PlanWorkflow
    from workflows.failures import explain
    from workflows.graphs import graph_named
    from workflows.messages import Accepted, JsonObject, Kill, PlanEnded, ThreadInput, UserMessage

WAITING_MAX = 20
SEEN_MAX = 200
TURNS_PER_RUN = 40


class TurnPorts:
    """What the graph of one turn reaches: activities and the thread's events, within the bounds of a run."""

    def __init__(self, events: EventWriter, killed: Callable[[], bool] = lambda: False) -> None:
        self._events = events
        self._meter = Meter(events)
        self._killed = killed

    async def call(self, activity: str, argument: Mapping[str, JsonValue]) -> JsonObject:
        """Run an activity durably. What the agents did so far goes with any that may last, which writes it first."""
        if activity == "ask_model":
            self._meter.before(argument)
        told: JsonObject = {} if activity in SHORT_READS else {"events": list(self._events.take())}
        try:
            result = await call(activity, {**argument, **told}, summary=str(argument.get("name") or argument.get("agent") or ""))
        except ActivityError as error:
            if self._killed():  # no agent may take it for an answer and go on
                raise asyncio.CancelledError from error
            raise
        self._meter.after(activity, argument, result)
        return result

    async def emit(self, kind: str, payload: Mapping[str, JsonValue]) -> None:
        """Note an event; it is written before the next call that may last, and at the turn's end."""
        self._events.note(kind, dict(payload))


@workflow.defn(name="thread", sandboxed=False)
class ThreadWorkflow:
    """One conversation. Messages are worked on one after the other, in the order in which they came.

    Not in the sandbox: nearly all that runs here is the graph, whose libraries are passed through it anyway, and its checks of
    every isinstance cost a step milliseconds. That the order of commands holds is shown by the stored histories.
    """

    @workflow.init
    def __init__(self, start: ThreadInput) -> None:
        self._turn = start.turn
        self._memory = start.memory
        self._seen: deque[str] = deque(start.seen, maxlen=SEEN_MAX)
        self._waiting: deque[UserMessage] = deque(start.waiting)
        self._ended: deque[PlanEnded] = deque()
        self._events = EventWriter(tenant=start.tenant, thread_id=start.thread_id, sequence=start.sequence)
        self._thinking: asyncio.Future[JsonObject] | None = None
        self._killed: Kill | None = None

    @workflow.run
    async def run(self, start: ThreadInput) -> None:
        """Work on messages and on the ends of plans, until the history should be cut."""
        for _ in range(TURNS_PER_RUN):
            await workflow.wait_condition(lambda: bool(self._waiting or self._ended))
            while self._ended:
                await self._tell(self._ended.popleft())
            if self._waiting:
                await self._work(start, self._waiting.popleft())
            if workflow.info().is_continue_as_new_suggested():
                break
        await workflow.wait_condition(workflow.all_handlers_finished)
        while self._ended:
            await self._tell(self._ended.popleft())
        workflow.continue_as_new(self._carry(start))

    @workflow.update
    async def send(self, message: UserMessage) -> Accepted:
        """Take a message. The same id again is answered alike and not worked on again."""
        if message.id not in self._seen:
            self._seen.append(message.id)
            self._waiting.append(message)
        return Accepted(message_id=message.id, turn=self._turn + len(self._waiting))

    @send.validator
    def _may_send(self, message: UserMessage) -> None:
        if message.id not in self._seen and len(self._waiting) >= WAITING_MAX:
            raise ApplicationError(f"{WAITING_MAX} messages wait already.", type="too_many_messages", non_retryable=True)

    @workflow.signal
    def plan_ended(self, end: PlanEnded) -> None:
        """Hear from a plan of this thread."""
        self._ended.append(end)

    def _carry(self, start: ThreadInput) -> ThreadInput:
        return ThreadInput(
            thread_id=start.thread_id,
            tenant=start.tenant,
            turn=self._turn,
            sequence=self._events.sequence,
            memory=self._memory,
            seen=list(self._seen),
            waiting=list(self._waiting),
        )

    async def _tell(self, end: PlanEnded) -> None:
        payload: JsonObject = {"text": end.text, "citations": list(end.citations), "plan_id": end.plan_id, "state": end.state.value}
        await self._events.write("message.assistant", payload, plan_id=end.plan_id)

    async def _work(self, start: ThreadInput, message: UserMessage) -> None:
        self._turn += 1
        plan_id = self._events.run_id = f"plan-{start.thread_id.removeprefix('thread-')}-{self._turn}"
        await self._events.write("message.user", {"text": message.text, "actor": message.who.actor, "message_id": message.id})
        turn: JsonObject = {
            "thread_id": start.thread_id,
            "plan_id": plan_id,
            "text": message.text,
            "who": message.who.model_dump(mode="json"),
            "memory": self._memory,
            "now": workflow.now().isoformat(),
        }
        result = await self._thought(turn)
        memory, plan = result["memory"], result.get("plan")
        self._memory = memory if isinstance(memory, dict) else {}
        if plan is not None:
            await self._propose(Plan.model_validate(plan))
        await self._events.write(
            "turn.done", {"turn": self._turn, "message_id": message.id, "plan_id": plan_id if plan is not None else None}
        )
        self._events.run_id = ""

    async def _thought(self, turn: JsonObject) -> JsonObject:
        """Run the graph of a turn. A failure, a bound and a kill each end it in words, and the thread lives on."""
        self._killed = None
        self._thinking = asyncio.ensure_future(graph_named("dispatch")(TurnPorts(self._events, lambda: self._killed is not None), turn))
        try:
            return await self._thinking
        except (ActivityError, ApplicationError) as error:
            code, reason, remedy = explain(error)
        except asyncio.CancelledError:
            if self._killed is None:
                raise
            code, reason, remedy = "killed", self._killed.reason or f"Killed by {self._killed.who.actor}.", "Ask again."
        finally:
            self._thinking = None
        await self._events.write("refusal", {"code": code, "reason": reason, "remedy": remedy})
        return {"memory": turn["memory"]}

    @workflow.signal
    def kill(self, kill: Kill) -> None:
        """End the turn that thinks now, if it is the run that is named."""
        if self._thinking is not None and kill.run_id == self._events.run_id:
            self._killed = kill
            self._thinking.cancel()

    async def _propose(self, plan: Plan) -> None:
        """Start the plan's own workflow, which waits for a decision and outlives this run of the thread."""
        await workflow.start_child_workflow(
            PlanWorkflow.run,
            plan,
            id=plan.id,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            static_summary=plan.title[:200],
            task_timeout=timedelta(seconds=10),
        )

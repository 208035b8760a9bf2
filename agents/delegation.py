"""Hand-offs: an agent asks another one, which works in a loop of its own with its own tools, within the scope of who asked."""

from langgraph.errors import GraphRecursionError
from pydantic import BaseModel, Field

from agents.desk import Desk
from agents.loop import AnyLoopTool, LoopContext, LoopState, LoopTool, loop_graph
from agents.proposal import ProposedSteps, typed_steps
from agents.reading import readers
from agents.scope import gated
from agents.specialists import ROSTER
from factory_infra.errors import LineshaftError
from factory_infra.saas.models.models import ChatMessage
from tools.plan import Step
from tools.ports import JsonObject
from tools.spec import observe

ROUNDS_MAX = 16
DISPATCHER = "dispatcher"
DELEGATE = (
    "Hand a part of the work to another agent, in your own words. It reads with its own tools and may offer steps for your plan. "
    "Several hand-offs of one answer are worked on side by side."
)
OFFER = "Offer steps to the agent that asked you: the last thing to do when it asked for an effect. Nothing happens by this."


class Delegated(BaseModel):
    """Who is asked to do what."""

    agent: str = Field(description=f"One of: {', '.join(name for name in ROSTER if name != DISPATCHER)}.")
    task: str = Field(max_length=1000)


class Offer:
    """What an agent that was asked comes back with: typed steps, or words."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.steps: list[Step] = []

    async def offer_steps(self, proposed: ProposedSteps) -> str:
        """Type the steps and keep them."""
        try:
            self.steps = typed_steps(proposed.steps, self._desk.scope)
        except LineshaftError as error:
            return observe(error).model_dump_json()
        return "offered"


def delegate_tool(desk: Desk) -> AnyLoopTool:
    """The hand-off as a tool of an agent's loop."""

    async def call(delegated: Delegated) -> str:
        if delegated.agent not in ROSTER or delegated.agent == DISPATCHER:
            return f"There is no agent '{delegated.agent}' to ask. Agents: {', '.join(name for name in ROSTER if name != DISPATCHER)}."
        return await work(desk.handed_to(delegated.agent), delegated.task)

    return LoopTool("delegate", DELEGATE, Delegated, call)


async def work(desk: Desk, task: str) -> str:
    """Let an agent work on a task, and label what it comes back with: steps as typed fields, words as a text from outside."""
    await desk.ports.emit("agent.started", {"agent": desk.agent, "model": desk.situation.model, "planner": "free"})
    offer = Offer(desk)
    tools = {tool.name: tool for tool in [*readers(desk), LoopTool("offer_steps", OFFER, ProposedSteps, offer.offer_steps)]}
    if desk.may_delegate:
        tools["delegate"] = delegate_tool(desk)
    context = LoopContext(desk.ports, tools, desk.charged, lambda: bool(offer.steps), desk.calls)
    start: LoopState = {"messages": [ChatMessage(role="system", content=brief(desk)), ChatMessage(role="user", content=task)]}
    try:
        state = await loop_graph().ainvoke(start, {"recursion_limit": ROUNDS_MAX}, context=context)
    except GraphRecursionError:
        return desk.vault.shown(desk.agent, {"outcome": "failed", "code": "model_looped"})
    return desk.vault.shown(desk.agent, answered(offer, state["messages"][-1].content))


def answered(offer: Offer, words: str) -> JsonObject:
    """Typed steps where there are any, else what was said."""
    if offer.steps:
        wanted = {"id", "tool", "agent", "summary", "arguments", "after"}
        return {"outcome": "ok", "steps": [step.model_dump(mode="json", include=wanted) for step in offer.steps]}
    return {"outcome": "ok", "said": words}


def brief(desk: Desk) -> str:
    """What an agent that was asked is told: its prompt, and what it may offer."""
    spec = ROSTER[desk.agent]
    may = desk.scope.tools if gated() else tuple(spec.tools)
    offers = f"You may offer steps with: {', '.join(may)}." if may else "You may read only."
    return f"{spec.prompt}\n\nAnother agent asks you. {offers} Free text comes as a handle <text:N ...>: ask about it with read_text."

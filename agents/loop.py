"""The loop of free planning as a graph of two nodes: think (one durable, metered model call) and act (the tools that it asked for)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypedDict, TypeVar

from langchain_core.utils.function_calling import convert_to_openai_function
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import BaseModel, ValidationError

from factory_infra.errors import BoundReached, Unavailable
from factory_infra.saas.models.models import ChatAnswer, ChatCall, ChatMessage, ToolCall
from tools.ports import JsonObject, Ports

TOKENS_MAX = 2048


class LoopState(TypedDict, total=False):
    """The conversation so far, and whether a tool has concluded it."""

    messages: list[ChatMessage]
    concluded: bool


A = TypeVar("A", bound=BaseModel)


@dataclass(frozen=True)
class LoopTool(Generic[A]):
    """What the model may call: arguments that are validated first, and what is done with them."""

    name: str
    description: str
    arguments: type[A]
    call: Callable[[A], Awaitable[str]]
    taken: JsonObject | None = None
    """The JSON schema of the arguments where it is not that of their type."""

    async def answer(self, arguments: JsonObject) -> str:
        """Validate what the model wrote, then do it. Raises ValidationError."""
        return await self.call(self.arguments.model_validate(arguments))

    def schema(self) -> JsonObject:
        """The tool as an OpenAI function schema."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": self.taken or parameters(self.arguments)},
        }


AnyLoopTool = LoopTool[Any]


@cache
def parameters(arguments: type[BaseModel]) -> JsonObject:
    """The JSON schema of a tool's arguments with its references resolved: made once a process, for that costs more than a step."""
    made: JsonObject = convert_to_openai_function(arguments)["parameters"]
    return made


class Calls:
    """How many model calls a turn has left: shared by all its agents, however they hand work on."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self) -> None:
        """Count one. Raises BoundReached when none is left."""
        if self._left <= 0:
            reason = "The agents did not come to a conclusion within the model calls of a run."
            raise BoundReached(reason, remedy="Say it in other words, or smaller.")
        self._left -= 1


@dataclass(frozen=True)
class LoopContext:
    """What the nodes reach: the ports, the tools, to whom calls are charged, whether a tool has concluded, and the calls left."""

    ports: Ports
    tools: Mapping[str, AnyLoopTool]
    charged: JsonObject
    concluded: Callable[[], bool]
    calls: Calls = field(default_factory=lambda: Calls(24))


async def think(state: LoopState, runtime: Runtime[LoopContext]) -> LoopState:
    """Ask the model what to do next. Raises Unavailable when it does not answer."""
    context = runtime.context
    context.calls.take()
    call = ChatCall(messages=state["messages"], tokens_max=TOKENS_MAX).model_dump(mode="json", by_alias=True)
    call["tools"] = [tool.schema() for tool in context.tools.values()]  # made here: the activity validates them, once is enough
    answered = await context.ports.call("ask_model", {**context.charged, "call": call})
    if not answered["ok"]:
        raise Unavailable(str(answered["reason"]), remedy="Try again later, or choose another model.", code="model_unavailable")
    answer = ChatAnswer.model_validate(answered["answer"])
    told: JsonObject = {"agent": context.charged["agent"], "model": answer.model, "tokens": answer.tokens_in + answer.tokens_out}
    await context.ports.emit("model.called", told)
    said = ChatMessage(role="assistant", content=answer.content, tool_calls=answer.tool_calls)
    return {"messages": [*state["messages"], said]}


async def act(state: LoopState, runtime: Runtime[LoopContext]) -> LoopState:
    """Run the tools that the model asked for, side by side."""
    context, asked = runtime.context, state["messages"][-1].tool_calls
    observed = await asyncio.gather(*(observation(call, context.tools) for call in asked))
    return {"messages": [*state["messages"], *observed], "concluded": context.concluded()}


async def observation(call: ToolCall, tools: Mapping[str, AnyLoopTool]) -> ChatMessage:
    """What a call came to. An unknown name or arguments that do not parse are told back, for the model to mend."""
    if call.name not in tools:
        text = f"There is no tool '{call.name}'. Tools: {', '.join(sorted(tools))}."
    else:
        try:
            text = await tools[call.name].answer(call.arguments)
        except ValidationError as error:
            text = f"The arguments of {call.name} cannot be read: {error}"
    return ChatMessage(role="tool", content=text, tool_call_id=call.id)


async def after_thought(state: LoopState) -> str:
    """Act on what was asked for; words alone end the loop."""
    return "act" if state["messages"][-1].tool_calls else END


async def after_act(state: LoopState) -> str:
    """Think again unless a tool has concluded."""
    return END if state.get("concluded") else "think"


@cache
def loop_graph() -> CompiledStateGraph[LoopState, LoopContext, LoopState, LoopState]:
    """Compile the graph, once a process."""
    graph = StateGraph(LoopState, context_schema=LoopContext)
    graph.add_node("think", think)
    graph.add_node("act", act)
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", after_thought, ["act", END])
    graph.add_conditional_edges("act", after_act, ["think", END])
    return graph.compile()

"""The loop of free planning as a graph of two nodes: think (one durable, metered model call) and act (the tools that it asked for)."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypedDict

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import ValidationError

from factory_infra.errors import Unavailable
from factory_infra.saas.models.models import ChatAnswer, ChatCall, ChatMessage, ToolCall
from tools.ports import JsonObject, Ports

TOKENS_MAX = 2048


class LoopState(TypedDict, total=False):
    """The conversation so far, and whether a tool has concluded it."""

    messages: list[ChatMessage]
    concluded: bool


@dataclass(frozen=True)
class LoopContext:
    """What the nodes reach: the ports, the tools, to whom calls are charged, and whether a tool has concluded."""

    ports: Ports
    tools: Mapping[str, BaseTool]
    schemas: list[dict[str, Any]]
    charged: JsonObject
    concluded: Callable[[], bool]


def schemas_of(tools: Mapping[str, BaseTool]) -> list[dict[str, Any]]:
    """The tools as OpenAI function schemas: made once a turn, for that costs more than a step."""
    return [convert_to_openai_tool(tool) for tool in tools.values()]


async def think(state: LoopState, runtime: Runtime[LoopContext]) -> LoopState:
    """Ask the model what to do next. Raises Unavailable when it does not answer."""
    context = runtime.context
    call = ChatCall(messages=state["messages"], tokens_max=TOKENS_MAX).model_dump(mode="json", by_alias=True)
    call["tools"] = context.schemas  # made here: the activity validates them, once is enough
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


async def observation(call: ToolCall, tools: Mapping[str, BaseTool]) -> ChatMessage:
    """What a call came to. An unknown name or arguments that do not parse are told back, for the model to mend."""
    if call.name not in tools:
        text = f"There is no tool '{call.name}'. Tools: {', '.join(sorted(tools))}."
    else:
        try:
            text = str(await tools[call.name].ainvoke(call.arguments))
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

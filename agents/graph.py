"""The dispatch graph: supervisor, specialists side by side, composition; or a reading; or words."""

from functools import cache

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from agents.answers import read, respond
from agents.composition import compose
from agents.specialists import specialise
from agents.state import Assignment, GraphState, TurnContext, TurnInput
from agents.supervisor import hand_out, supervise
from tools.ports import JsonObject, Ports


@cache
def dispatch_graph() -> CompiledStateGraph[GraphState, TurnContext, GraphState, GraphState]:
    """Compile the graph, once a process."""
    graph = StateGraph(GraphState, context_schema=TurnContext)
    graph.add_node("supervisor", supervise)
    graph.add_node("specialist", specialise, input_schema=Assignment)
    graph.add_node("compose", compose)
    graph.add_node("read", read)
    graph.add_node("respond", respond)
    graph.add_edge(START, "supervisor")
    graph.add_conditional_edges("supervisor", hand_out, ["specialist", "read", "respond"])
    graph.add_edge("specialist", "compose")
    for last in ("compose", "read", "respond"):
        graph.add_edge(last, END)
    return graph.compile()


async def dispatch(ports: Ports, turn: JsonObject) -> JsonObject:
    """Run one turn. Everything that reaches the world goes through the ports, so it may run inside a workflow."""
    state = await dispatch_graph().ainvoke({"turn": TurnInput.model_validate(turn)}, context=TurnContext(ports))
    result: JsonObject = state["result"].model_dump(mode="json")
    return result

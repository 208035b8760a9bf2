"""Answers: questions, refusals and readings, each said from the factory's own state and cited."""

from langgraph.runtime import Runtime

from agents.memory import remember, results_named
from agents.planning.interface import Draft, Pending, Question, Refusal, Reply
from agents.planning.turns import CONFIRM
from agents.specialists import within_scope
from agents.state import GraphState, Thought, TurnContext, TurnInput, TurnResult
from agents.wording import cite, word
from factory_infra.errors import Forbidden, LineshaftError
from tools.plan import Step
from tools.ports import JsonObject, Ports
from tools.spec import resolve


async def respond(state: GraphState, runtime: Runtime[TurnContext]) -> GraphState:
    """Say a question, a refusal or a reply."""
    turn, outcome, ports = state["turn"], state["thought"].outcome, runtime.context.ports
    facts = state["situation"].facts
    if isinstance(outcome, Question):
        await ports.emit("question", {"text": outcome.text, "options": list(outcome.options)})
        return {"result": TurnResult(memory=remember(turn, outcome.pending, facts))}
    if isinstance(outcome, Refusal):
        await ports.emit("refusal", {"code": outcome.code, "reason": outcome.reason, "remedy": outcome.remedy})
        return {"result": TurnResult(memory=remember(turn, outcome.pending, facts))}
    if isinstance(outcome, Reply):
        await ports.emit("message.assistant", {"text": outcome.text, "citations": []})
        return {"result": TurnResult(memory=remember(turn, outcome.pending, facts))}
    return {"result": TurnResult(memory=remember(turn, None, facts))}


async def read(state: GraphState, runtime: Runtime[TurnContext]) -> GraphState:
    """Run a reading's steps one after the other, later ones from the results of earlier ones, and answer with citations."""
    turn, thought, ports = state["turn"], state["thought"], runtime.context.ports
    draft = thought.outcome
    assert isinstance(draft, Draft)  # noqa: S101  (the edge that leads here says so)
    await ports.emit("agent.started", {"agent": draft.agent, "steps": [step.id for step in draft.steps]})
    results: dict[str, JsonObject] = {}
    sentences: list[str] = []
    citations: list[JsonObject] = []
    for step in draft.steps:
        observed = await look(step, results, turn, thought, ports)
        if observed["outcome"] != "ok":
            sentences.append(f"{observed['reason']} {observed['remedy']}".strip())
            continue
        result = observed["result"]
        results[step.id] = result if isinstance(result, dict) else {}
        sentences.append(word(step.tool, results[step.id]))
        citations.extend(cite(step.tool, results[step.id]))
    text = "\n".join(dict.fromkeys(sentence for sentence in sentences if sentence))
    await ports.emit("message.assistant", {"text": text, "citations": list(citations), "agent": draft.agent, "notes": list(draft.notes)})
    memory = remember(turn, None, state["situation"].facts, results_named(results))
    return {"result": TurnResult(memory=memory.model_copy(update={"pending": offered(results, thought.team)}))}


def offered(results: dict[str, JsonObject], team: str) -> Pending | None:
    """The remedy that an answer offered, left open so that a 'yes' has it planned; nothing is planned before.

    Its playbook and slots come from the factory's own state and from a plan that was approved once, never from a log.
    """
    remedies = (result.get("remedy") for result in results.values())
    remedy = next((each for each in remedies if isinstance(each, dict) and each.get("playbook")), None)
    if remedy is None:
        return None
    slots = remedy.get("slots")
    filled = {**slots, "team": team} if isinstance(slots, dict) else {"team": team}
    return Pending(playbook=str(remedy["playbook"]), slots=filled, asked=CONFIRM, request=str(remedy.get("say") or ""))


async def look(step: Step, results: dict[str, JsonObject], turn: TurnInput, thought: Thought, ports: Ports) -> JsonObject:
    """Make one read-only tool call and return the observation; a step that needs what is missing says so."""
    try:
        within_scope(step)
        arguments = resolve(step.arguments, results)
    except Forbidden as error:
        return {"outcome": "failed", "code": error.error_code, "reason": error.reason, "remedy": error.remedy}
    except LineshaftError:
        return {"outcome": "failed", "code": "skipped", "reason": "", "remedy": ""}
    request: JsonObject = {
        "name": step.tool,
        "agent": step.agent,
        "arguments": arguments,
        "tenant": thought.team,
        "actor": turn.who.actor,
        "plan_id": turn.plan_id,
        "thread_id": turn.thread_id,
    }
    observed = await ports.call("call_tool", request)
    await ports.emit("tool.returned", {"tool": step.tool, "agent": step.agent, "outcome": observed["outcome"]})
    return observed

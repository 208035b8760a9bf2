"""The supervisor: reads the situation, asks the planner, and hands the draft's steps to the specialists."""

from collections.abc import Sequence

from langgraph.runtime import Runtime
from langgraph.types import Send
from pydantic import TypeAdapter

from agents.free import plan_freely
from agents.memory import still_open
from agents.planning.interface import Draft, ModelQuestion, Outcome, Ranking
from agents.state import Assignment, GraphState, Situation, Thought, TurnContext, TurnInput, charged_team
from factory_infra.saas.models.models import ChatAnswer, ChatCall, ChatMessage
from tools.ports import JsonObject, Ports

OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


async def supervise(state: GraphState, runtime: Runtime[TurnContext]) -> GraphState:
    """Understand the request: facts first, then the planner, with the model only where the planner asks for it."""
    turn, ports = state["turn"], runtime.context.ports
    waits_on = turn.memory.pending.plan_id if turn.memory.pending else ""
    situation = Situation.model_validate(await ports.call("read_situation", {"tenant": turn.who.tenant, "plan_id": waits_on}))
    turn = turn.model_copy(update={"memory": still_open(turn.memory, situation.plan_state)})
    team = charged_team(turn, situation.facts)
    await ports.emit("agent.started", {"agent": "dispatcher", "model": situation.model, "planner": situation.planner})
    if situation.planner == "free" and situation.model is not None:
        outcome, planner = await plan_freely(turn, situation, ports, team), f"free ({situation.model})"
    else:
        outcome, planner = await plan_by_playbook(turn, situation, ports, team)
    if isinstance(outcome, Draft):
        team = outcome.tenant
    return {"turn": turn, "situation": situation, "thought": Thought(outcome=outcome, planner=planner, team=team)}


async def plan_by_playbook(turn: TurnInput, situation: Situation, ports: Ports, team: str) -> tuple[Outcome, str]:
    """Rank, ask the model what is left open, settle. Without a model the same path answers, and says so."""
    facts = situation.facts.model_dump(mode="json")
    words: JsonObject = {
        "text": turn.text,
        "pending": turn.memory.pending.model_dump(mode="json") if turn.memory.pending else None,
        "recent": list(turn.memory.recent),
    }
    ranking = Ranking.model_validate(await ports.call("rank_request", {"turn": words, "facts": facts}))
    answers: dict[str, str] = {}
    if situation.model is not None:
        for question in ranking.questions:
            answer = await ask(question, turn, ports, team)
            answers |= {question.id: answer} if answer is not None else {}
    settled = {"ranking": ranking.model_dump(mode="json"), "answers": dict(answers), "facts": facts}
    outcome = OUTCOME.validate_python((await ports.call("settle_request", settled))["outcome"])
    used = situation.model if answers else "no model asked" if situation.model is not None else "no model"
    return outcome, f"playbook ({used})"


async def ask(question: ModelQuestion, turn: TurnInput, ports: Ports, team: str) -> str | None:
    """Put one constrained question to the model; None when it does not answer, and the code decides."""
    call = ChatCall(
        messages=[ChatMessage(role="system", content=question.system), ChatMessage(role="user", content=question.user)],
        choices=question.choices,
        tokens_max=24,
    )
    answered = await ports.call(
        "ask_model",
        {
            "call": call.model_dump(mode="json", by_alias=True),
            "tenant": team,
            "project": turn.project_in(team),
            "plan_id": turn.plan_id,
            "thread_id": turn.thread_id,
            "agent": "dispatcher",
        },
    )
    if not answered["ok"]:
        await ports.emit("model.called", {"agent": "dispatcher", "question": question.id, "failed": answered["reason"]})
        return None
    answer = ChatAnswer.model_validate(answered["answer"])
    await ports.emit(
        "model.called",
        {
            "agent": "dispatcher",
            "question": question.id,
            "answer": answer.content,
            "model": answer.model,
            "tokens": answer.tokens_in + answer.tokens_out,
        },
    )
    return answer.content


async def hand_out(state: GraphState) -> Sequence[Send] | str:
    """Where a turn goes: a draft with effects to the specialists that its steps name, a reading to be read, words to be said."""
    thought = state["thought"]
    outcome = thought.outcome
    if not isinstance(outcome, Draft):
        return "respond"
    if all(step.effect == "read" for step in outcome.steps):
        return "read"
    agents = dict.fromkeys(step.agent for step in outcome.steps)
    return [
        Send(
            "specialist",
            Assignment(agent=name, steps=[step for step in outcome.steps if step.agent == name], turn=state["turn"], thought=thought),
        )
        for name in agents
    ]

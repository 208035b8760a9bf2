"""What an agent works with in one turn: whom it works for, the scope, the texts behind handles, and how much is left of the bounds."""

from dataclasses import dataclass, field, replace

from agents.loop import Calls
from agents.quarantine import Vault
from agents.scope import narrowed
from agents.specialists import ROSTER
from agents.state import Situation, TurnInput
from factory_infra.saas.models.models import ChatAnswer, ChatCall
from tools.plan import Bounds, Scope
from tools.ports import JsonObject, Ports


@dataclass(frozen=True)
class Desk:
    """Shared by all agents of a turn, but for the name, the scope and the depth."""

    turn: TurnInput
    situation: Situation
    ports: Ports
    team: str
    scope: Scope
    vault: Vault
    agent: str = "dispatcher"
    depth: int = 1
    calls: Calls = field(default_factory=lambda: Calls(Bounds().model_calls_max))

    @property
    def charged(self) -> JsonObject:
        """To whom a model call is charged."""
        whose: JsonObject = {"tenant": self.team, "project": self.turn.project_in(self.team), "agent": self.agent}
        return {**whose, "plan_id": self.turn.plan_id, "thread_id": self.turn.thread_id}

    @property
    def may_delegate(self) -> bool:
        """Whether work may be handed on once more."""
        return self.depth < self.situation.bounds.depth_max

    def handed_to(self, agent: str) -> "Desk":
        """The desk of an agent that is asked by this one: its own tools only, within this scope, one deeper."""
        return replace(self, agent=agent, depth=self.depth + 1, scope=narrowed(self.scope, ROSTER[agent].tools))

    def within(self, scope: Scope) -> "Desk":
        """The same desk with its scope fixed."""
        return replace(self, scope=scope)

    async def ask(self, call: ChatCall, question: str) -> ChatAnswer | None:
        """Ask the model once, without tools; None when it does not answer. Raises LineshaftError when the bound is reached."""
        self.calls.take()
        answered = await self.ports.call("ask_model", {**self.charged, "call": call.model_dump(mode="json", by_alias=True)})
        if not answered["ok"]:
            await self.ports.emit("model.called", {"agent": self.agent, "question": question, "failed": answered["reason"]})
            return None
        answer = ChatAnswer.model_validate(answered["answer"])
        told: JsonObject = {
            "agent": self.agent,
            "question": question,
            "model": answer.model,
            "tokens": answer.tokens_in + answer.tokens_out,
        }
        await self.ports.emit("model.called", told)
        return answer

"""Ports for tests: they record what a graph calls and emits, and answer from a script."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from pydantic import JsonValue

from agents.graph import dispatch
from agents.planning.interface import DatasetFact, Draft, Facts, ModelQuestion, Outcome, Ranking, TeamFact, Turn
from agents.state import Asker, Memory, Situation, TurnInput, TurnResult
from factory_infra.saas.models.models import ChatAnswer, ChatCall, ToolCall
from tools.plan import DryRun, Effect, Price, Step, Verdict
from tools.ports import JsonObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACTS = Facts(
    home_team="vision",
    teams=[TeamFact(name="vision", quota_slots=2, quota_slots_used=0)],
    datasets=[DatasetFact(name="digits")],
    slot_kind="cpu",
    slots_total=4,
    slots_free=4,
)
Answer = Callable[[JsonObject], JsonObject]
DEFAULTS: dict[str, Answer] = {"judge_plan": lambda _: {"verdict": Verdict(decision="approve", approvals=1).model_dump(mode="json")}}
"""What a factory answers where a test does not care."""


class ScriptedPorts:
    """Answers each activity from `answers`; an activity without an answer is a test's mistake and raises KeyError."""

    def __init__(self, **answers: Answer) -> None:
        self.calls: list[tuple[str, JsonObject]] = []
        self.events: list[tuple[str, JsonObject]] = []
        self.answers = answers

    async def call(self, activity: str, argument: Mapping[str, JsonValue]) -> JsonObject:
        """Answer from the script."""
        self.calls.append((activity, dict(argument)))
        answer = self.answers.get(activity, DEFAULTS.get(activity))
        if answer is None:
            raise KeyError(activity)
        return answer(dict(argument))

    async def emit(self, kind: str, payload: Mapping[str, JsonValue]) -> None:
        """Keep the event."""
        self.events.append((kind, dict(payload)))

    def called(self, activity: str) -> list[JsonObject]:
        """What an activity was called with."""
        return [argument for name, argument in self.calls if name == activity]

    def emitted(self, kind: str) -> list[JsonObject]:
        """The payloads of a kind of event."""
        return [payload for name, payload in self.events if name == kind]


def turn(text: str = "do it", memory: Memory | None = None, tenant: str | None = "vision") -> TurnInput:
    """One message of a user of team vision."""
    asker = Asker(actor="ann", role="user", tenant=tenant)
    return TurnInput(thread_id="thread-1", plan_id="plan-1-1", text=text, who=asker, memory=memory or Memory(), now=NOW)


def planning(outcome: Outcome, *, questions: list[ModelQuestion] | None = None, model: str | None = None) -> ScriptedPorts:
    """Ports of a factory whose planner comes to this outcome, and whose steps all are feasible at no price."""

    def rank(argument: JsonObject) -> JsonObject:
        return Ranking(turn=Turn.model_validate(argument["turn"]), candidates=["p"], questions=questions or []).model_dump(mode="json")

    return ScriptedPorts(
        read_situation=lambda _: Situation(facts=FACTS, model=model).model_dump(mode="json"),
        rank_request=rank,
        settle_request=lambda _: {"outcome": outcome.model_dump(mode="json")},
        foresee_step=lambda argument: foreseen(argument),
    )


def foreseen(argument: JsonObject, dry_run: DryRun | None = None, price: Price | None = None) -> JsonObject:
    """A step as it comes back from its dry run."""
    step = Step.model_validate(argument["step"])
    return step.model_copy(update={"dry_run": dry_run or DryRun(), "price": price}).model_dump(mode="json")


def step(
    identity: str, /, tool: str = "leases.acquire", agent: str = "provisioner", effect: Effect = Effect.COSTLY, **arguments: JsonValue
) -> Step:
    """A step of a draft."""
    return Step(id=identity, tool=tool, agent=agent, summary=identity, arguments=arguments, effect=effect)


def draft(*steps: Step, **fields: JsonValue) -> Draft:
    """A draft of team vision."""
    return Draft.model_validate({"playbook": "p", "agent": "dispatcher", "tenant": "vision", "title": "T", "steps": steps, **fields})


def said(content: str = "", *calls: ToolCall) -> JsonObject:
    """A model's answer as the activity gives it."""
    answer = ChatAnswer(content=content, tool_calls=list(calls), tokens_in=3, tokens_out=2, model="openai:large")
    return {"ok": True, "answer": answer.model_dump(mode="json")}


def heard(argument: JsonObject) -> ChatCall:
    """What the model was asked."""
    return ChatCall.model_validate(argument["call"])


async def run(ports: ScriptedPorts, message: TurnInput | None = None) -> TurnResult:
    """Run one turn of the dispatch graph."""
    return TurnResult.model_validate(await dispatch(ports, (message or turn()).model_dump(mode="json")))

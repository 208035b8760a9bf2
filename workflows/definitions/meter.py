"""How far the turn of a run may go: model calls, tokens and time, counted where they are asked for."""

from collections.abc import Mapping
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from pydantic import JsonValue

    from tools.plan import Bounds
    from workflows.definitions.ballot import refusal
    from workflows.definitions.events import EventWriter
    from workflows.messages import JsonObject

CHARACTERS_PER_TOKEN = 4
REMEDY = "Ask for something smaller, or have the policy's bound raised."


class Meter:
    """Counts one turn against its bounds, which come with the situation; hard: the call that would pass one is not made."""

    def __init__(self, events: EventWriter) -> None:
        self._events = events
        self._bounds = Bounds()
        self._began = workflow.now()
        self._calls = 0
        self._tokens = 0

    def before(self, argument: Mapping[str, JsonValue]) -> None:
        """Set the call's worst case aside. Raises ApplicationError (bound_reached) where it would pass a bound."""
        bounds, worst = self._bounds, worst_tokens(argument)
        if self._calls + 1 > bounds.model_calls_max:
            raise self._reached(f"{bounds.model_calls_max} model calls")
        if self._tokens + worst > bounds.tokens_max:
            raise self._reached(f"{bounds.tokens_max} tokens")
        if workflow.now() - self._began > timedelta(seconds=bounds.seconds_max):
            raise self._reached(f"{bounds.seconds_max:g} s")
        self._calls += 1
        self._tokens += worst

    def after(self, activity: str, argument: Mapping[str, JsonValue], result: JsonObject) -> None:
        """Take in what a call came to: the bounds of the run, or the tokens that it really used."""
        found = result.get("bounds")
        if activity == "read_situation" and isinstance(found, dict):
            self._bounds = Bounds.model_validate(found)
        if activity == "ask_model":
            answer = result.get("answer")
            used = [answer.get(name) for name in ("tokens_in", "tokens_out")] if isinstance(answer, dict) else []
            self._tokens += sum(value for value in used if isinstance(value, int)) - worst_tokens(argument)

    def _reached(self, bound: str) -> ApplicationError:
        return refusal("bound_reached", f"This run has used its bound of {bound}.", REMEDY)


def worst_tokens(argument: Mapping[str, JsonValue]) -> int:
    """The most that a model call may use: its prompt by length, and all that it may answer."""
    call = argument.get("call")
    if not isinstance(call, dict):
        return 0
    messages, tokens_max = call.get("messages"), call.get("tokens_max")
    said = [message.get("content") for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    prompt = sum(len(text) for text in said if isinstance(text, str)) // CHARACTERS_PER_TOKEN
    return prompt + (tokens_max if isinstance(tokens_max, int) else 0)

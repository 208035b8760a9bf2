"""What Bedrock's Converse answers, whole and in events, in OpenAI's shapes."""

from collections.abc import Mapping, Sequence

import orjson
from pydantic import JsonValue

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends.counts import tokens_of_delta
from factory_infra.saas.models.backends.shapes import Chunks, Said, tool_call
from factory_infra.saas.models.calls import JsonObject, Piece

FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
Told = Mapping[str, object]


def usage_of(told: object) -> Usage | None:
    """Bedrock counts the prompt without what came from a cache and what a cache kept; we count the whole prompt."""
    usage = _mapping(told)
    if not isinstance(usage.get("inputTokens"), int):
        return None
    read, written = _count(usage, "cacheReadInputTokens"), _count(usage, "cacheWriteInputTokens")
    return Usage(
        tokens_in=_count(usage, "inputTokens") + read + written,
        tokens_out=_count(usage, "outputTokens"),
        tokens_cached=read,
        tokens_cache_written=written,
    )


def said_of(response: Told, answer_tool: str | None) -> Said:
    """What the model said in a whole answer; the arguments of the answer's tool are its content."""
    said = Said()
    texts: list[str] = []
    blocks = _mapping(_mapping(response.get("output")).get("message")).get("content")
    for block in blocks if isinstance(blocks, Sequence) else ():
        if isinstance(text := block.get("text"), str):
            texts.append(text)
        elif use := _mapping(block.get("toolUse")):
            arguments = orjson.dumps(use.get("input")).decode()
            if use.get("name") == answer_tool:
                texts = [arguments]
                break
            said.tool_calls.append(tool_call(str(use.get("toolUseId")), str(use.get("name")), arguments))
        elif reasoning := _mapping(block.get("reasoningContent")):
            said.reasoning += str(_mapping(reasoning.get("reasoningText")).get("text", ""))
    said.content = "".join(texts) if texts else None
    said.finish = finish_of(response.get("stopReason"), calls_tools=bool(said.tool_calls))
    return said


def finish_of(reason: object, *, calls_tools: bool) -> str:
    """Why the model stopped. The call of the answer's tool is an end like any other."""
    finish = FINISHES.get(str(reason), "stop")
    return "stop" if finish == "tool_calls" and not calls_tools else finish


class ConverseEvents:
    """Turns the events of one stream into pieces. `usage` is told by the last event only; until then `count` is our own."""

    def __init__(self, identity: str, model: str, answer_tool: str | None) -> None:
        self.count = 0
        self.begun = False
        self.ended = False
        self._chunks = Chunks(identity, model)
        self._answer_tool = answer_tool
        self._answer_blocks: set[object] = set()
        self._tools: dict[object, int] = {}

    def take(self, event: Told) -> Piece | None:
        """The piece that one event makes; None for an event that says nothing to the client."""
        for name, about in event.items():
            usage = usage_of(_mapping(about).get("usage")) if name == "metadata" else None
            chunks = self._chunks_of(name, _mapping(about), usage)
            if chunks:
                self.begun = True
                return Piece(chunks, self.count, usage)
        return None

    def _chunks_of(self, name: str, about: Told, usage: Usage | None) -> list[JsonObject]:
        match name:
            case "messageStart":
                return [self._chunks.delta({"role": "assistant", "content": ""})]
            case "contentBlockStart":
                return self._started(about)
            case "contentBlockDelta":
                delta = self._delta(about.get("contentBlockIndex"), _mapping(about.get("delta")))
                return [] if delta is None else [self._chunks.delta(delta)]
            case "messageStop":
                return [self._chunks.delta({}, finish_of(about.get("stopReason"), calls_tools=bool(self._tools)))]
            case "metadata":
                self.ended = True
                return [] if usage is None else [self._chunks.usage(usage)]
            case _:
                return []

    def _started(self, about: Told) -> list[JsonObject]:
        use = _mapping(_mapping(about.get("start")).get("toolUse"))
        if not use:
            return []
        block = about.get("contentBlockIndex")
        if use.get("name") == self._answer_tool:
            self._answer_blocks.add(block)
            return []
        index = self._tools[block] = len(self._tools)
        name = str(use.get("name"))
        self.count += tokens_of_delta(name)
        started: JsonObject = {"index": index, **tool_call(str(use.get("toolUseId")), name, "")}
        return [self._chunks.delta({"tool_calls": [started]})]

    def _delta(self, block: object, delta: Told) -> JsonObject | None:
        if isinstance(text := delta.get("text"), str):
            return self._counted("content", text)
        if isinstance(given := _mapping(delta.get("toolUse")).get("input"), str):
            if block in self._answer_blocks:
                return self._counted("content", given)
            self.count += tokens_of_delta(given)
            part: JsonValue = {"index": self._tools.get(block, 0), "function": {"arguments": given}}
            return {"tool_calls": [part]}
        if isinstance(thought := _mapping(delta.get("reasoningContent")).get("text"), str):
            return self._counted("reasoning_content", thought)
        return None

    def _counted(self, name: str, text: str) -> JsonObject | None:
        self.count += tokens_of_delta(text)
        return {name: text} if text else None


def _mapping(value: object) -> Told:
    return value if isinstance(value, Mapping) else {}


def _count(usage: Told, name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value >= 0 else 0

"""Usage as OpenAI's shape tells it, and our own count where nobody tells: what a cancelled or cut stream is charged by."""

import math

from pydantic import JsonValue

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.checks import CHARACTERS_PER_TOKEN, TOKENS_PER_MESSAGE

DELTA_BYTES_MAX = 24
"""Servers stream a token at a time; a longer delta holds several."""


def tokens_of(text: str) -> int:
    """Bytes in UTF-8 over four, rounded up."""
    return math.ceil(len(text.encode(errors="replace")) / CHARACTERS_PER_TOKEN)


def tokens_of_delta(text: str) -> int:
    """The tokens in one delta of a stream: one for what a single token may be, a count by length for more."""
    length = len(text)
    if length <= DELTA_BYTES_MAX and (text.isascii() or len(text.encode(errors="replace")) <= DELTA_BYTES_MAX):
        return 1 if text else 0
    return tokens_of(text)


def tokens_of_chunk(chunk: JsonObject) -> int:
    """The tokens that one chunk of a chat stream brought, over all its choices: words, refusals, reasoning, arguments of tools."""
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        return 0
    count = 0
    for choice in choices:
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if isinstance(delta, dict):
            count += _tokens_of_message(delta, streamed=True)
    return count


def _tokens_of_message(message: JsonObject, *, streamed: bool) -> int:
    measure = tokens_of_delta if streamed else tokens_of
    count = 0
    for name in ("content", "reasoning_content", "reasoning", "refusal"):
        text = message.get(name)
        if isinstance(text, str):
            count += measure(text)
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        for call in calls:
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                count += sum(measure(text) for text in (function.get("name"), function.get("arguments")) if isinstance(text, str))
    return count


def tokens_of_answer(body: JsonObject) -> int:
    """The tokens of a whole chat completion, over all its choices."""
    choices = body.get("choices")
    messages = [choice.get("message") for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    return sum(_tokens_of_message(message, streamed=False) for message in messages if isinstance(message, dict))


def tokens_of_prompt(body: JsonObject) -> int:
    """What a prompt has in tokens, by the length of its texts and of its tools; images count as nothing here."""
    messages = body.get("messages")
    count = _tokens_of_tools(body.get("tools"))
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            count += TOKENS_PER_MESSAGE + sum(tokens_of(text) for text in texts_of(message.get("content")))
            count += _tokens_of_message({"tool_calls": message.get("tool_calls")}, streamed=False)
    return count


def _tokens_of_tools(tools: JsonValue) -> int:
    return tokens_of(str(tools)) if isinstance(tools, list) and tools else 0


def texts_of(content: JsonValue) -> list[str]:
    """The texts of a message's content, be it a text or parts."""
    if isinstance(content, str):
        return [content]
    found = [part.get("text") for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    return [text for text in found if isinstance(text, str)]


def inputs_of(body: JsonObject) -> list[str]:
    """The texts of an embeddings request."""
    given = body.get("input")
    return [given] if isinstance(given, str) else [text for text in given if isinstance(text, str)] if isinstance(given, list) else []


def usage_told(told: JsonValue) -> Usage | None:
    """The usage that an OpenAI-shaped answer tells, cached and reasoning tokens included; None where it tells none that makes sense."""
    if not isinstance(told, dict):
        return None
    tokens_in, tokens_out = _count(told.get("prompt_tokens")), _count(told.get("completion_tokens"))
    if tokens_in is None:
        # What only listens or reads may count by other names: the newer transcriptions say input and output.
        tokens_in, tokens_out = _count(told.get("input_tokens")), _count(told.get("output_tokens"))
        if tokens_in is None:
            return None
    prompt, completion = told.get("prompt_tokens_details"), told.get("completion_tokens_details")
    return Usage(
        tokens_in=tokens_in,
        tokens_out=tokens_out or 0,
        tokens_cached=min(_detail(prompt, "cached_tokens"), tokens_in),
        tokens_cache_written=min(_detail(prompt, "cache_write_tokens"), tokens_in),
        tokens_reasoning=_detail(completion, "reasoning_tokens"),
    )


def usage_to_wire(usage: Usage) -> JsonObject:
    """Usage in OpenAI's shape, as our own chunks and answers tell it."""
    return {
        "prompt_tokens": usage.tokens_in,
        "completion_tokens": usage.tokens_out,
        "total_tokens": usage.tokens_in + usage.tokens_out,
        "prompt_tokens_details": {"cached_tokens": usage.tokens_cached, "cache_write_tokens": usage.tokens_cache_written},
        "completion_tokens_details": {"reasoning_tokens": usage.tokens_reasoning},
    }


def _count(value: JsonValue) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _detail(details: JsonValue, name: str) -> int:
    return (_count(details.get(name)) or 0) if isinstance(details, dict) else 0

"""What the model server's last calls used, by the id that the caller gave: how a call is counted that somebody's crash cut off."""

from collections import OrderedDict
from dataclasses import replace

import orjson
from pydantic import JsonValue

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends.counts import tokens_of_chunk, usage_to_wire, usage_told
from factory_infra.saas.models.backends.sse import Events

CALLS_MAX = 10_000
ID_CHARACTERS_MAX = 200
DONE = b"[DONE]"


class UsageBook:
    """Remembers the usage of the last calls. An id that is used again stands for its newest call."""

    def __init__(self, calls_max: int = CALLS_MAX) -> None:
        self._calls: OrderedDict[str, tuple[Usage, bool]] = OrderedDict()
        self._calls_max = calls_max

    def remember(self, call_id: str | None, usage: Usage, *, final: bool) -> None:
        """Note what a call has used so far; nothing for a call without an id, or with one that is none."""
        if not call_id or len(call_id) > ID_CHARACTERS_MAX:
            return
        self._calls[call_id] = (usage, final)
        self._calls.move_to_end(call_id)
        if len(self._calls) > self._calls_max:
            self._calls.popitem(last=False)

    def tell(self, call_id: str) -> dict[str, JsonValue] | None:
        """The usage of a call in OpenAI's shape, and whether the call has ended; None for an id that is not known."""
        found = self._calls.get(call_id)
        if found is None:
            return None
        usage, final = found
        return {"usage": usage_to_wire(usage), "final": final, "estimated": usage.estimated}


class StreamCounter:
    """Reads a stream as it is handed on. The engine tells its own count in each chunk, which becomes usage or is taken out."""

    def __init__(self, model: str, prompt_tokens: int, *, told_to_caller: bool) -> None:
        self._model = model
        self.usage = Usage(tokens_in=prompt_tokens, estimated=True)
        self._told_to_caller = told_to_caller
        self._events = Events()

    def take(self, data: bytes) -> bytes:
        """The same chunks as the caller shall have them; what they used so far is in `usage` afterwards."""
        return b"".join(b"data: " + self._counted(payload) + b"\n\n" for payload in self._events.feed(data))

    def _counted(self, payload: bytes) -> bytes:
        if payload == DONE:
            return payload
        chunk = orjson.loads(payload)
        timings = chunk.pop("timings", None)
        told = usage_told(chunk.get("usage"))
        if told is not None:
            self.usage = told
        elif isinstance(timings, dict):
            self.usage = usage_of_timings(timings)
        elif brought := tokens_of_chunk(chunk):
            self.usage = replace(self.usage, tokens_out=self.usage.tokens_out + brought, estimated=True)
        chunk["model"] = self._model  # the engine would name a file of this machine
        if self._told_to_caller and told is None and chunk.get("choices"):
            chunk["usage"] = usage_to_wire(self.usage)
        return orjson.dumps(chunk)


def usage_of_timings(timings: dict[str, JsonValue]) -> Usage:
    """The engine's own count: what it read of the prompt, what it had in its cache, and what it said."""
    read, cached, said = (timings.get(name) for name in ("prompt_n", "cache_n", "predicted_n"))
    kept = cached if isinstance(cached, int) else 0
    return Usage(
        tokens_in=(read if isinstance(read, int) else 0) + kept, tokens_out=said if isinstance(said, int) else 0, tokens_cached=kept
    )

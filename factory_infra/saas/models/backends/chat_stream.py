"""Reads a streamed chat answer: bytes in, pieces out. It holds no connection, so every kind of server can use it."""

from dataclasses import replace

import orjson

from factory_infra.errors import LineshaftError
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends import faults
from factory_infra.saas.models.backends.answers import fault_told
from factory_infra.saas.models.backends.counts import tokens_of_chunk, usage_told
from factory_infra.saas.models.backends.sse import Events, EventTooLarge
from factory_infra.saas.models.calls import JsonObject, Piece

DONE = b"[DONE]"


class ChatStream:
    """One stream's state. `fault` is set by what breaks it: whole chunks that came before are still returned, then it is raised."""

    def __init__(self, backend: str) -> None:
        self.done = False
        self.fault: LineshaftError | None = None
        self._backend = backend
        self._events = Events()
        self.begun = False
        self._count = 0
        self._usage: Usage | None = None
        self._count_at_usage = 0

    def take(self, data: bytes) -> Piece | None:
        """What one read brought, or None where it completed no chunk."""
        try:
            payloads = self._events.feed(data)
        except EventTooLarge:
            self.fault = self._broken("has an event that is larger than any model says")
            return None
        return self._piece(payloads)

    def end(self) -> Piece | None:
        """The connection has ended, which is a fault unless the end of the stream was told."""
        piece = self._piece(self._events.end())
        if not self.done and self.fault is None:
            self.fault = faults.broken_stream(self._backend, "broke off before its end")
        return piece

    def _piece(self, payloads: list[bytes]) -> Piece | None:
        chunks: list[JsonObject] = []
        for payload in payloads:
            if payload == DONE:
                self.done = True
                break
            chunk = self._chunk(payload)
            if chunk is None:
                break
            chunks.append(chunk)
        if not chunks:
            return None
        self.begun = True
        return Piece(chunks, self._count, self._usage_so_far())

    def _chunk(self, payload: bytes) -> JsonObject | None:
        """One chunk, counted; None where it is a fault."""
        try:
            chunk = orjson.loads(payload)
        except orjson.JSONDecodeError:
            chunk = None
        if type(chunk) is not dict or not isinstance(chunk.get("choices"), list):
            self.fault = self._fault_in(chunk)
            return None
        self._count += tokens_of_chunk(chunk)
        told = chunk.get("usage")
        if told:
            usage = usage_told(told)
            if usage is not None:
                self._usage, self._count_at_usage = usage, self._count
        if chunk.get("error"):
            self.fault = self._fault_in(chunk)
            return None
        return chunk

    def _usage_so_far(self) -> Usage | None:
        """What the upstream told, with what came since by our own count."""
        since = self._count - self._count_at_usage
        if self._usage is None or since == 0:
            return self._usage
        return replace(self._usage, tokens_out=self._usage.tokens_out + since, estimated=True)

    def _fault_in(self, chunk: object) -> LineshaftError:
        is_error = isinstance(chunk, dict) and (chunk.get("error") or chunk.get("object") == "error")
        if not is_error or not isinstance(chunk, dict):
            return self._broken("brings what is no chunk of a chat")
        if not self.begun:
            return fault_told(self._backend, chunk)
        message = faults.told(faults.message_of(chunk))
        return faults.broken_stream(self._backend, f"ended in an error: {message}" if message else "ended in an error")

    def _broken(self, what: str) -> LineshaftError:
        if self.begun:
            return faults.broken_stream(self._backend, what)
        return faults.not_the_protocol(self._backend, f"with a stream that {what}")

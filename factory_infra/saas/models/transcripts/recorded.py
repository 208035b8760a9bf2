"""A gateway whose chats are handed to the keeper where their team asked for it. It changes nothing of an answer and waits for nothing."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any, Protocol

from pydantic import JsonValue

from factory_infra.paas.tenants.keyring import Caller
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.requests import ChatRequest, EmbeddingsRequest, SpeechRequest, TranscriptionRequest
from factory_infra.saas.models.routing.answers import Answered, Asker, ModelCard, Spoken, Streamed
from factory_infra.saas.models.transcripts.keeper import Keeping
from factory_infra.saas.models.transcripts.models import Kept


class Chats(Protocol):
    """The gateway that stands behind."""

    async def complete(self, asker: Asker, request: ChatRequest) -> Answered:
        """Answer a chat as a whole."""
        ...

    def stream(self, asker: Asker, request: ChatRequest) -> AsyncGenerator[Streamed, None]:
        """Answer a chat piece by piece."""
        ...

    async def embed(self, asker: Asker, request: EmbeddingsRequest) -> Answered:
        """Embed texts."""
        ...

    async def transcribe(self, asker: Asker, request: TranscriptionRequest) -> Answered:
        """Write speech down."""
        ...

    async def speak(self, asker: Asker, request: SpeechRequest) -> Spoken:
        """Say a text."""
        ...

    def cards(self, caller: Caller) -> list[ModelCard]:
        """The models that a caller may use."""
        ...


class Recorded:
    """The same face as the gateway behind it. A call that failed before anything came is not kept, a stream that broke is."""

    def __init__(self, chats: Chats, keeper: Keeping) -> None:
        self._chats = chats
        self._keeper = keeper
        self.embed = chats.embed
        self.transcribe = chats.transcribe
        self.speak = chats.speak
        self.cards = chats.cards

    async def complete(self, asker: Asker, request: ChatRequest) -> Answered:
        """Answer a chat as a whole."""
        wanted = await self._keeper.wanted(asker.tenant)
        answered = await self._chats.complete(asker, request)
        if wanted:
            self._keep(asker, request, answered.body)
        return answered

    async def stream(self, asker: Asker, request: ChatRequest) -> AsyncGenerator[Streamed, None]:
        """Answer a chat piece by piece."""
        wanted = await self._keeper.wanted(asker.tenant)
        joined = Joined()
        async with aclosing(self._chats.stream(asker, request)) as items:
            try:
                async for item in items:
                    if wanted:
                        joined.add(item.chunks)
                    yield item
                joined.whole = True
            finally:
                if wanted and joined.began:
                    self._keep(asker, request, joined.answer())

    def _keep(self, asker: Asker, request: ChatRequest, answer: JsonObject) -> None:
        key_id = asker.caller.principal.key_id
        self._keeper.keep(
            Kept(id=asker.call_id, tenant=asker.tenant, key_id=key_id, model=request.model[:128], request=request.sent, answer=answer)
        )


class Joined:
    """The pieces of a streamed answer put together again."""

    def __init__(self) -> None:
        self.whole = False
        """Whether the stream came to its end; False for one that was left or broke."""
        self._choices: dict[int, dict[str, Any]] = {}

    @property
    def began(self) -> bool:
        """Whether anything came."""
        return bool(self._choices)

    def add(self, chunks: Iterable[JsonObject]) -> None:
        """Take some chunks."""
        for chunk in chunks:
            choices = chunk.get("choices")
            for choice in choices if isinstance(choices, list) else ():
                self._take(choice)

    def answer(self) -> JsonObject:
        """What was said, by choice, in the shape of a whole answer."""
        choices: list[JsonValue] = [self._told(index, choice) for index, choice in sorted(self._choices.items())]
        return {"object": "chat.completion", "whole": self.whole, "choices": choices}

    def _take(self, choice: Any) -> None:
        held = self._choices.setdefault(choice.get("index", 0), {"texts": [], "calls": {}, "finish_reason": None})
        delta = choice.get("delta") or {}
        held["texts"].append(delta.get("content") or "")
        held["finish_reason"] = choice.get("finish_reason") or held["finish_reason"]
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            known = held["calls"].setdefault(call.get("index", 0), {"id": "", "name": "", "arguments": ""})
            known["id"] = call.get("id") or known["id"]
            known["name"] = function.get("name") or known["name"]
            known["arguments"] += function.get("arguments") or ""

    @staticmethod
    def _told(index: int, held: dict[str, Any]) -> JsonObject:
        message: JsonObject = {"role": "assistant", "content": "".join(held["texts"])}
        if held["calls"]:
            message["tool_calls"] = [call for _, call in sorted(held["calls"].items())]
        return {"index": index, "message": message, "finish_reason": held["finish_reason"]}

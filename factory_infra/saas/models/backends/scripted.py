"""A model that says what a script says, in this process: for tests, demonstrations and machines without a model."""

import asyncio
import re
from collections.abc import AsyncGenerator

import orjson
from pydantic import JsonValue, SecretStr

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends import faults
from factory_infra.saas.models.backends.abilities import CHAT, abilities_of
from factory_infra.saas.models.backends.counts import inputs_of, texts_of
from factory_infra.saas.models.backends.shapes import Chunks, Said, completion, messages_of, schema_of, tokens_out_max, tool_call
from factory_infra.saas.models.backends.spec import ScriptedSpec
from factory_infra.saas.models.calls import Abilities, Answer, Call, JsonObject, Piece
from factory_infra.saas.models.models import ChatCall, ChatMessage
from factory_infra.saas.models.providers.scripted import Rule, Script, default_answer, load_script
from factory_infra.settings import Settings

ABILITIES = abilities_of(*CHAT, "images", "embeddings", fields=frozenset({"seed", "parallel_tool_calls"}))
WORD = re.compile(r"\s*\S+|\s+$")
DIMENSIONS = 8


class ScriptedBackend:
    """Deterministic: the same calls in the same order get the same answers. Each word is a token, and every piece tells the usage."""

    def __init__(self, spec: ScriptedSpec, settings: Settings, secret: SecretStr | None) -> None:
        del settings, secret
        self.name = spec.title
        self._spec = spec
        self._scripts: dict[str, Script] = {}
        self._used: dict[tuple[str, int], int] = {}

    def abilities(self, model: str) -> Abilities:
        """What a script can do, with the file's differences."""
        return self._spec.overridden(model, ABILITIES)

    async def close(self) -> None:
        """Nothing is open."""

    async def complete(self, call: Call) -> Answer:
        """Answer a chat call as a whole."""
        said, usage = await self._said(call)
        return completion(call.id, call.model, said, usage)

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Answer word by word."""
        said, usage = await self._said(call)
        chunks = Chunks(call.id, call.model)
        if said.tool_calls:
            yield Piece(chunks.whole(said, usage), usage.tokens_out, usage)
            return
        for count, word in enumerate(WORD.findall(said.content or ""), start=1):
            await asyncio.sleep(self._spec.word_seconds)
            delta: JsonObject = {"role": "assistant", "content": word} if count == 1 else {"content": word}
            yield Piece([chunks.delta(delta)], count, Usage(tokens_in=usage.tokens_in, tokens_out=count))
        yield Piece([chunks.delta({}, said.finish), chunks.usage(usage)], usage.tokens_out, usage)

    async def embed(self, call: Call) -> Answer:
        """Vectors that depend on the letters alone."""
        texts = inputs_of(call.body)
        data: list[JsonValue] = [{"object": "embedding", "index": index, "embedding": [*_vector(text)]} for index, text in enumerate(texts)]
        usage = Usage(tokens_in=sum(len(WORD.findall(text)) for text in texts))
        told: JsonObject = {"prompt_tokens": usage.tokens_in, "total_tokens": usage.tokens_in}
        return Answer({"object": "list", "model": call.model, "data": data, "usage": told}, usage)

    async def _said(self, call: Call) -> tuple[Said, Usage]:
        messages = messages_of(call.body)
        rule = self._rule(call.model, "".join(texts_of(messages[-1].get("content"))) if messages else "")
        await asyncio.sleep(rule.delay)
        if rule.fail == "unavailable":
            raise faults.unavailable(self.name, "is told to be unavailable")
        tokens_in = sum(len(WORD.findall(text)) for message in messages for text in texts_of(message.get("content")))
        if rule.tool_calls:
            calls = [tool_call(item.id, item.name, orjson.dumps(item.arguments).decode()) for item in rule.tool_calls]
            return Said(tool_calls=calls, finish="tool_calls"), Usage(tokens_in=tokens_in, tokens_out=len(calls))
        words = WORD.findall(_content(rule, call.body))
        most = tokens_out_max(call.body)
        kept = words if most is None else words[:most]
        said = Said(content="".join(kept), finish="stop" if len(kept) == len(words) else "length")
        return said, Usage(tokens_in=tokens_in, tokens_out=len(kept))

    def _rule(self, model: str, text: str) -> Rule:
        name = self._spec.script or model
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = load_script(name)
        for index, rule in enumerate(script.rules):
            used = self._used.get((name, index), 0)
            if (rule.times is None or used < rule.times) and re.search(rule.when, text, re.IGNORECASE):
                self._used[name, index] = used + 1
                return rule
        return Rule(answer="")


def _content(rule: Rule, body: JsonObject) -> str:
    """The rule's words, nonsense where it wants some, else the smallest answer that fits."""
    if rule.fail == "nonsense":
        return "\u0000 nonsense"
    if rule.answer or rule.choice:
        return rule.answer or rule.choice or ""
    return default_answer(ChatCall(messages=[ChatMessage(role="user")], json_schema=schema_of(body)))


def _vector(text: str) -> list[float]:
    """A short vector of length one, the same for the same text."""
    counts = [1.0 + sum(1 for letter in text if ord(letter) % DIMENSIONS == place) for place in range(DIMENSIONS)]
    length = sum(value * value for value in counts) ** 0.5
    return [value / length for value in counts]

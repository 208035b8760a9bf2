"""Amazon Bedrock: chat by Converse and ConverseStream, embeddings by InvokeModel."""

import re
from collections.abc import AsyncGenerator
from dataclasses import replace

from pydantic import SecretStr

from factory_infra.errors import LineshaftError
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends import bedrock_embeddings, faults
from factory_infra.saas.models.backends.abilities import CHAT as CHATS
from factory_infra.saas.models.backends.abilities import abilities_of
from factory_infra.saas.models.backends.aws import Aws, EventReader
from factory_infra.saas.models.backends.bedrock_answer import ConverseEvents, said_of, usage_of
from factory_infra.saas.models.backends.bedrock_request import converse_request
from factory_infra.saas.models.backends.counts import tokens_of_answer, tokens_of_prompt
from factory_infra.saas.models.backends.shapes import completion
from factory_infra.saas.models.backends.spec import BedrockSpec
from factory_infra.saas.models.calls import Abilities, Ability, Answer, Call, Piece
from factory_infra.settings import Settings

SERVICE = "bedrock-runtime"
CHAT = abilities_of(*CHATS, context=128_000)
EMBEDDINGS = abilities_of("embeddings", context=8_192)
WITH_TOOLS: frozenset[Ability] = frozenset({"tools", "parallel_tools", "json_schema"})
SEES = re.compile(r"claude-(?!2|instant)|nova-(?!micro)|llama3-2-(?:11|90)b|llama4|pixtral|mistral-large-3|gemma-3")
NO_TOOLS = re.compile(r"titan-text|titan-tg1|llama2|llama3-(?:8|70)b|mistral-7b|mixtral|claude-(?:2|instant)")
"""Families of models; the gateway's file has the last word."""


class BedrockBackend:
    """Bedrock in one region, by the usual credentials. A schema goes by a tool that has to be called: its arguments are the answer."""

    def __init__(self, spec: BedrockSpec, settings: Settings, secret: SecretStr | None) -> None:
        del settings, secret
        self.name = spec.title
        self._spec = spec
        self._aws = Aws(self.name, spec)

    def abilities(self, model: str) -> Abilities:
        """What the model's family can do, with the file's differences."""
        return self._spec.overridden(model, _family(model))

    async def close(self) -> None:
        """Give connections back."""
        await self._aws.close()

    async def complete(self, call: Call) -> Answer:
        """Answer a chat call as a whole."""
        request = converse_request(call.model, call.body, self._spec.guardrail, stream=False)
        response = await self._aws.call(SERVICE, "converse", call.deadline_seconds, **request.arguments)
        if not isinstance(response.get("output"), dict):
            raise faults.not_the_protocol(self.name, "with what is no answer of Converse")
        said, usage = said_of(response, request.answer_tool), usage_of(response.get("usage"))
        if usage is None:
            estimated = Usage(tokens_in=tokens_of_prompt(call.body), estimated=True)
            answer = completion(call.id, call.model, said, estimated)
            usage = replace(estimated, tokens_out=tokens_of_answer(answer.body))
        return completion(call.id, call.model, said, usage)

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Answer piece by piece. Bedrock tells the usage with the last event only; until then the count is ours."""
        request = converse_request(call.model, call.body, self._spec.guardrail, stream=True)
        response = await self._aws.call(SERVICE, "converse_stream", call.deadline_seconds, **request.arguments)
        reader = EventReader(self._aws, response["stream"], call.deadline_seconds)
        events = ConverseEvents(call.id, call.model, request.answer_tool)
        try:
            while (event := await self._next(reader, events)) is not None:
                piece = events.take(event)
                if piece is not None:
                    yield piece
            if not events.ended:
                raise faults.broken_stream(self.name, "broke off before its end")
        finally:
            reader.close()

    async def _next(self, reader: EventReader, events: ConverseEvents) -> dict[str, object] | None:
        """The next event. Once something was said, every fault is one of a broken stream."""
        try:
            event = await reader.next()
        except LineshaftError as error:
            if not events.begun:
                raise
            raise faults.broken_stream(self.name, f"ended in an error: {error.reason}") from error
        return None if event is None else dict(event)

    async def embed(self, call: Call) -> Answer:
        """Embed the texts of `body.input`."""
        return await bedrock_embeddings.embed(self._aws, call)


def _family(model: str) -> Abilities:
    if bedrock_embeddings.embeds(model):
        return replace(EMBEDDINGS, fields=frozenset({"dimensions"} if bedrock_embeddings.takes_dimensions(model) else ()))
    can: frozenset[Ability] = CHAT.can | {"images"} if SEES.search(model) else CHAT.can
    return replace(CHAT, can=can - WITH_TOOLS if NO_TOOLS.search(model) else can)

"""Our own model server on this machine: the embedded chat model, and the embeddings."""

import uuid
from collections.abc import AsyncGenerator

import orjson
from pydantic import JsonValue, SecretStr

from factory_infra.errors import Unavailable
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends.abilities import abilities_of, ability_missing
from factory_infra.saas.models.backends.openai import OpenAIBackend
from factory_infra.saas.models.backends.shapes import (
    Chunks,
    Said,
    completion,
    messages_of,
    said_in,
    schema_of,
    tokens_out_max,
    tool_call,
    tools_of,
)
from factory_infra.saas.models.backends.spec import EmbeddedSpec, OpenAISpec
from factory_infra.saas.models.calls import Abilities, Answer, Call, JsonObject, Piece
from factory_infra.saas.models.llama import CONTEXT_TOKENS
from factory_infra.saas.models.tool_choice import REPLY, choice_schema, functions_of, instruction
from factory_infra.settings import Settings

EMBEDDINGS_MODEL = "all-minilm-l6-v2"
EMBEDDINGS_TOKENS_MAX = 256
TOKENS_OUT_MAX = 2048
"""As the server has them; its modules are not imported, for they load the models' libraries."""
CHAT = Abilities(
    can=frozenset({"chat", "stream", "tools", "json_schema", "json_object"}),
    context_tokens=CONTEXT_TOKENS,
    tokens_out_max=TOKENS_OUT_MAX,
    fields=frozenset({"seed"}),
)
EMBEDDINGS = abilities_of("embeddings", context=EMBEDDINGS_TOKENS_MAX)
SENT = ("temperature", "top_p", "seed", "stop", "response_format")
"""What the server hands to its engine; nothing else is sent."""


class EmbeddedBackend:
    """The model server. A model so small calls no tool by itself: a grammar holds it to one choice, which is read back as a call."""

    def __init__(self, spec: EmbeddedSpec, settings: Settings, secret: SecretStr | None) -> None:
        self.name = spec.title
        self._spec = spec
        self._server: OpenAIBackend | None = None
        if settings.model_server_url is not None:
            # The server tells its usage in every chunk and afterwards: it is exact wherever a stream is cut.
            told = OpenAISpec(
                kind="openai",
                name=self.name,
                url=f"{settings.model_server_url.rstrip('/')}/v1",
                usage_in_stream=True,
                usage_recall=True,
                connections_max=spec.connections_max,
            )
            self._server = OpenAIBackend(told, settings, secret or settings.model_server_key)

    def abilities(self, model: str) -> Abilities:
        """What the chat model or the embeddings can do, with the file's differences."""
        return self._spec.overridden(model, EMBEDDINGS if model == EMBEDDINGS_MODEL else CHAT)

    async def close(self) -> None:
        """Give connections back."""
        if self._server is not None:
            await self._server.close()

    async def complete(self, call: Call) -> Answer:
        """Answer a chat call as a whole."""
        tools = _offered(call.body)
        if not tools:
            return await self._reached().complete(_with(call, _body(call.body)))
        answer = await self._reached().complete(_with(call, _choosing(call.body, tools)))
        return _chosen(call, answer)

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Answer piece by piece; with tools, which are chosen as a whole, in one piece."""
        if not _offered(call.body):
            pieces = self._reached().stream(_with(call, _body(call.body)))
            try:
                async for piece in pieces:
                    yield piece
            finally:
                await pieces.aclose()
            return
        answer = await self.complete(call)
        chunks = Chunks(call.id, call.model).whole(said_in(answer), answer.usage)
        yield Piece(chunks, answer.usage.tokens_out, answer.usage)

    async def embed(self, call: Call) -> Answer:
        """Embed the texts of `body.input`."""
        return await self._reached().embed(_with(call, {"input": call.body.get("input")}))

    async def usage_of(self, call_id: str) -> Usage | None:
        """What a call used, as the server remembers it."""
        return await self._reached().usage_of(call_id)

    def _reached(self) -> OpenAIBackend:
        if self._server is None:
            raise Unavailable(
                "The model server has no address here.", remedy="Start the stack with `lineshaft up`.", code="model_unavailable"
            )
        return self._server


def _with(call: Call, body: JsonObject) -> Call:
    return Call(call.id, call.kind, call.model, body, call.deadline_seconds)


def _body(body: JsonObject) -> JsonObject:
    sent: JsonObject = {name: body[name] for name in SENT if body.get(name) is not None}
    # The model's template knows no developer, only who is the same by another name.
    sent["messages"] = [{**message, "role": "system"} if message.get("role") == "developer" else message for message in messages_of(body)]
    most = tokens_out_max(body)
    return sent if most is None else sent | {"max_tokens": most}


def _offered(body: JsonObject) -> list[JsonObject]:
    """The tools that the model may choose from: all, none, or the one that the request insists on."""
    choice, tools = body.get("tool_choice"), tools_of(body)
    if choice == "none":
        return []
    named = choice.get("function") if isinstance(choice, dict) else None
    if isinstance(named, dict):
        return [tool for tool in tools if isinstance(held := tool.get("function"), dict) and held.get("name") == named.get("name")]
    return tools


def _choosing(body: JsonObject, tools: list[JsonObject]) -> JsonObject:
    """The request whose answer is one choice. A reply in words is among them unless a tool is required; it keeps the request's schema."""
    if any(function.name == REPLY for function in functions_of(tools)):
        raise ability_missing(f"The embedded model cannot have a tool named '{REPLY}'.", remedy="Give the tool another name.")
    branches = choice_schema(tools)["anyOf"]
    schema = schema_of(body)
    if isinstance(branches, list):
        if body.get("tool_choice") not in (None, "auto"):
            branches.pop()
        elif schema is not None:
            branches[-1] = {
                "type": "object",
                "properties": {"tool": {"const": REPLY}, "arguments": schema},
                "required": ["tool", "arguments"],
                "additionalProperties": False,
            }
    form: JsonValue = {"type": "json_schema", "json_schema": {"name": "choice", "schema": {"anyOf": branches}}}
    told: JsonValue = instruction(tools).model_dump(include={"role", "content"})
    sent = _body(body)
    messages = sent["messages"]
    return sent | {"messages": [told, *(messages if isinstance(messages, list) else [])], "response_format": form}


def _chosen(call: Call, answer: Answer) -> Answer:
    """The choice as a tool call or as words. What is neither, such as a choice cut off by its limit, stays as the model said it."""
    said, usage = said_in(answer), answer.usage
    try:
        chosen = orjson.loads(said.content or "")
    except orjson.JSONDecodeError:
        return answer
    if not isinstance(chosen, dict):
        return answer
    name, given = chosen.get("tool"), chosen.get("arguments")
    if not isinstance(name, str) or not isinstance(given, dict):
        return answer
    if name != REPLY:
        chosen_call = tool_call(f"call_{uuid.uuid4().hex[:24]}", name, orjson.dumps(given).decode())
        return completion(call.id, call.model, Said(tool_calls=[chosen_call], finish="tool_calls"), usage)
    words = str(given.get("text", "")) if schema_of(call.body) is None else orjson.dumps(given).decode()
    return completion(call.id, call.model, Said(content=words, finish=said.finish), usage)

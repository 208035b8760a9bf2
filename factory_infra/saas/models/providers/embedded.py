"""The embedded model: our own model server on this machine."""

import json
from typing import Literal

import httpx
from pydantic import JsonValue

from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, Unavailable
from factory_infra.saas.models.checks import checked
from factory_infra.saas.models.models import ChatAnswer, ChatCall
from factory_infra.saas.models.tool_choice import as_tool_call, choice_schema, instruction
from factory_infra.saas.models.wire import answer_from_wire, message_to_wire
from factory_infra.settings import Settings

REMEDY = "See `lineshaft status`, and `lineshaft logs models`."


class Embedded:
    """Asks the model server; choices, schemas and tools are held by a grammar, so a small model cannot leave them."""

    def __init__(self, name: str, settings: Settings, size: Literal["small", "large"] | None = None) -> None:
        self.name = f"embedded:{name}"
        self.size: Literal["small", "large"] = size or "small"
        self._url = settings.model_server_url
        self._key = settings.model_server_key
        self._timeout = settings.model_timeout_seconds
        self._client: httpx.AsyncClient | None = None

    async def answer(self, call: ChatCall) -> ChatAnswer:
        """Answer one call; see the interface."""
        choosing_tool = bool(call.tools) and call.choices is None and call.json_schema is None
        response = await self._post(_body(call, choosing_tool=choosing_tool))
        if response.status_code != httpx.codes.OK:
            raise _refusal(self.name, response)
        answer = answer_from_wire(call, response.json(), self.name)
        return as_tool_call(answer) if choosing_tool else checked(call, answer)

    async def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _post(self, body: dict[str, JsonValue]) -> httpx.Response:
        if self._url is None or self._key is None:
            raise Unavailable(
                "The model server has no address here.", remedy="Start the stack with `lineshaft up`.", code="model_unavailable"
            )
        if self._client is None:
            headers = {"Authorization": f"Bearer {self._key.get_secret_value()}"}
            timeout = httpx.Timeout(self._timeout, connect=5.0)
            self._client = httpx.AsyncClient(base_url=self._url, headers=headers, timeout=timeout, trust_env=False)
        try:
            return await self._client.post("/v1/chat/completions", json=body)
        except httpx.TimeoutException as error:
            reason = f"{self.name} did not answer within {self._timeout:g} s."
            raise Unavailable(reason, remedy=REMEDY, code="model_timeout") from error
        except httpx.TransportError as error:
            raise Unavailable(f"The model server at {self._url} does not answer.", remedy=REMEDY, code="model_unavailable") from error


def _body(call: ChatCall, *, choosing_tool: bool) -> dict[str, JsonValue]:
    messages = [instruction(call.tools), *call.messages] if choosing_tool else call.messages
    body: dict[str, JsonValue] = {
        "messages": [message_to_wire(message) for message in messages],
        "max_tokens": call.tokens_max,
        "temperature": call.temperature,
    }
    if call.choices is not None:
        body["grammar"] = choices_grammar(call.choices)
    elif call.json_schema is not None or choosing_tool:
        schema: JsonValue = call.json_schema if call.json_schema is not None else choice_schema(call.tools)
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    return body


def choices_grammar(choices: list[str]) -> str:
    """A GBNF grammar of exactly these answers. Raises InvalidInput for an empty, padded or unprintable choice."""
    for choice in choices:
        if not choice or not choice.isprintable() or choice != choice.strip():
            raise InvalidInput(f"The choice {choice!r} is empty, padded or unprintable.", remedy="Use short printable words.")
    return "root ::= " + " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)


def _refusal(name: str, response: httpx.Response) -> LineshaftError:
    try:
        error = response.json()["error"]
        reason, remedy = str(error["message"]), str(error.get("remedy", REMEDY))
    except (ValueError, KeyError, TypeError, AttributeError):
        reason, remedy = f"HTTP {response.status_code}", REMEDY
    reason = f"{name}: {reason}"
    if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return EffectFailed(reason, remedy=remedy, code="model_key_refused")
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        return Unavailable(reason, remedy=remedy, code="model_unavailable")
    return InvalidInput(reason, remedy=remedy, code="model_call_refused")

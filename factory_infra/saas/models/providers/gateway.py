"""The installation's own gateway: agents call a virtual model of it, by the same door, limits and ledger as everybody."""

from pathlib import Path
from typing import Literal

import httpx
from pydantic import JsonValue

from factory_infra.errors import BudgetExceeded, EffectFailed, InvalidInput, LineshaftError, Unavailable
from factory_infra.paas.tenants.models import PLATFORM
from factory_infra.saas.metering.models import Attribution
from factory_infra.saas.models.checks import checked
from factory_infra.saas.models.choices import choice_object_schema, choice_unwrapped
from factory_infra.saas.models.models import ChatAnswer, ChatCall
from factory_infra.saas.models.wire import answer_from_wire, message_to_wire
from factory_infra.settings import Settings

REMEDY = "See `lineshaft status`, `lineshaft logs gateway`, and the model's route in gateway.yaml."


class GatewayModel:
    """Asks the gateway with an administrator's key, for the team that each call is charged to. The gateway reserves and settles."""

    def __init__(self, name: str, settings: Settings, size: Literal["small", "large"] | None = None) -> None:
        self.name = f"gateway:{name}"
        self.size: Literal["small", "large"] = size or "large"
        self._model = name
        self._url = settings.gateway_url or f"http://127.0.0.1:{settings.gateway_port}"
        self._key = settings.model_key.get_secret_value() if settings.model_key else ""
        self._key_file = settings.secrets_dir / "admin.key"
        self._timeout = settings.model_timeout_seconds
        self._client: httpx.AsyncClient | None = None

    async def answer(self, call: ChatCall) -> ChatAnswer:
        """Answer one call that is nobody's: the platform's own team is charged."""
        return await self.answer_for(call, Attribution(tenant=PLATFORM))

    async def answer_for(self, call: ChatCall, whose: Attribution) -> ChatAnswer:
        """Answer one call, charged and limited by the gateway as `whose` says. Also raises BudgetExceeded."""
        response = await self._post(_body(self._model, call), _headers(whose))
        if response.status_code != httpx.codes.OK:
            raise _refusal(self.name, response)
        answer = answer_from_wire(call, response.json(), self.name)
        if call.choices is not None:
            answer = answer.model_copy(update={"content": choice_unwrapped(answer.content)})
        return checked(call, answer)

    async def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _post(self, body: dict[str, JsonValue], headers: dict[str, str]) -> httpx.Response:
        if self._client is None:
            self._client = httpx.AsyncClient(base_url=self._url, timeout=httpx.Timeout(self._timeout, connect=5.0), trust_env=False)
        headers["authorization"] = f"Bearer {self._key or _read(self._key_file)}"
        try:
            return await self._client.post("/v1/chat/completions", json=body, headers=headers)
        except httpx.TimeoutException as error:
            reason = f"{self.name} did not answer within {self._timeout:g} s."
            raise Unavailable(reason, remedy=REMEDY, code="model_timeout") from error
        except httpx.TransportError as error:
            raise Unavailable(f"The gateway at {self._url} does not answer.", remedy=REMEDY, code="model_unavailable") from error


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise EffectFailed(
            "There is no key for the gateway.", remedy="Set LINESHAFT_MODEL_KEY to an administrator's key.", code="model_key_refused"
        ) from error


def _headers(whose: Attribution) -> dict[str, str]:
    named = {"tenant": whose.tenant, "run": whose.plan_id, "thread": whose.thread_id, "agent": whose.agent, "step": whose.step}
    return {f"x-lineshaft-{name}": value for name, value in named.items() if value}


def _body(model: str, call: ChatCall) -> dict[str, JsonValue]:
    body: dict[str, JsonValue] = {
        "model": model,
        "messages": [message_to_wire(message) for message in call.messages],
        "max_tokens": call.tokens_max,
        "temperature": call.temperature,
    }
    schema = choice_object_schema(call.choices) if call.choices is not None else call.json_schema
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    if call.tools:
        body["tools"] = [*call.tools]
    return body


def _refusal(name: str, response: httpx.Response) -> LineshaftError:
    try:
        error = response.json()["error"]
        reason, code = f"{name}: {error['message']}", str(error.get("code"))
    except (ValueError, KeyError, TypeError, AttributeError):
        reason, code = f"{name}: HTTP {response.status_code}", ""
    if code == "insufficient_quota":
        return BudgetExceeded(reason, remedy="Have an administrator raise the budget or the limit.")
    if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return EffectFailed(reason, remedy="Check LINESHAFT_MODEL_KEY.", code="model_key_refused")
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        return Unavailable(reason, remedy=REMEDY, code="model_unavailable")
    return InvalidInput(reason, remedy=REMEDY, code="model_call_refused")

"""Any OpenAI-compatible server, through LangChain's client."""

import asyncio
from typing import TYPE_CHECKING, Literal

from langchain_core.messages import AIMessage
from pydantic import SecretStr

from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, Unavailable
from factory_infra.saas.models.checks import checked
from factory_infra.saas.models.choices import choice_object_schema, choice_unwrapped
from factory_infra.saas.models.langchain import answer_from_langchain, messages_to_langchain
from factory_infra.saas.models.models import ChatAnswer, ChatCall
from factory_infra.settings import Settings

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI


class OpenAICompatible:
    """Asks the server at `model_base_url`. Choices and schemas go by its structured output, and are checked again here."""

    def __init__(self, name: str, settings: Settings, size: Literal["small", "large"] | None = None) -> None:
        if settings.model_base_url is None:
            raise InvalidInput(
                f"The model openai:{name} has no address.", remedy="Set LINESHAFT_MODEL_BASE_URL.", code="model_address_missing"
            )
        self.name = f"openai:{name}"
        self.size: Literal["small", "large"] = size or "large"
        self._model = name
        self._url = settings.model_base_url
        self._key = settings.model_key or SecretStr("none")
        self._timeout = settings.model_timeout_seconds
        self._client: ChatOpenAI | None = None

    async def answer(self, call: ChatCall) -> ChatAnswer:
        """Answer one call; see the interface."""
        if self._client is None:
            # The import takes seconds: a thread keeps the caller's loop alive.
            self._client = await asyncio.to_thread(self._open)
        message = await self._ask(self._client, call)
        answer = answer_from_langchain(call, message, self.name)
        if call.choices is not None:
            answer = answer.model_copy(update={"content": choice_unwrapped(answer.content)})
        return checked(call, answer)

    def _open(self) -> "ChatOpenAI":
        from langchain_openai import ChatOpenAI  # noqa: PLC0415 - takes seconds, paid only by who uses it

        return ChatOpenAI(
            model=self._model, base_url=self._url, api_key=self._key, timeout=self._timeout, max_retries=0, use_responses_api=False
        )

    async def _ask(self, client: "ChatOpenAI", call: ChatCall) -> AIMessage:
        import openai  # noqa: PLC0415 - comes with the client

        options: dict[str, object] = {"max_tokens": call.tokens_max, "temperature": call.temperature}
        schema = choice_object_schema(call.choices) if call.choices is not None else call.json_schema
        if schema is not None:
            strict = call.choices is not None
            options["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "strict": strict, "schema": schema}}
        if call.tools:
            options["tools"] = call.tools
        try:
            return await client.bind(**options).ainvoke(messages_to_langchain(call.messages))
        except openai.OpenAIError as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> LineshaftError:
        import openai  # noqa: PLC0415 - comes with the client

        reason = f"{self.name} at {self._url}: {error}"
        if isinstance(error, openai.APIConnectionError | openai.RateLimitError | openai.InternalServerError):
            return Unavailable(reason, remedy="Check that the server runs at LINESHAFT_MODEL_BASE_URL.", code="model_unavailable")
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return EffectFailed(reason, remedy="Check LINESHAFT_MODEL_KEY.", code="model_key_refused")
        if isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
            return InvalidInput(reason, remedy="Shorten the messages, or use a model with structured outputs.", code="model_call_refused")
        return EffectFailed(reason, remedy="Check the model's name and address.", code="model_failed")

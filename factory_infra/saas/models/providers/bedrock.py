"""Models on Amazon Bedrock, through LangChain's Converse client and the usual AWS credentials."""

import asyncio
import json
from typing import Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, Unavailable
from factory_infra.saas.models.checks import checked
from factory_infra.saas.models.choices import CHOICE_FIELD, choice_object_schema
from factory_infra.saas.models.langchain import answer_from_langchain, messages_to_langchain
from factory_infra.saas.models.models import ChatAnswer, ChatCall
from factory_infra.settings import Settings

FORCED_TOOL = "answer"
BUSY_CODES = frozenset(
    {"ThrottlingException", "ServiceUnavailableException", "ModelNotReadyException", "ModelTimeoutException", "InternalServerException"}
)


class Bedrock:
    """Asks Bedrock by Converse. Choices and schemas go by one forced tool, whose arguments are the answer."""

    def __init__(self, name: str, settings: Settings, size: Literal["small", "large"] | None = None) -> None:
        self.name = f"bedrock:{name}"
        self.size: Literal["small", "large"] = size or "large"
        self._model = name
        self._url = settings.model_base_url
        self._timeout = settings.model_timeout_seconds
        self._client: BaseChatModel | None = None

    async def answer(self, call: ChatCall) -> ChatAnswer:
        """Answer one call; see the interface."""
        message = await self._ask(call)
        answer = answer_from_langchain(call, message, self.name)
        if call.choices is not None or call.json_schema is not None:
            answer = _forced(call, answer)
        return checked(call, answer)

    def _open(self) -> BaseChatModel:
        from botocore.config import Config  # noqa: PLC0415 - heavy, paid only by who uses it
        from langchain_aws import ChatBedrockConverse  # noqa: PLC0415 - takes seconds, paid only by who uses it

        # One attempt: the caller's policy retries, and a second hidden one would be charged twice.
        config = Config(read_timeout=self._timeout, connect_timeout=10, retries={"total_max_attempts": 1})
        client: BaseChatModel = ChatBedrockConverse(model=self._model, config=config, endpoint_url=self._url)
        return client

    async def _ask(self, call: ChatCall) -> AIMessage:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - comes with the client

        try:
            if self._client is None:
                self._client = await asyncio.to_thread(self._open)
            message: AIMessage = await self._client.bind(**_options(call)).ainvoke(messages_to_langchain(call.messages))
            return message
        except ClientError as error:
            raise self._refused(error.response.get("Error", {}).get("Code", ""), error) from error
        except (BotoCoreError, ValueError) as error:
            raise self._unreached(error) from error

    def _refused(self, code: str, error: Exception) -> LineshaftError:
        reason = f"{self.name}: {error}"
        if code in BUSY_CODES:
            return Unavailable(reason, remedy="Wait, or ask AWS for a higher quota.", code="model_unavailable")
        if code == "ValidationException":
            return InvalidInput(reason, remedy="Shorten the messages, or use a model that supports tools.", code="model_call_refused")
        return EffectFailed(reason, remedy="Check the credentials, the region and the access to the model.", code="model_key_refused")

    def _unreached(self, error: Exception) -> LineshaftError:
        from botocore.exceptions import HTTPClientError  # noqa: PLC0415 - comes with the client

        reason = f"{self.name}: {error}"
        if isinstance(error, HTTPClientError):
            return Unavailable(reason, remedy="Check the network and the region.", code="model_unavailable")
        return EffectFailed(reason, remedy="Set AWS credentials and a region for this process.", code="model_key_refused")


def _options(call: ChatCall) -> dict[str, object]:
    options: dict[str, object] = {"max_tokens": call.tokens_max, "temperature": call.temperature}
    schema = choice_object_schema(call.choices) if call.choices is not None else call.json_schema
    if schema is not None:
        forced = {"name": FORCED_TOOL, "description": "Give the answer.", "parameters": schema}
        options |= {"tools": [{"type": "function", "function": forced}], "tool_choice": FORCED_TOOL}
    elif call.tools:
        options["tools"] = call.tools
    return options


def _forced(call: ChatCall, answer: ChatAnswer) -> ChatAnswer:
    """The arguments of the forced tool as the answer; without that call the content stays, and the check judges it."""
    arguments = next((item.arguments for item in answer.tool_calls if item.name == FORCED_TOOL), None)
    if arguments is None:
        return answer
    content = str(arguments.get(CHOICE_FIELD, "")) if call.choices is not None else json.dumps(arguments)
    return answer.model_copy(update={"content": content, "tool_calls": []})

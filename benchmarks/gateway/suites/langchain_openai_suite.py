"""LangChain's standard tests over `langchain-openai`, in an environment that has them."""

import base64
import os
from importlib import import_module
from typing import Any, Literal

import httpx
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

URL, KEY, MODEL = os.environ["GATEWAY_URL"], os.environ["GATEWAY_KEY"], os.environ.get("GATEWAY_MODEL", "fast")
standard: Any = import_module("langchain_tests.integration_tests")
"""It is in the clients' own environment only."""
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg==")


@pytest.fixture(autouse=True)
def a_picture_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite fetches a picture from afar by itself before it sends it as data: a small one is at hand."""
    monkeypatch.setattr(httpx, "get", lambda url, **_: httpx.Response(200, content=PIXEL, request=httpx.Request("GET", url)))


class TestChatCompletions(standard.ChatModelIntegrationTests):  # type: ignore[misc]  # as above
    """Over /v1/chat/completions."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        """The class under test."""
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """How it reaches the gateway."""
        return {"model": MODEL, "base_url": f"{URL}/v1", "api_key": KEY, "max_retries": 0, "stream_usage": True}

    @property
    def supports_image_inputs(self) -> bool:
        """Pictures as data."""
        return True

    @property
    def supports_json_mode(self) -> bool:
        """`response_format: json_object`."""
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        """Content blocks of another client."""
        return True

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], list[Any]]:
        """Details that the model tells only by chance."""
        return {"invoke": [], "stream": []}

    @property
    def supports_model_override(self) -> bool:
        """Another virtual model a call."""
        return True

    @property
    def model_override_value(self) -> str:
        """The other one."""
        return "other"


class TestResponses(TestChatCompletions):
    """Over /v1/responses."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """How it reaches the gateway."""
        return {**super().chat_model_params, "use_responses_api": True}

    @property
    def supports_json_mode(self) -> bool:
        """As `text.format`."""
        return True


class TestEmbeddings(standard.EmbeddingsIntegrationTests):  # type: ignore[misc]  # as above
    """Over /v1/embeddings."""

    @property
    def embeddings_class(self) -> type[Embeddings]:
        """The class under test."""
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        """How it reaches the gateway; texts are sent as they are."""
        return {"model": "embed", "base_url": f"{URL}/v1", "api_key": KEY, "check_embedding_ctx_length": False}

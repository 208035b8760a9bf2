"""A LangChain chat model whose every answer is a durable, metered activity."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.base import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr

from factory_infra.errors import Unavailable
from factory_infra.saas.models.models import ChatAnswer, ChatCall, ChatMessage, ToolCall
from tools.ports import Ports

TOKENS_MAX = 2048


def to_message(message: BaseMessage) -> ChatMessage:
    """Translate a LangChain message for the model seam."""
    content = message.content if isinstance(message.content, str) else json.dumps(message.content)
    if isinstance(message, AIMessage):
        calls = [ToolCall(id=call["id"] or call["name"], name=call["name"], arguments=call["args"]) for call in message.tool_calls]
        return ChatMessage(role="assistant", content=content, tool_calls=calls)
    if isinstance(message, ToolMessage):
        return ChatMessage(role="tool", content=content, tool_call_id=message.tool_call_id)
    return ChatMessage(role="system" if isinstance(message, SystemMessage) else "user", content=content)


def from_answer(answer: ChatAnswer) -> AIMessage:
    """Translate an answer for LangChain."""
    calls = [{"name": call.name, "args": call.arguments, "id": call.id, "type": "tool_call"} for call in answer.tool_calls]
    return AIMessage(content=answer.content, tool_calls=calls)


class DurableChatModel(BaseChatModel):
    """Asks the installation's model through the graph's ports; the activity charges the call to the team and the plan."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    ports: Any = Field(exclude=True)
    team: str
    plan_id: str
    thread_id: str
    agent: str
    _schemas: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return "durable"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the model, as OpenAI function schemas."""
        return self.bind(tools=[self._schema(tool) for tool in tools])

    def _schema(self, tool: dict[str, Any] | type | Callable[..., Any] | BaseTool) -> dict[str, Any]:
        """Convert a tool once: the loop offers the same tools at every step, and the conversion costs more than the step."""
        if not isinstance(tool, BaseTool):
            return convert_to_openai_tool(tool)
        if tool.name not in self._schemas:
            self._schemas[tool.name] = convert_to_openai_tool(tool)
        return self._schemas[tool.name]

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> ChatResult:
        raise Unavailable("The durable model answers asynchronously only.", remedy="Use ainvoke.")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        ports: Ports = self.ports
        call = ChatCall(messages=[to_message(message) for message in messages], tokens_max=TOKENS_MAX).model_dump(
            mode="json", by_alias=True
        )
        call["tools"] = kwargs.get("tools", [])  # schemas that were made here: the activity validates them, once is enough
        answered = await ports.call(
            "ask_model",
            {
                "call": call,
                "tenant": self.team,
                "plan_id": self.plan_id,
                "thread_id": self.thread_id,
                "agent": self.agent,
            },
        )
        if not answered["ok"]:
            raise Unavailable(str(answered["reason"]), remedy="Try again later, or choose another model.", code="model_unavailable")
        answer = ChatAnswer.model_validate(answered["answer"])
        await ports.emit("model.called", {"agent": self.agent, "model": answer.model, "tokens": answer.tokens_in + answer.tokens_out})
        return ChatResult(generations=[ChatGeneration(message=from_answer(answer))])

"""Our messages and answers in LangChain's shape; loaded only by the providers that speak through LangChain."""

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages import ToolCall as LangChainToolCall

from factory_infra.saas.models.checks import prompt_tokens_estimated, tokens_estimated
from factory_infra.saas.models.models import ChatAnswer, ChatCall, ChatMessage, ToolCall


def messages_to_langchain(messages: list[ChatMessage]) -> list[BaseMessage]:
    """The conversation in LangChain's types."""
    return [_to_langchain(message) for message in messages]


def _to_langchain(message: ChatMessage) -> BaseMessage:
    match message.role:
        case "system":
            return SystemMessage(message.content)
        case "user":
            return HumanMessage(message.content)
        case "tool":
            return ToolMessage(message.content, tool_call_id=message.tool_call_id or "")
        case "assistant":
            calls = [LangChainToolCall(name=call.name, args=call.arguments, id=call.id) for call in message.tool_calls]
            return AIMessage(message.content, tool_calls=calls)


def answer_from_langchain(call: ChatCall, message: AIMessage, model: str) -> ChatAnswer:
    """Read an answer; our own token counts where the upstream reported none."""
    content = message.text
    tool_calls = [
        ToolCall(id=item["id"] or f"call-{index}", name=item["name"], arguments=item["args"])
        for index, item in enumerate(message.tool_calls)
    ]
    usage = message.usage_metadata
    if usage is None:
        tokens_in, tokens_out = prompt_tokens_estimated(call.messages), tokens_estimated(content)
        return ChatAnswer(content=content, tool_calls=tool_calls, tokens_in=tokens_in, tokens_out=tokens_out, model=model, estimated=True)
    return ChatAnswer(
        content=content,
        tool_calls=tool_calls,
        tokens_in=usage["input_tokens"],
        tokens_out=usage["output_tokens"],
        tokens_cached=usage.get("input_token_details", {}).get("cache_read", 0),
        model=model,
    )

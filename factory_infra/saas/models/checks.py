"""Holds an answer to what was asked for, and counts tokens where the upstream does not."""

import json
import math

from jsonschema import ValidationError, validate

from factory_infra.database import storable_json
from factory_infra.errors import EffectFailed
from factory_infra.saas.models.models import ChatAnswer, ChatCall, ChatMessage

CHARACTERS_PER_TOKEN = 4.0
TOKENS_PER_MESSAGE = 4


def checked(call: ChatCall, answer: ChatAnswer) -> ChatAnswer:
    """Return the answer if it keeps the call's constraint, trimmed and storable; raise EffectFailed `model_nonsense` if not."""
    answer = ChatAnswer.model_validate_json(storable_json(answer.model_dump(mode="json")))
    if call.choices is not None:
        content = answer.content.strip()
        if content not in call.choices:
            raise _nonsense(answer, f"is none of the {len(call.choices)} choices")
        return answer.model_copy(update={"content": content})
    if call.json_schema is not None:
        try:
            validate(json.loads(answer.content), call.json_schema)
        except json.JSONDecodeError as error:
            raise _nonsense(answer, "is not JSON") from error
        except ValidationError as error:
            raise _nonsense(answer, f"breaks its schema at {error.json_path}") from error
    return answer


def _nonsense(answer: ChatAnswer, why: str) -> EffectFailed:
    return EffectFailed(
        f"The answer of {answer.model} {why}.", remedy="Ask again, or use a larger model (LINESHAFT_MODEL).", code="model_nonsense"
    )


def tokens_estimated(text: str) -> int:
    """Our own count for upstreams that report none: characters in UTF-8 over four, rounded up."""
    return math.ceil(len(text.encode()) / CHARACTERS_PER_TOKEN)


def prompt_tokens_estimated(messages: list[ChatMessage]) -> int:
    """The same for a whole prompt, with what a chat template adds to each message."""
    return sum(tokens_estimated(message.content) + TOKENS_PER_MESSAGE for message in messages)

"""An answer that is one of some choices, for servers whose structured outputs want an object at the root."""

import json

from pydantic import JsonValue

CHOICE_FIELD = "choice"


def choice_object_schema(choices: list[str]) -> dict[str, JsonValue]:
    """The JSON Schema of an object that holds one of the choices: structured outputs want an object at the root."""
    return {
        "type": "object",
        "properties": {CHOICE_FIELD: {"type": "string", "enum": [*choices]}},
        "required": [CHOICE_FIELD],
        "additionalProperties": False,
    }


def choice_unwrapped(content: str) -> str:
    """The choice inside such an object; a server that ignored the schema may have answered in plain words, left as they are."""
    try:
        value = json.loads(content)
    except json.JSONDecodeError:
        return content
    return str(value.get(CHOICE_FIELD, content)) if isinstance(value, dict) else str(value)

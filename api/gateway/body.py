"""JSON from outside: bounded in depth and in the number of its parts before anything is made of it."""

from typing import TypeVar

import orjson
from pydantic import BaseModel, JsonValue, ValidationError

from api.gateway.errors import wrong_field
from factory_infra.errors import InvalidInput
from factory_infra.saas.models.calls import JsonObject

DEPTH_MAX = 64
PARTS_MAX = 200_000
M = TypeVar("M", bound=BaseModel)


def parsed(body: bytes) -> JsonObject:
    """Read a JSON object. Raises InvalidInput for anything else, and for one that is too deep or has too many parts.

    An empty list of two bytes takes sixty of memory: brackets are counted first. Those inside of texts count as well, which is why the
    bound is far above what any request needs.
    """
    brackets = body.count(b"[") + body.count(b"{")
    if brackets > PARTS_MAX:
        raise InvalidInput("The body has too many parts.", remedy="Send fewer objects and lists.", code="invalid_json")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput("The body is not valid JSON.", remedy="Send a JSON object in UTF-8.", code="invalid_json") from error
    if not isinstance(value, dict):
        raise InvalidInput("The body is not a JSON object.", remedy="Send a JSON object.", code="invalid_json")
    if brackets > DEPTH_MAX and deeper_than(value, DEPTH_MAX):
        raise InvalidInput(f"The body is nested deeper than {DEPTH_MAX} levels.", remedy="Make it flatter.", code="invalid_json")
    return value


def deeper_than(value: JsonValue, depth_max: int) -> bool:
    """Whether a value is nested deeper than allowed; level by level, so that no depth can exhaust the stack."""
    level: list[JsonValue] = [value]
    for _ in range(depth_max):
        level = [child for each in level for child in children(each) if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def children(value: JsonValue) -> list[JsonValue]:
    """What stands directly in a value."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def validated(model: type[M], value: JsonObject) -> M:
    """Make a request of what was read. Raises ParameterRefused, which names the first field that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise wrong_field(error, value) from error

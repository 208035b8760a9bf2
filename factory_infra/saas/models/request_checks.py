"""Refuses what is wrong with a request by OpenAI's own codes, with the field's place in it."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

import orjson
from jsonschema import Draft202012Validator, SchemaError
from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.request_parts import TAG

T = TypeVar("T")

PLACE_CHARACTERS_MAX = 200
SCHEMA_PARTS_MAX = 20_000
SCHEMAS_REMEMBERED_MAX = 256
REMEMBERED_BYTES_MAX = 16_384
DATA_IMAGE = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,[A-Za-z0-9+/]")
MESSAGE = re.compile(r"messages\[\d+\]")
BY_TYPE = {
    "extra_forbidden": "unknown_parameter",
    "missing": "missing_required_parameter",
    "too_long": "array_above_max_length",
    "too_short": "array_below_min_length",
    "string_too_long": "string_above_max_length",
    "string_too_short": "string_below_min_length",
    "greater_than_equal": "below_min_value",
    "greater_than": "below_min_value",
    "less_than_equal": "above_max_value",
    "less_than": "above_max_value",
    "int_parsing_size": "above_max_value",
}
"""What pydantic calls a fault, and how OpenAI does; bounds of numbers are told by the number's kind."""


class ParameterRefused(InvalidInput):
    """One field of a request is wrong. `param` is its place, as in `messages[0].content`; the code is OpenAI's."""

    def __init__(self, param: str, reason: str, *, code: str, remedy: str = "") -> None:
        super().__init__(reason, remedy=remedy, code=code)
        self.param = param


def validated(shape: TypeAdapter[T], sent: JsonObject, refused: Mapping[str, str] | None = None) -> None:
    """Hold what was sent against a shape. Raises ParameterRefused for the first fault; what was sent is not repeated in it."""
    try:
        shape.validate_python(sent)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise _refusal(first, sent, refused or {}) from None


def _refusal(fault: ErrorDetails, sent: JsonObject, refused: Mapping[str, str]) -> ParameterRefused:
    kind = fault["type"]
    place = place_of(fault["loc"], sent, whole=kind in {"missing", "extra_forbidden"})
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return _no_shape(place)
    code = _code(kind, fault)
    if code == "unknown_parameter":
        if place in refused:
            return ParameterRefused(place, f"Unsupported parameter: '{place}'.", code="unsupported_parameter", remedy=refused[place])
        return ParameterRefused(place, f"Unknown parameter: '{place}'.", code=code)
    if code == "missing_required_parameter":
        return ParameterRefused(place, f"Missing required parameter: '{place}'.", code=code)
    return ParameterRefused(place, f"Invalid '{place}': {fault['msg'][:PLACE_CHARACTERS_MAX]}.", code=code)


def _no_shape(place: str) -> ParameterRefused:
    """The field that chooses between shapes is missing, or has a value that no shape is for."""
    if place == "input":
        return ParameterRefused(place, "Invalid 'input': a text, or a list of texts or of tokens is needed.", code="invalid_type")
    field = f"{place}.{'role' if MESSAGE.fullmatch(place) else 'type'}"
    return ParameterRefused(field, f"Invalid '{field}': it is missing, or not one of those that are taken here.", code="invalid_value")


def _code(kind: str, fault: ErrorDetails) -> str:
    code = BY_TYPE.get(kind)
    if code is None:
        return "invalid_type" if kind.endswith("_type") else "invalid_value"
    if code.endswith("_value"):
        bound = fault.get("ctx", {}).get("ge", fault.get("ctx", {}).get("le", 0))
        return f"{'decimal' if isinstance(bound, float) else 'integer'}_{code}"
    return code


def place_of(loc: Sequence[int | str], sent: JsonObject, *, whole: bool) -> str:
    """Write a field's place as OpenAI does. `whole`: its last part is a field though it is not in what was sent, or should not be.

    Names of shapes that stand between fields are left out: ours begin with a sign, others are not in what was sent.
    """
    place = ""
    current: JsonValue = sent
    for index, part in enumerate(loc):
        if isinstance(part, int):
            place += f"[{part}]"
            current = current[part] if isinstance(current, list) and part < len(current) else {}
        elif not part.startswith(TAG) and isinstance(current, dict) and (part in current or (whole and index == len(loc) - 1)):
            place += f".{part}"
            current = current.get(part)
    return place.removeprefix(".")[:PLACE_CHARACTERS_MAX] or "body"


def checked_messages(sent: JsonObject) -> None:
    """Refuse image parts that are neither an image's data URL nor an address; whether an address is taken is the backend's affair."""
    messages = sent["messages"]
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            for number, part in enumerate(content):
                image = part.get("image_url") if isinstance(part, dict) else None
                if isinstance(image, dict):
                    _checked_image(str(image.get("url")), f"messages[{index}].content[{number}].image_url.url")


def _checked_image(url: str, place: str) -> None:
    if url.startswith("https://") or DATA_IMAGE.match(url):
        return
    raise ParameterRefused(
        place, f"Invalid '{place}': an image is a data URL of a PNG, JPEG, GIF or WebP in Base64.", code="invalid_image_url"
    )


def checked_schemas(sent: JsonObject) -> None:
    """Refuse a schema that is none, or that refers to an address: whoever resolves it would fetch it. Its parts are bounded, too."""
    form = sent.get("response_format")
    if isinstance(form, dict):
        _checked_schema(form.get("json_schema"), "schema", "response_format.json_schema.schema")
    tools = sent.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        _checked_schema(tool.get("function") if isinstance(tool, dict) else None, "parameters", f"tools[{index}].function.parameters")


def _checked_schema(holder: object, name: str, place: str) -> None:
    schema = holder.get(name) if isinstance(holder, dict) else None
    if schema is None:
        return
    _no_address(schema, place)
    written = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
    wrong = _wrong_in(written) if len(written) > REMEMBERED_BYTES_MAX else _wrong_remembered(written)
    if wrong:
        raise ParameterRefused(place, f"Invalid schema for '{place}': {wrong}", code="invalid_value")


def _wrong_in(written: bytes) -> str:
    """What is wrong in a schema by JSON Schema's own rules (draft 2020-12); empty where nothing is."""
    try:
        Draft202012Validator.check_schema(orjson.loads(written))
    except SchemaError as error:
        return f"at {error.json_path}: {error.message[:200]}."
    return ""


_wrong_remembered = lru_cache(maxsize=SCHEMAS_REMEMBERED_MAX)(_wrong_in)
"""Callers send the same few schemas again and again; checking one takes a millisecond or two."""


def _no_address(schema: object, place: str) -> None:
    left, count = [schema], 0
    while left:
        part = left.pop()
        count += 1
        if count > SCHEMA_PARTS_MAX:
            raise ParameterRefused(place, f"Invalid '{place}': it has more than {SCHEMA_PARTS_MAX} parts.", code="invalid_value")
        if isinstance(part, dict):
            for name in ("$ref", "$dynamicRef", "$recursiveRef"):
                target = part.get(name)
                if isinstance(target, str) and not target.startswith("#"):
                    raise ParameterRefused(place, f"Invalid '{place}': '{name}' leads out of the schema.", code="invalid_value")
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)

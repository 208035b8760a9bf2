"""How one server-sent event is written."""

import orjson

from factory_infra.saas.models.calls import JsonObject


def event(kind: str, data: JsonObject) -> bytes:
    """A named event."""
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


def plain(data: JsonObject) -> bytes:
    """An event without a name."""
    return b"data: " + orjson.dumps(data) + b"\n\n"

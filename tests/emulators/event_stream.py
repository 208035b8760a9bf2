"""Frames of `application/vnd.amazon.eventstream`, as AWS's runtimes send them."""

import json
import struct
import zlib
from collections.abc import Mapping


def frame(name: str, payload: Mapping[str, object] | bytes, *, exception: bool = False) -> bytes:
    """One message: an event of that type, or an exception."""
    kind = "exception" if exception else "event"
    content = "application/octet-stream" if isinstance(payload, bytes) else "application/json"
    headers = _header(f":{kind}-type", name) + _header(":content-type", content) + _header(":message-type", kind)
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    message = prelude + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return bytes([len(key)]) + key + b"\x07" + struct.pack(">H", len(text)) + text

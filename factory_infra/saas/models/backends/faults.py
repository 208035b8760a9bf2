"""What an upstream's faults become: one translator for all kinds, and nothing in it that names an address or a key."""

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson

from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, Unavailable

MESSAGE_CHARACTERS_MAX = 400
RETRY_AFTER_SECONDS_MAX = 3600.0
HIDDEN = (
    re.compile(r"(?:https?|wss?|tcp|s3)://[^\s'\"<>)\]]+", re.IGNORECASE),
    re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"),
    re.compile(r"\b[\w-]+(?:\.[\w-]+)*\.(?:internal|local|svc|lan|corp|amazonaws\.com)(?::\d+)?\b", re.IGNORECASE),
    re.compile(r"\blocalhost(?::\d+)?\b", re.IGNORECASE),
    re.compile(r"\barn:aws[\w:/.-]+"),
    re.compile(r"(?:bearer\s+|\b(?:sk|pk|key|tok|ls|hf|gsk|xai)[-_])[\w.*/+=-]{6,}", re.IGNORECASE),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"),
)
"""Addresses, hosts of inner networks, keys: an upstream's message may hold them, and it goes to a client."""
SPACES = re.compile(r"[\s\x00-\x1f\x7f]+")
REFUSED_STATUSES = frozenset({400, 404, 405, 409, 413, 415, 422})
BUSY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
KEY_STATUSES = frozenset({401, 403})


def told(text: str, *secrets: str) -> str:
    """An upstream's message, fit for a client: one line, of bounded length, without addresses and keys."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[hidden]")
    for pattern in HIDDEN:
        text = pattern.sub("[hidden]", text)
    text = SPACES.sub(" ", text).strip()
    return text if len(text) <= MESSAGE_CHARACTERS_MAX else text[: MESSAGE_CHARACTERS_MAX - 1] + "…"


def message_in(raw: bytes) -> str:
    """The message in an error's body, in any of the shapes that OpenAI-compatible servers use; empty where there is none."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return ""
    return message_of(body)


def message_of(body: object) -> str:
    """The same, for a body that is parsed already."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return ""
    for holder in (body.get("error"), body.get("detail"), body):
        text = holder.get("message") if isinstance(holder, dict) else holder
        if isinstance(text, str) and text:
            return text
    return ""


def refused(backend: str, message: str) -> InvalidInput:
    """The upstream refuses the call as such."""
    reason = f"{backend} refuses the call: {message}" if message else f"{backend} refuses the call."
    return InvalidInput(reason, remedy="Change the request, or choose another model.", code="model_call_refused")


def key_refused(backend: str) -> EffectFailed:
    """The upstream refuses our key. Its words are left out: some repeat the key."""
    remedy = "Check the backend's key and its access to the model."
    return EffectFailed(f"{backend} refuses the gateway's key.", remedy=remedy, code="model_key_refused")


def not_the_protocol(backend: str, what: str) -> EffectFailed:
    """The upstream answers with what is not the protocol."""
    return EffectFailed(f"{backend} answers {what}.", remedy="Check the backend's address and kind.", code="model_protocol")


def unavailable(backend: str, what: str, retry_after_seconds: float | None = None) -> Unavailable:
    """The upstream cannot answer now."""
    return Unavailable(f"{backend} {what}.", remedy="Try again later.", code="model_unavailable", retry_after_seconds=retry_after_seconds)


def too_late(backend: str, seconds: float) -> Unavailable:
    """The upstream did not answer within the call's deadline."""
    return Unavailable(f"{backend} did not answer within {seconds:g} s.", remedy="Ask again, or for less.", code="model_timeout")


def broken_stream(backend: str, what: str) -> Unavailable:
    """A stream ended before its end. What came before stays counted."""
    return Unavailable(f"The stream of {backend} {what}.", remedy="Ask again; what came before is charged.", code="model_stream_broken")


def of_status(backend: str, status: int, message: str, retry_after: str | None) -> LineshaftError:
    """The error of an HTTP status; `message` is fit for a client already."""
    if 300 <= status < 400:
        return not_the_protocol(backend, "with a redirect, which is never followed")
    if status in KEY_STATUSES:
        return key_refused(backend)
    if status in BUSY_STATUSES or status >= 500:
        what = "asks for less" if status == 429 else f"does not answer now (HTTP {status})"
        return unavailable(backend, f"{what}: {message}" if message else what, seconds_of(retry_after))
    if status == 402:
        return EffectFailed(f"{backend} wants to be paid.", remedy="Check the account of the backend.", code="model_key_refused")
    if status >= 400:
        return refused(backend, message or f"HTTP {status}")
    return not_the_protocol(backend, f"with HTTP {status}")


def seconds_of(retry_after: str | None) -> float | None:
    """A Retry-After header, in seconds or as a date, bounded to an hour; None where there is none that makes sense."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            moment = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        seconds = (aware - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX) if math.isfinite(seconds) else None

"""Errors at the gateway's edge: the tree in the shape that each kind of client expects, with its statuses and types."""

from dataclasses import dataclass
from typing import Literal

import orjson
from pydantic import ValidationError

from factory_infra.errors import (
    BudgetExceeded,
    Conflict,
    EffectFailed,
    Forbidden,
    InvalidInput,
    LineshaftError,
    NotFound,
    QuotaExceeded,
    RateLimited,
    StorageFull,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.request_checks import BY_TYPE, ParameterRefused, place_of

Shape = Literal["openai", "anthropic"]


class ClientGone(LineshaftError):
    """The client left before its answer was complete: nobody reads what would be said now."""

    code = "caller_gone"


class NotServed(NotFound):
    """No door is at this path, or not for this method."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason, remedy="See /openapi.json for the doors.", code="unknown_url" if status == 404 else "method_not_allowed")
        self.status = status


@dataclass(frozen=True, slots=True)
class Told:
    """How one error looks from outside."""

    status: int
    type: str
    code: str | None
    retry: bool
    """Whether the same request may succeed if it is sent again; clients read it from `x-should-retry`."""


_OPENAI: tuple[tuple[type[LineshaftError], Told], ...] = (
    (Unauthenticated, Told(401, "invalid_request_error", "invalid_api_key", False)),
    (Forbidden, Told(403, "permission_error", None, False)),
    (NotFound, Told(404, "invalid_request_error", None, False)),
    (TooLarge, Told(413, "invalid_request_error", "request_too_large", False)),
    (InvalidInput, Told(400, "invalid_request_error", None, False)),
    (BudgetExceeded, Told(429, "insufficient_quota", "insufficient_quota", False)),
    (RateLimited, Told(429, "rate_limit_exceeded", "rate_limit_exceeded", True)),
    (QuotaExceeded, Told(429, "insufficient_quota", "insufficient_quota", False)),
    (Conflict, Told(409, "invalid_request_error", None, False)),
    (Unavailable, Told(503, "server_error", None, True)),
    (StorageFull, Told(507, "server_error", None, False)),
    (EffectFailed, Told(502, "server_error", None, False)),
)
_ANTHROPIC: tuple[tuple[type[LineshaftError], Told], ...] = (
    (Unauthenticated, Told(401, "authentication_error", None, False)),
    (Forbidden, Told(403, "permission_error", None, False)),
    (NotFound, Told(404, "not_found_error", None, False)),
    (TooLarge, Told(413, "request_too_large", None, False)),
    (InvalidInput, Told(400, "invalid_request_error", None, False)),
    (BudgetExceeded, Told(402, "billing_error", None, False)),
    (RateLimited, Told(429, "rate_limit_error", None, True)),
    (QuotaExceeded, Told(402, "billing_error", None, False)),
    (Conflict, Told(409, "invalid_request_error", None, False)),
    (Unavailable, Told(529, "overloaded_error", None, True)),
    (StorageFull, Told(507, "api_error", None, False)),
    (EffectFailed, Told(502, "api_error", None, False)),
)
_TABLES = {"openai": _OPENAI, "anthropic": _ANTHROPIC}
_FAULT = {"openai": Told(500, "server_error", "internal", True), "anthropic": Told(500, "api_error", None, True)}


def told(error: LineshaftError, shape: Shape) -> Told:
    """Find how an error looks in a shape; what the tree does not foresee is a fault of ours."""
    found = next((told for kind, told in _TABLES[shape] if isinstance(error, kind)), _FAULT[shape])
    if isinstance(error, NotServed):
        return Told(error.status, found.type, error.error_code, False)
    if found.code is not None:
        return found
    return Told(found.status, found.type, error.error_code, found.retry)


def body_of(error: LineshaftError, shape: Shape, request_id: str = "") -> bytes:
    """The body of a refusal."""
    seen = told(error, shape)
    if shape == "anthropic":
        said = {"type": seen.type, "message": str(error), "code": seen.code}
        return orjson.dumps({"type": "error", "error": said, "request_id": request_id})
    return orjson.dumps({"error": {"message": str(error), "type": seen.type, "param": param_of(error), "code": seen.code}})


def param_of(error: LineshaftError) -> str | None:
    """The field that an error is about, where it says so."""
    param = getattr(error, "param", None)
    if isinstance(param, str) and param:
        return param
    return "model" if error.error_code == "model_not_found" else None


def retry_after_of(error: LineshaftError) -> float | None:
    """Seconds after which a client may try again, where the error tells them."""
    seconds = getattr(error, "retry_after_seconds", None)
    return float(seconds) if isinstance(seconds, int | float) else None


def wrong_field(error: ValidationError, sent: JsonObject) -> ParameterRefused:
    """Name the field that a request's model refuses; what was sent is not repeated.

    Where a field may have several shapes each of them complains: the one that went deepest is the one that was meant.
    """
    found = error.errors(include_url=False, include_context=False, include_input=False)
    first = max(found, key=lambda each: (len(each["loc"]), not each["type"].endswith("_type")))
    kind = first["type"]
    place = place_of(first["loc"], sent, whole=kind in {"missing", "extra_forbidden"})
    code = BY_TYPE.get(kind, "invalid_type" if kind.endswith("_type") else "invalid_value")
    if kind == "extra_forbidden":
        return ParameterRefused(place, f"Unknown parameter: '{place}'.", code=code)
    if kind == "missing":
        return ParameterRefused(place, f"Missing required parameter: '{place}'.", code=code)
    return ParameterRefused(place, f"Invalid '{place}': {first['msg']}.", code="invalid_value" if code.endswith("_value") else code)

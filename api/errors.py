"""Errors at the HTTP edge: the tree becomes problem details (RFC 9457), with code, reason and remedy."""

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from factory_infra.errors import Conflict, InvalidInput, LineshaftError, NotFound, Unavailable

log = structlog.get_logger("api")


class Problem(BaseModel):
    """What every refusal looks like."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    reason: str
    remedy: str = ""


def problem(status: int, code: str, reason: str, remedy: str = "") -> JSONResponse:
    """Build the response of a refusal."""
    body = Problem(title=code.replace("_", " "), status=status, code=code, reason=reason, remedy=remedy)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(body.model_dump(), status_code=status, media_type="application/problem+json", headers=headers)


async def on_ours(request: Request, error: Exception) -> JSONResponse:
    """Translate an error of the tree."""
    assert isinstance(error, LineshaftError)  # noqa: S101  (it is registered for this type)
    return problem(error.http_status, error.error_code, error.reason, error.remedy)


async def on_validation(request: Request, error: Exception) -> JSONResponse:
    """Name the first field that is wrong; what was sent is not repeated."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return problem(422, InvalidInput.code, f"{field}: {first['msg']}.", "Correct the field; /openapi.json has the form.")


async def on_http(request: Request, error: Exception) -> JSONResponse:
    """Give the framework's own refusals the same form."""
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == 400:
        return problem(422, InvalidInput.code, "The body cannot be read.", "Send JSON of the form in /openapi.json.")
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    return problem(error.status_code, code, str(error.detail), "See /openapi.json for the routes.")


async def on_update(request: Request, error: Exception) -> JSONResponse:
    """Translate a workflow's refusal of an update by its type."""
    assert isinstance(error, WorkflowUpdateFailedError)  # noqa: S101
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return problem(502, "effect_failed", "The workflow refused.", "Look at it in Temporal.")
    status = {"not_found": 404, "too_many_messages": 429}.get(cause.type or "", Conflict.http_status)
    return problem(status, cause.type or Conflict.code, cause.message, "Read its present state and decide again.")


async def on_temporal(request: Request, error: Exception) -> JSONResponse:
    """An absent workflow is an absent object; anything else of Temporal's is a part that does not answer."""
    assert isinstance(error, RPCError)  # noqa: S101
    if error.status == RPCStatusCode.NOT_FOUND:
        return problem(404, NotFound.code, "It is not there, or has ended.", "List what there is.")
    return problem(503, Unavailable.code, "Temporal does not answer.", "See 'lineshaft status'; try again.")


async def on_database(request: Request, error: Exception) -> JSONResponse:
    """A database that is away is told without its address."""
    log.warning("database unavailable", error=type(error).__name__)
    return problem(503, Unavailable.code, "The database does not answer.", "See 'lineshaft status'; try again.")


async def on_value(request: Request, error: Exception) -> JSONResponse:
    """A name or a number that no row can have: the database refuses it before it looks."""
    return problem(422, InvalidInput.code, "A name or a number in the request cannot be.", "Correct it; /openapi.json has the form.")


async def on_fault(request: Request, error: Exception) -> JSONResponse:
    """What nobody foresaw is logged by the server and told without a word of it."""
    return problem(500, LineshaftError.code, "Something went wrong here.", "Try again; the API's log says more.")


def install(app: FastAPI) -> None:
    """Register the translators."""
    app.add_exception_handler(LineshaftError, on_ours)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(WorkflowUpdateFailedError, on_update)
    app.add_exception_handler(RPCError, on_temporal)
    app.add_exception_handler(OperationalError, on_database)
    app.add_exception_handler(DataError, on_value)
    app.add_exception_handler(Exception, on_fault)

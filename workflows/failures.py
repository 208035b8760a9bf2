"""Errors at Temporal's edge: the tree becomes ApplicationError, and comes back as code, reason, remedy."""

from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, FailureError

from factory_infra.errors import LineshaftError


def to_application_error(error: LineshaftError) -> ApplicationError:
    """Translate for Temporal: the code is the type, and only what may succeed later is retried."""
    return ApplicationError(
        error.reason,
        {"code": error.error_code, "reason": error.reason, "remedy": error.remedy},
        type=error.error_code,
        non_retryable=not error.retryable,
    )


def explain(error: BaseException) -> tuple[str, str, str]:
    """Return (code, reason, remedy) of what an activity or a child workflow failed with."""
    cause: BaseException | None = error
    while isinstance(cause, ActivityError | ChildWorkflowError) and cause.cause is not None:
        cause = cause.cause
    if isinstance(cause, ApplicationError):
        for detail in cause.details:
            if isinstance(detail, dict) and "code" in detail:
                return str(detail["code"]), str(detail["reason"]), str(detail["remedy"])
        return cause.type or "internal", cause.message, ""
    if isinstance(cause, FailureError):
        return "internal", cause.message, "Look at the workflow in Temporal."
    return "internal", type(cause).__name__, "Look at the worker's log."

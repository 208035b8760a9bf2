"""The one error tree of Lineshaft.

LineshaftError                 code, retryable, reason, remedy
├── InvalidInput               the request itself is wrong                        HTTP 422
│   └── TooLarge               larger than the door takes                         HTTP 413
├── Unauthenticated            no key, an unknown one, a revoked or expired one   HTTP 401
├── Forbidden                  known, but the role or the scope does not reach    HTTP 403
├── NotFound                   absent, or not this tenant's: the answer is alike  HTTP 404
├── Conflict                   true once, not any more (decided, taken, stale)    HTTP 409
│   ├── EffectsStopped         an administrator stopped every effect              HTTP 409
│   └── BoundReached           a run went as far as it may                        HTTP 409
├── QuotaExceeded              a hard limit of the tenant                         HTTP 429
│   ├── BudgetExceeded         the same in money                                  HTTP 402
│   └── RateLimited            too much in this window: it will do later          HTTP 429, retryable
├── CapacityExceeded           more than the pool has or has free                 HTTP 409
├── EffectFailed               the factory was asked and could not                HTTP 502
│   ├── JobFailed              a job ended without success                        HTTP 502
│   └── PostconditionFailed    the effect was reported, the factory disagrees     HTTP 502
├── StorageFull                no space left where it was needed                  HTTP 507
└── Unavailable                a part does not answer now                         HTTP 503, retryable

Translators, one an edge: `api/errors.py` (problem details), `workflows/failures.py` (ApplicationError), `tools/spec.py` (observation).
"""

from typing import ClassVar


class LineshaftError(Exception):
    """What went wrong, to which object, and what to do about it.

    Args:
        reason: one sentence naming the object.
        remedy: one sentence that a reader can act on.
        code: overrides the class's stable code with a narrower one, such as `team_unknown`.
    """

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    retryable: bool = False

    def __init__(self, reason: str, *, remedy: str = "", code: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.error_code = code or self.code

    def __str__(self) -> str:
        return f"{self.reason} {self.remedy}".strip()


class InvalidInput(LineshaftError):
    """The request cannot be understood or contradicts itself."""

    code = "invalid_input"
    http_status = 422


class TooLarge(InvalidInput):
    """The request is larger than this door takes."""

    code = "too_large"
    http_status = 413


class Unauthenticated(LineshaftError):
    """No key, an unknown key, a revoked or an expired one."""

    code = "unauthenticated"
    http_status = 401


class Forbidden(LineshaftError):
    """The caller is known and lacks the role or the scope."""

    code = "forbidden"
    http_status = 403


class NotFound(LineshaftError):
    """Absent, or another tenant's: the answer is the same."""

    code = "not_found"
    http_status = 404


class Conflict(LineshaftError):
    """The object is no longer in the state that the request assumes."""

    code = "conflict"
    http_status = 409


class EffectsStopped(Conflict):
    """An administrator stopped every effect of the installation; reads go on."""

    code = "effects_stopped"


class BoundReached(Conflict):
    """A run went as far as its bounds allow: steps, model calls, tokens, money, time or depth."""

    code = "bound_reached"


class QuotaExceeded(LineshaftError):
    """A hard limit of the tenant is reached."""

    code = "quota_exceeded"
    http_status = 429


class BudgetExceeded(QuotaExceeded):
    """The tenant's money is reserved or spent."""

    code = "budget_exceeded"
    http_status = 402


class RateLimited(QuotaExceeded):
    """A limit of a window is reached; the same request succeeds once the window has passed."""

    code = "rate_limited"
    retryable = True

    def __init__(self, reason: str, *, remedy: str = "", code: str | None = None, retry_after_seconds: float = 1.0) -> None:
        super().__init__(reason, remedy=remedy, code=code)
        self.retry_after_seconds = retry_after_seconds


class CapacityExceeded(LineshaftError):
    """The pool does not have, or does not have free, what was asked for."""

    code = "capacity_exceeded"
    http_status = 409


class EffectFailed(LineshaftError):
    """The factory was asked to act and could not."""

    code = "effect_failed"
    http_status = 502


class JobFailed(EffectFailed):
    """A job ended without success."""

    code = "job_failed"


class PostconditionFailed(EffectFailed):
    """The effect was reported as done and the factory does not show it."""

    code = "postcondition_failed"


class StorageFull(LineshaftError):
    """No space is left where it was needed."""

    code = "storage_full"
    http_status = 507


class Unavailable(LineshaftError):
    """A part does not answer now; the same request may succeed later, after `retry_after_seconds` where the part said so."""

    code = "unavailable"
    http_status = 503
    retryable = True

    def __init__(self, reason: str, *, remedy: str = "", code: str | None = None, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason, remedy=remedy, code=code)
        self.retry_after_seconds = retry_after_seconds

"""AWS's faults in our words: by the code that the service answered, else by its status."""

import re
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from factory_infra.errors import (
    CapacityExceeded,
    Conflict,
    EffectFailed,
    Forbidden,
    InvalidInput,
    LineshaftError,
    NotFound,
    QuotaExceeded,
    Unauthenticated,
    Unavailable,
)

Result = TypeVar("Result")
THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException.Throttled",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
EXPIRED = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
REFUSED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "NotAuthorized",
        "UnauthorizedAccess",
        "UnauthorizedOperation",
        "Client.UnauthorizedOperation",
    }
)
CAPACITY = frozenset(
    {
        "CapacityBlockDescribeLimitExceeded",
        "Insufficient",
        "InsufficientCapacity",
        "InsufficientCapacityException",
        "InsufficientCapacityOnHost",
        "InsufficientFreeAddressesInSubnet",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientReservedInstanceCapacity",
        "ReservationCapacityExceeded",
        "SpotMaxPriceTooLow",
        "UnfulfillableCapacity",
    }
)
LIMITS = frozenset(
    {
        "FleetsPerRegionLimitExceeded",
        "InstanceLimitExceeded",
        "LimitExceeded",
        "LimitExceededException",
        "MaxSpotInstanceCountExceeded",
        "ResourceLimitExceeded",
        "ServiceQuotaExceededException",
        "VcpuLimitExceeded",
    }
)
OTHER_REGION = frozenset({"AuthorizationHeaderMalformed", "OptInRequired", "PermanentRedirect", "RegionDisabledException"})
MISSING = re.compile(r"(NotFound|NotFoundException|NoSuch\w+|DoesNotExist\w*|\.Unknown|ResourceNotFound|StackNotFound)$|^NoSuch")
TAKEN = re.compile(
    r"(AlreadyExists|AlreadyExistsException|\.Duplicate|DuplicateName|EntityAlreadyExists|ResourceInUse|ResourceInUseException)$"
)
BUSY = re.compile(r"(InUse|DependencyViolation|IncorrectState|IncorrectInstanceState|ConflictException|OperationInProgress\w*)$")
WORDS_MAX = 300


def told(message: str) -> str:
    """A service's own words on one line, without what looks like a key, cut."""
    line = re.sub(r"\b(AKIA|ASIA)[A-Z0-9]{12,}\b", "a key", " ".join(message.split()))
    return line[:WORDS_MAX].rstrip(".")


def code_of(response: Mapping[str, object]) -> str:
    """The service's own code; the namespace that some protocols put before it is cut off."""
    error = response.get("Error")
    code = str(error.get("Code", "")) if isinstance(error, Mapping) else ""
    return code.rsplit("#", 1)[-1].split(":", 1)[0]


def of_client_error(pool: str, response: Mapping[str, object]) -> LineshaftError:
    """The error of an answer that is one."""
    error, about = response.get("Error"), response.get("ResponseMetadata")
    words = told(str(error.get("Message", ""))) if isinstance(error, Mapping) else ""
    status = about.get("HTTPStatusCode") if isinstance(about, Mapping) else None
    code = code_of(response)
    return (
        _of_access(pool, code, words)
        or _of_capacity(pool, code, words)
        or _of_state(pool, code, words)
        or _of_status(pool, code, words, status if isinstance(status, int) else 500)
    )


def credentials_expired(pool: str, words: str = "") -> LineshaftError:
    """What a pool without valid credentials says."""
    return Unauthenticated(
        f"AWS does not take the credentials of pool '{pool}'{f': {words}' if words else ''}.",
        code="credentials_expired",
        remedy="Renew them (aws sso login, aws configure) and check with 'lineshaft pools check'.",
    )


def region_unknown(pool: str, words: str = "") -> LineshaftError:
    """What a pool in a region that is not there, or not opted in to, says."""
    return InvalidInput(
        f"The region of pool '{pool}' is not one that this account can use{f': {words}' if words else ''}.",
        code="region_unknown",
        remedy="Correct 'region' in the pools' file, or opt in to the region in the account's settings.",
    )


def not_answering(pool: str, words: str, code: str | None = None) -> Unavailable:
    """A fault that may pass."""
    return Unavailable(f"AWS, pool '{pool}', {words}.", code=code, remedy="It is tried again; ask again with the same key.")


def _of_access(pool: str, code: str, words: str) -> LineshaftError | None:
    if code in THROTTLED:
        return not_answering(pool, f"asks for less: {words}", "throttled")
    if code in OTHER_REGION:
        return region_unknown(pool, words)
    if code in EXPIRED:
        return credentials_expired(pool, words)
    if code in REFUSED:
        return Forbidden(
            f"The credentials of pool '{pool}' may not do this: {words}.",
            code="permission_missing",
            remedy="Add the action to the role: docs/aws.md has the policy.",
        )
    return None


def _of_capacity(pool: str, code: str, words: str) -> LineshaftError | None:
    if code in CAPACITY or code.startswith("Insufficient"):
        return CapacityExceeded(
            f"AWS has no such machines free for pool '{pool}' now: {words}.",
            code="capacity_short",
            remedy="Wait, ask for fewer, name other types or zones, or use a capacity reservation.",
        )
    if code in LIMITS or code.endswith("LimitExceeded"):
        return CapacityExceeded(
            f"A limit of the account of pool '{pool}' is reached ({code}): {words}.",
            code="account_limit",
            remedy="Release what is not needed, or ask AWS to raise the limit (Service Quotas).",
        )
    if code in {"CapacityReservationExceeded", "InvalidCapacityReservationState"}:
        return CapacityExceeded(f"The reservation is full or over: {words}.", code="capacity_short", remedy="Name another reservation.")
    if code == "BudgetExceeded":
        return QuotaExceeded(f"AWS refuses for money, pool '{pool}': {words}.", remedy="See the account's billing page.")
    return None


def _of_state(pool: str, code: str, words: str) -> LineshaftError | None:
    if code == "IdempotentParameterMismatch" or code.endswith("IdempotentParameterMismatchException"):
        return Conflict(
            f"This was asked of AWS before in another form: {words}.",
            code="key_reused",
            remedy="Look at what is there, or use another key.",
        )
    if code in {"InvalidInstanceType", "Unsupported", "UnsupportedOperation.InstanceType"}:
        return InvalidInput(
            f"That machine is not offered in the region of pool '{pool}': {words}.",
            code="machine_unknown",
            remedy="lineshaft accelerators find lists machines and where they are.",
        )
    if MISSING.search(code):
        return NotFound(f"AWS does not know it, pool '{pool}': {words}.", remedy="It may be gone, or be in another region.")
    if TAKEN.search(code):
        return Conflict(f"It is there already, pool '{pool}': {words}.", code="exists_already", remedy="Nothing is left to do, or rename.")
    if BUSY.search(code):
        return Conflict(f"It is in use or changing, pool '{pool}': {words}.", code="in_use", remedy="Wait until it is free.")
    return None


def _of_status(pool: str, code: str, words: str, status: int) -> LineshaftError:
    if code == "NotEmulated":
        return EffectFailed(f"{words}.", code="not_emulated", remedy="Use a real account, or add the call to the emulator.")
    if status >= 500:
        return not_answering(pool, f"failed by itself ({code or status}): {words}")
    if status in {401, 403}:
        return credentials_expired(pool, words)
    if status == 404:
        return NotFound(f"AWS does not know it, pool '{pool}': {words}.", remedy="It may be gone, or be in another region.")
    if status == 429:
        return not_answering(pool, f"asks for less: {words}", "throttled")
    return InvalidInput(f"AWS refuses the request ({code}), pool '{pool}': {words}.", code="aws_refused", remedy="Correct what it names.")


async def settled(change: Awaitable[Result]) -> Result | None:
    """Await a creation by name; None where it is there already, for then it was made by an earlier attempt."""
    try:
        return await change
    except Conflict as error:
        if error.error_code != "exists_already":
            raise
        return None

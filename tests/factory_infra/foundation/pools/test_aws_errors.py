"""AWS's codes in our words."""

import pytest

from factory_infra.errors import (
    CapacityExceeded,
    Conflict,
    EffectFailed,
    Forbidden,
    InvalidInput,
    LineshaftError,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from factory_infra.foundation.pools.aws_errors import of_client_error, told


def error_of(code: str, status: int = 400) -> LineshaftError:
    """The error of an answer with this code."""
    answer = {"Error": {"Code": code, "Message": "as AWS says."}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return of_client_error("east", answer)


@pytest.mark.parametrize(
    ("code", "status", "kind", "ours"),
    [
        ("RequestLimitExceeded", 503, Unavailable, "throttled"),
        ("ThrottlingException", 400, Unavailable, "throttled"),
        ("com.amazon#TooManyRequestsException", 429, Unavailable, "throttled"),
        ("InternalError", 500, Unavailable, "unavailable"),
        ("SomethingNew", 503, Unavailable, "unavailable"),
        ("ExpiredToken", 403, Unauthenticated, "credentials_expired"),
        ("InvalidClientTokenId", 403, Unauthenticated, "credentials_expired"),
        ("UnrecognizedClientException", 400, Unauthenticated, "credentials_expired"),
        ("AuthFailure", 401, Unauthenticated, "credentials_expired"),
        ("UnauthorizedOperation", 403, Forbidden, "permission_missing"),
        ("AccessDeniedException", 400, Forbidden, "permission_missing"),
        ("OptInRequired", 403, InvalidInput, "region_unknown"),
        ("InsufficientInstanceCapacity", 500, CapacityExceeded, "capacity_short"),
        ("InsufficientReservedInstanceCapacity", 500, CapacityExceeded, "capacity_short"),
        ("UnfulfillableCapacity", 400, CapacityExceeded, "capacity_short"),
        ("VcpuLimitExceeded", 400, CapacityExceeded, "account_limit"),
        ("MaxSpotInstanceCountExceeded", 400, CapacityExceeded, "account_limit"),
        ("ResourceLimitExceeded", 400, CapacityExceeded, "account_limit"),
        ("IdempotentParameterMismatch", 400, Conflict, "key_reused"),
        ("InvalidLaunchTemplateName.AlreadyExistsException", 400, Conflict, "exists_already"),
        ("InvalidPlacementGroup.Duplicate", 400, Conflict, "exists_already"),
        ("InvalidPlacementGroup.InUse", 400, Conflict, "in_use"),
        ("InvalidInstanceID.NotFound", 400, NotFound, "not_found"),
        ("InvalidLaunchTemplateName.NotFoundException", 400, NotFound, "not_found"),
        ("NoSuchBucket", 404, NotFound, "not_found"),
        ("ResourceNotFoundException", 400, NotFound, "not_found"),
        ("InvalidInstanceType", 400, InvalidInput, "machine_unknown"),
        ("InvalidParameterValue", 400, InvalidInput, "aws_refused"),
        ("NotEmulated", 501, EffectFailed, "not_emulated"),
    ],
)
def test_each_code_is_told_as_what_it_means(code: str, status: int, kind: type[LineshaftError], ours: str) -> None:
    error = error_of(code, status)
    assert type(error) is kind
    assert error.error_code == ours
    assert error.remedy
    assert "east" in error.reason or kind in {Conflict, EffectFailed}
    assert error.retryable is (kind is Unavailable)


def test_no_key_is_told() -> None:
    assert told("The key AKIAIOSFODNN7EXAMPLE\nis wrong.") == "The key a key is wrong"

"""Errors at Temporal's edge: there and back without losing code, reason and remedy."""

import pytest
from temporalio.exceptions import ApplicationError

from factory_infra.errors import InvalidInput, LineshaftError, NotFound, QuotaExceeded, Unavailable
from workflows.failures import explain, to_application_error


@pytest.mark.parametrize(
    "error", [InvalidInput("r", remedy="m"), NotFound("r", code="team_unknown", remedy="m"), QuotaExceeded("r", remedy="m")]
)
def test_there_and_back(error: LineshaftError) -> None:
    translated = to_application_error(error)
    assert explain(translated) == (error.error_code, "r", "m")
    assert translated.non_retryable


def test_only_what_may_succeed_later_is_retried() -> None:
    assert not to_application_error(Unavailable("r")).non_retryable


def test_an_error_without_details_still_has_a_code() -> None:
    assert explain(ApplicationError("boom", type="odd")) == ("odd", "boom", "")
    assert explain(ValueError("x"))[0] == "internal"

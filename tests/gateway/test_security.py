"""One try for each class of the public faults of gateways, and bad input: refused by code, quickly, uncharged."""

from collections.abc import Callable

import pytest

from benchmarks.gateway import bad_input, security
from benchmarks.gateway.door import Door
from cli.checks import Check

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("attempt", security.TRIES, ids=lambda attempt: attempt.__name__)
def test_fault_is_not_ours(door: Door, attempt: Callable[[Door], Check]) -> None:
    door.upstream.reset()
    found = attempt(door)
    assert found.held, found.figure


def test_bad_input_is_refused_by_code_and_uncharged(door: Door) -> None:
    found = bad_input.checks_on(door)
    assert [f"{check.name}: {check.figure}" for check in found if not check.held] == []

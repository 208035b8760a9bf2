"""What operators read of a target that fails: codes and classes, bounded in number, and never an upstream's words."""

from collections.abc import Iterator

import pytest
import structlog

from factory_infra.saas.models.routing.telling import EACH_SECOND_MAX, Failure, Teller


@pytest.fixture
def logs() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as kept:
        yield kept


FAILURE = Failure("call1/2", "model_unavailable", ConnectionRefusedError("10.0.0.7 said: secret"), 0.0123)


def test_a_failure_names_the_call_and_the_class_behind_it_and_no_words(logs: list[structlog.typing.EventDict]) -> None:
    Teller("fast", "house", lambda: 0.0).failed(FAILURE)
    assert logs == [
        {
            "event": "an attempt failed",
            "log_level": "warning",
            "call": "call1/2",
            "model": "fast",
            "backend": "house",
            "code": "model_unavailable",
            "cause": "ConnectionRefusedError",
            "ms": 12,
        }
    ]


def test_a_flood_is_counted_and_not_written(logs: list[structlog.typing.EventDict]) -> None:
    now = [5.0]
    teller = Teller("fast", "house", lambda: now[0])
    for _ in range(100):
        teller.failed(FAILURE)
    assert len(logs) == EACH_SECOND_MAX
    now[0] += 1.0
    teller.failed(FAILURE)
    teller.failed(FAILURE)
    assert [each.get("left_out") for each in logs[EACH_SECOND_MAX:]] == [100 - EACH_SECOND_MAX, None]


def test_a_breaker_tells_when_it_turns(logs: list[structlog.typing.EventDict]) -> None:
    teller = Teller("fast", "house", lambda: 0.0)
    teller.turned(5.0)
    teller.turned(None)
    assert [(each["event"], each.get("seconds")) for each in logs] == [("a breaker opened", 5.0), ("a breaker closed", None)]

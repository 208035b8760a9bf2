"""An attempt that fails leaves its code in the ledger and a line in the log."""

import pytest
import structlog

from factory_infra.errors import LineshaftError, Unavailable
from factory_infra.saas.models.calls import Answer, Call
from tests.factory_infra.saas.models.routing.virtual import live
from tests.factory_infra.saas.models.routing.world import Stub, asker, chat, down, world


class Broken(Stub):
    """A backend with a fault of ours in it."""

    async def complete(self, call: Call) -> Answer:
        raise ZeroDivisionError("what the caller asked")


def refused_connection() -> Unavailable:
    error = down()
    error.__cause__ = ConnectionRefusedError("an address")
    return error


@live
async def test_each_failure_is_told_and_its_code_settled_with_it() -> None:
    each = world(Stub("a", errors=[refused_connection()]), Stub("b"))
    who = asker()
    with structlog.testing.capture_logs() as logs:
        await each.gateway.complete(who, chat())
    assert [(one.outcome, one.reason) for one in each.meter.settled] == [("failed", "model_unavailable"), ("done", "")]
    told = [line for line in logs if line["event"] == "an attempt failed"]
    assert [(line["call"], line["model"], line["backend"], line["code"], line["cause"]) for line in told] == [
        (f"{who.call_id}/1", "fast", "a", "model_unavailable", "ConnectionRefusedError")
    ]


@live
async def test_a_stream_that_breaks_or_comes_late_leaves_its_code_too() -> None:
    cut = Unavailable("Secret words.", code="model_stream_broken")
    each = world(Stub("a", breaks=cut))
    with structlog.testing.capture_logs() as logs, pytest.raises(Unavailable):
        await each.words()
    late = world(Stub("a", first_seconds=100), deadline_seconds=20, retries={"attempts_max": 1})
    with structlog.testing.capture_logs() as late_logs, pytest.raises(Unavailable):
        await late.gateway.complete(asker(), chat())
    assert [one.reason for one in each.meter.settled + late.meter.settled] == ["model_stream_broken", "model_timeout"]
    assert "Secret" not in str(logs)
    assert [(line["cause"], line["ms"]) for line in late_logs] == [("TimeoutError", 20_000)]


@live
async def test_a_fault_of_ours_is_told_by_its_class() -> None:
    each = world(Broken("a"))
    with structlog.testing.capture_logs() as logs, pytest.raises(ZeroDivisionError):
        await each.gateway.complete(asker(), chat())
    assert [(one.outcome, one.reason) for one in each.meter.settled] == [("failed", "internal")]
    assert [(line["code"], line["cause"]) for line in logs] == [("internal", "ZeroDivisionError")]


@live
async def test_who_only_left_leaves_no_failure() -> None:
    each = world(Stub("a"))
    with structlog.testing.capture_logs() as logs:
        stream = each.gateway.stream(asker(), chat(stream=True))
        await anext(stream)
        await stream.aclose()
        await each.quiet()
    assert [(one.outcome, one.reason) for one in each.meter.settled] == [("disconnected", "")]
    assert logs == []


@live
async def test_a_breaker_is_told_when_it_opens() -> None:
    errors: list[LineshaftError] = [down() for _ in range(4)]
    each = world(Stub("a", errors=errors), retries={"attempts_max": 1}, breaker={"calls_min": 4})
    with structlog.testing.capture_logs() as logs:
        for _ in range(4):
            with pytest.raises(Unavailable):
                await each.gateway.complete(asker(), chat())
    assert [(line["model"], line["backend"]) for line in logs if line["event"] == "a breaker opened"] == [("fast", "a")]

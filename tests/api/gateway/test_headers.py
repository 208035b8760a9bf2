"""The headers of answers: what they cost, whence they came, and how the limits stand."""

import pytest

from api.gateway.headers import duration, tightest
from tests.api.gateway.house import KEY, STANDINGS, Gate, gate

CHAT = {"model": "fast", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def doors() -> Gate:
    return gate()


async def test_openai(doors: Gate) -> None:
    for more in ({}, {"stream": True}):
        told = (await doors.post("/v1/chat/completions", {**CHAT, **more})).headers
        assert {name: told[name] for name in told if name.startswith("x-ratelimit")} == {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-reset-requests": "30s",
            "x-ratelimit-limit-tokens": "9000",
            "x-ratelimit-remaining-tokens": "8000",
            "x-ratelimit-reset-tokens": "1m30.5s",
        }
        assert (told["x-lineshaft-model"], told["x-lineshaft-backend"], told["x-lineshaft-cache"]) == ("fast", "house", "miss")
        assert told.get("x-lineshaft-cost") == (None if more else "0.0012")
        assert told["cache-control"] == "no-store"


async def test_anthropic(doors: Gate) -> None:
    told = (await doors.post("/v1/messages", {**CHAT, "max_tokens": 9})).headers
    assert (told["anthropic-ratelimit-requests-limit"], told["anthropic-ratelimit-tokens-remaining"]) == ("60", "8000")
    assert told["anthropic-ratelimit-tokens-reset"].endswith("Z") and "x-ratelimit-limit-tokens" not in told


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0ms"), (-1, "0ms"), (0.12, "120ms"), (1, "1s"), (7.66, "7.66s"), (360, "6m0s"), (3723, "1h2m3s")]
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_tightest_limit_of_each_resource_is_told() -> None:
    narrow = STANDINGS[0].__class__(STANDINGS[0].limit, STANDINGS[0].remaining / 10, 5.0)
    assert tightest([*STANDINGS, narrow])["requests"] is narrow


async def test_metrics_count_each_outcome(doors: Gate) -> None:
    await doors.post("/v1/chat/completions", CHAT)
    await doors.post("/v1/chat/completions", {})
    await doors.http.get("/v1/models")
    told = (await doors.http.get("/metrics", headers={"x-api-key": KEY})).text.splitlines()
    assert 'lineshaft_gateway_requests_total{door="chat",outcome="2xx"} 1' in told
    assert 'lineshaft_gateway_requests_total{door="chat",outcome="4xx"} 1' in told
    assert 'lineshaft_gateway_requests_total{door="models",outcome="4xx"} 1' in told
    assert 'lineshaft_gateway_request_seconds_count{door="chat"} 2' in told
    assert 'lineshaft_gateway_requests_open{door="other"} 1' in told

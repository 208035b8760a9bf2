"""What commands over waiting say: times as people write them, and answers in lines."""

from datetime import UTC, datetime, timedelta

import pytest

from cli import waiting
from cli.listing import JsonObject
from factory_infra.errors import InvalidInput


@pytest.mark.parametrize(("text", "seconds"), [("", 0), ("600", 600), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("2d", 172_800)])
def test_a_time_to_wait_is_read(text: str, seconds: int) -> None:
    assert waiting.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["0", "-5", "soon", "8d", "10 weeks", "m"])
def test_what_is_none_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        waiting.seconds_of(text)
    assert "2h" in raised.value.remedy


def told(**fields: object) -> JsonObject:
    at = (datetime.now(UTC) + timedelta(minutes=12)).isoformat()
    begins = {"starts_at": at, "starts_earliest": at, "starts_latest": at}
    base = {"lease_id": "lease-1", "job_id": "", "state": "queued", "binding": "gang", "reason": "2 of 8 are free", "reserved": True}
    return {**base, **begins, "gives_up_at": at, "changes": [], **fields}  # type: ignore[dict-item]


def test_why_is_told_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    change = {"words": "2 instead of 4 slots: now", "arguments": {"slots": 2}, "starts_at": "", "cost_more": 1.5}
    waiting.show_why(told(changes=[change]), as_json=False)
    said = capsys.readouterr().out
    assert "lease-1 is queued: 2 of 8 are free" in said
    assert "gang; slots are kept free for it" in said
    assert "in 12 min" in said
    assert "2 instead of 4 slots: now, costs 1.5 more" in said


def test_what_is_not_known_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    waiting.show_why(told(starts_at=None), as_json=False)
    assert "not known" in capsys.readouterr().out

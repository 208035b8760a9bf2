"""What an upstream says of a fault reaches a client without addresses and keys."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from factory_infra.saas.models.backends.faults import MESSAGE_CHARACTERS_MAX, message_in, seconds_of, told


@pytest.mark.parametrize(
    "secret",
    [
        "http://10.0.0.5:8000/v1/chat",
        "10.1.2.3:8000",
        "vllm-0.vllm.models.svc",
        "ip-10-0-0-1.eu-central-1.compute.internal:80",
        "localhost:8000",
        "sk-proj-abcdefghijkl",
        "Bearer abcdef0123456789",
        "AKIAIOSFODNN7EXAMPLE",
        "arn:aws:bedrock:eu-central-1:123456789012:provisioned-model/abc",
        "s3://bucket/key",
        "our-own-key",
    ],
)
def test_addresses_and_keys_are_hidden(secret: str) -> None:
    assert told(f"no answer of ({secret}) today", "our-own-key") == "no answer of ([hidden]) today"


def test_a_message_is_one_line_of_bounded_length() -> None:
    assert told("a\r\n\x00b") == "a b"
    assert len(told("x " * 5000)) == MESSAGE_CHARACTERS_MAX


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"error": {"message": "one"}}', "one"),
        (b'{"error": "two"}', "two"),
        (b'{"message": "three"}', "three"),
        (b'{"detail": "four"}', "four"),
        (b'[{"error": {"message": "five"}}]', "five"),
        (b"<html>", ""),
        (b"[]", ""),
        (b'{"error": 5}', ""),
    ],
)
def test_messages_in_all_shapes(raw: bytes, message: str) -> None:
    assert message_in(raw) == message


def test_when_to_come_back() -> None:
    assert [seconds_of(value) for value in ("3", "0.5", "-4", "99999999", "nan", "soon", "", None)] == [
        3,
        0.5,
        0,
        3600,
        None,
        None,
        None,
        None,
    ]
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (seconds_of(later) or 0) <= 30

"""Pushes from outside: each form of signature holds alone, and nothing unsigned is read."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable

import pytest

from factory_infra.errors import InvalidInput, Unauthenticated
from factory_infra.paas.training.pipelines.hooks import check_signed, read_push, secret_of

SECRET = secret_of(b"p" * 64, "tr-1", 1)
PUSH = {"ref": "refs/heads/main", "after": "a" * 40, "repository": {"full_name": "acme/mill"}}
BODY = json.dumps(PUSH).encode()


def github(body: bytes = BODY, secret: str = SECRET) -> dict[str, str]:
    return {"x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def standard(body: bytes = BODY, *, age: float = 0, secret: str = SECRET) -> dict[str, str]:
    moment = str(int(time.time() - age))
    told = hmac.new(secret.encode(), f"msg-1.{moment}.".encode() + body, hashlib.sha256).digest()
    return {"webhook-id": "msg-1", "webhook-timestamp": moment, "webhook-signature": "v1,AAAA v1," + base64.b64encode(told).decode()}


class TestSignature:
    """Headers are made when the test runs: a moment that is told while tests are collected is too old by then."""

    @pytest.mark.parametrize("made", [github, standard, lambda: {"x-gitlab-token": SECRET}])
    def test_each_form_holds(self, made: Callable[[], dict[str, str]]) -> None:
        check_signed(SECRET, made(), BODY)

    @pytest.mark.parametrize(
        "made",
        [
            lambda: {},
            lambda: github(secret="whs_other"),
            lambda: github(BODY + b" "),
            lambda: {"x-hub-signature-256": ""},
            lambda: {"x-hub-signature-256": "sha256=é"},
            lambda: {"x-hub-signature": "sha1=0"},
            lambda: {"x-gitlab-token": SECRET[:-1]},
            lambda: {"x-gitlab-token": ""},
            lambda: standard(age=600),
            lambda: standard(age=-600),
            lambda: standard(secret="whs_other"),
            lambda: {**standard(), "webhook-id": "msg-2"},
            lambda: {**standard(), "webhook-signature": "v1,%%%"},
            lambda: {**github(), "x-gitlab-token": "wrong"},
        ],
    )
    def test_nothing_else_does(self, made: Callable[[], dict[str, str]]) -> None:
        with pytest.raises(Unauthenticated) as raised:
            check_signed(SECRET, made(), BODY)
        assert raised.value.error_code == "signature_invalid"

    def test_another_generation_is_another_secret(self) -> None:
        assert len({SECRET, secret_of(b"p" * 64, "tr-1", 2), secret_of(b"p" * 64, "tr-2", 1), secret_of(b"q" * 64, "tr-1", 1)}) == 4


class TestPush:
    def test_what_it_says_is_handed_on(self) -> None:
        push = read_push({"x-github-event": "push"}, BODY, "main")
        assert (push.branch, push.commit, push.repository, push.ignored) == ("main", "a" * 40, "acme/mill", "")

    def test_a_delivery_is_named_by_its_bytes(self) -> None:
        first, again = (read_push({"x-github-delivery": name}, BODY, "") for name in "ab")
        assert first.delivery == again.delivery

    @pytest.mark.parametrize(
        ("headers", "changed", "branch"),
        [
            ({"x-github-event": "ping"}, {}, ""),
            ({"x-gitlab-event": "Tag Push Hook"}, {}, ""),
            ({}, {"ref": "refs/tags/v1"}, ""),
            ({}, {"ref": "refs/heads/other"}, "main"),
            ({}, {"deleted": True}, ""),
            ({}, {"after": "0" * 40}, ""),
        ],
    )
    def test_what_is_no_push_to_the_branch_is_ignored(self, headers: dict[str, str], changed: dict[str, object], branch: str) -> None:
        assert read_push(headers, json.dumps({**PUSH, **changed}).encode(), branch).ignored

    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"[]", b"{}", b"\xff", b"[" * 100_000),
            *(json.dumps({**PUSH, **wrong}).encode() for wrong in ({"ref": "refs/heads/$(reboot)"}, {"after": "; rm"})),
        ],
    )
    def test_what_could_be_misunderstood_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidInput) as raised:
            read_push({}, body, "")
        assert raised.value.error_code == "hook_invalid"

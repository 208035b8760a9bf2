"""Browser sessions: a cookie that was altered, has expired, or whose key was revoked is worth nothing."""

import hashlib
import hmac
import time

import pytest

from api.sessions import SESSION_SECONDS, Sessions
from factory_infra.database import Database
from factory_infra.errors import Unauthenticated
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.paas.tenants.models import Principal, Role
from factory_infra.paas.tenants.service import Tenants

pytestmark = pytest.mark.stack

SECRET = "a" * 64


class NoHardware:
    """A pool without slots."""

    async def pool(self, name: str = "") -> Pool:
        """The pool."""
        return Pool(name="local", slots=[])


@pytest.fixture
def tenants(database: Database) -> Tenants:
    return Tenants(database, b"p" * 32)


@pytest.fixture
async def root(tenants: Tenants) -> Principal:
    _, secret = await tenants.issue_key(None, "root", Role.ADMIN)
    return await tenants.authenticate(secret)


def signed(body: str, secret: str = SECRET) -> str:
    return f"{body}.{hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()}"


async def refused(cookie: str, tenants: Tenants) -> bool:
    try:
        await Sessions(SECRET).principal(cookie, tenants)
    except Unauthenticated:
        return True
    return False


async def test_a_cookie_stands_for_its_key(tenants: Tenants, root: Principal) -> None:
    assert await Sessions(SECRET).principal(Sessions(SECRET).issue(root), tenants) == root


async def test_a_cookie_holds_no_key(root: Principal) -> None:
    key_id, expires, signature = Sessions(SECRET).issue(root).split(".")
    assert key_id == root.key_id
    assert 0 < int(expires) - time.time() <= SESSION_SECONDS
    assert len(signature) == 64


async def test_every_altered_cookie_is_refused(tenants: Tenants, root: Principal) -> None:
    good = Sessions(SECRET).issue(root)
    key_id, expires, signature = good.split(".")
    other, _ = await tenants.issue_key(None, "other", Role.ADMIN)
    bad = [
        "",
        ".",
        "..",
        key_id,
        f"{key_id}.{expires}",
        f"{key_id}.{expires}.",
        f"{other.id}.{expires}.{signature}",
        f"{key_id}.{int(expires) + 1}.{signature}",
        f"{key_id}.{expires}.{signature[:-1]}{'0' if signature[-1] != '0' else '1'}",
        f"{key_id}.{expires}.{signature.upper()}A",
        good + "x",
        "x" + good,
        f"{key_id}.{expires}.é{signature}",
        "é.é.é",
        Sessions("b" * 64).issue(root),
    ]
    assert [cookie for cookie in bad if not await refused(cookie, tenants)] == []


async def test_an_expired_cookie_is_refused(tenants: Tenants, root: Principal) -> None:
    assert await refused(signed(f"{root.key_id}.{int(time.time()) - 1}"), tenants)
    assert not await refused(signed(f"{root.key_id}.{int(time.time()) + 60}"), tenants)


async def test_a_revoked_key_ends_its_sessions(tenants: Tenants, root: Principal) -> None:
    cookie = Sessions(SECRET).issue(root)
    await tenants.revoke_key(root.key_id)
    assert await refused(cookie, tenants)


async def test_control_the_signature_alone_would_let_a_revoked_key_in(
    tenants: Tenants, root: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def believe(key_id: str) -> Principal:
        return root

    cookie = Sessions(SECRET).issue(root)
    await tenants.revoke_key(root.key_id)
    monkeypatch.setattr(tenants, "principal_of", believe)
    assert not await refused(cookie, tenants)

"""Keys on the hot path: no query for a known key, and yet a revoked one is refused in every process, whatever happens to the news."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import event

from factory_infra.database import Database, utcnow
from factory_infra.errors import LineshaftError, Unauthenticated
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.notices import Callback, News, Notices
from factory_infra.paas.tenants.keyring import DOUBTS_PER_SECOND_MAX, KeyRing
from factory_infra.paas.tenants.models import ApiKey, KeyTerms, Role
from factory_infra.paas.tenants.proof import KeyProof, digest_of
from factory_infra.paas.tenants.service import Tenants

pytestmark = pytest.mark.stack
PEPPER = b"p" * 32
NO_KEYS = [
    "",
    "' OR '1'='1",
    "ls_' OR 1=1 --_" + "a" * 43,
    "ls_000000000000_'; DROP TABLE api_keys; --" + "a" * 20,
    "ls_%00%00%00%00_" + "a" * 43,
    "ls_000000000000_" + "a" * 42 + "\x00",
    "ls_000000000000_" + "a" * 43 + "\n",
    "ls_０00000000000_" + "a" * 43,
    "{{7*7}}",
    "${jndi:ldap://x}",
    "$(id)",
    "../../secrets/admin.key",
    "ls_" + "0" * 1_000_000,
]
"""What is sent in place of a key by who wants in."""


class NoHardware:
    """A pool without slots."""

    async def pool(self, name: str = "") -> Pool:
        """The pool."""
        return Pool(name="local", slots=[])


class Deaf:
    """News that never come although they are called fresh: a cache without invalidation."""

    fresh = True

    def on(self, channel: str, callback: Callback) -> None:
        return


class Counting(Tenants):
    """Counts what is asked of PostgreSQL, and may be held up after reading."""

    def __init__(self, database: Database, pepper: bytes = PEPPER) -> None:
        super().__init__(database, pepper)
        self.asked = 0
        self.read = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def known_keys(self, key_ids: Sequence[str]) -> dict[str, tuple[ApiKey, KeyProof]]:
        self.asked += len(key_ids)
        found = await super().known_keys(key_ids)
        self.read.set()
        await self.go_on.wait()
        return found


@pytest.fixture
async def tenants(database: Database) -> Counting:
    service = Counting(database)
    await service.create("vision", quota_slots=2, budget=Decimal(20))
    return service


@pytest.fixture
async def news(database_url: str) -> AsyncIterator[list[Notices]]:
    """The connections of two processes."""
    opened = [Notices(database_url), Notices(database_url)]
    yield opened
    for each in opened:
        await each.close()


async def rings(tenants: Tenants, news: list[Notices]) -> list[KeyRing]:
    """The key rings of two processes that listen."""
    made = [KeyRing(tenants, each) for each in news]
    for each in news:
        await each.start()
    return made


async def refused(door: Callable[[str], Awaitable[object]], key: str) -> str:
    """The words of a refusal; empty where there was none."""
    try:
        await door(key)
    except Unauthenticated as error:
        return str(error)
    return ""


async def refused_soon(ring: KeyRing, key: str, seconds_max: float = 30.0) -> bool:
    """Whether a key that was revoked is refused before long."""
    deadline = time.monotonic() + seconds_max
    while not await refused(ring.authenticate, key):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.002)
    return True


class TestCaller:
    async def test_a_caller_is_who_the_key_stands_for_and_what_it_is_bound_to(self, tenants: Counting) -> None:
        terms = KeyTerms(project="reader", models=frozenset({"fast"}), scopes=frozenset({"gateway"}))
        issued, key = await tenants.issue_key("vision", "ann", Role.USER, utcnow() + timedelta(hours=1), terms)
        caller = await KeyRing(tenants, Deaf()).authenticate(key)
        assert (caller.principal.key_id, caller.principal.tenant, caller.principal.role) == (issued.id, "vision", Role.USER)
        assert (caller.project, caller.models, caller.scopes) == ("reader", frozenset({"fast"}), frozenset({"gateway"}))
        assert caller.expires_at == issued.expires_at

    async def test_a_known_key_asks_nothing(self, tenants: Counting) -> None:
        _, key = await tenants.issue_key("vision", "ann", Role.USER)
        ring = KeyRing(tenants, Deaf())
        first = await ring.authenticate(key)
        assert await ring.authenticate(key) is first
        assert tenants.asked == 1

    async def test_a_flood_of_wrong_secrets_is_no_flood_of_queries(self, tenants: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
        _, key = await tenants.issue_key("vision", "ann", Role.USER)
        ring = KeyRing(tenants, Deaf())
        await ring.authenticate(key)
        now = time.monotonic()
        monkeypatch.setattr("factory_infra.paas.tenants.keyring.time.monotonic", lambda: now)
        for _ in range(200):
            assert await refused(ring.authenticate, key[:-1] + ("A" if key[-1] != "A" else "B"))
        assert tenants.asked == 1 + DOUBTS_PER_SECOND_MAX
        await ring.authenticate(key)

    async def test_an_id_that_does_not_exist_is_asked_for_once_and_known_when_it_does(self, tenants: Counting, news: list[Notices]) -> None:
        ring = (await rings(tenants, news))[0]
        absent = "ls_000000000000_" + "a" * 43
        for _ in range(3):
            assert await refused(ring.authenticate, absent)
        assert tenants.asked == 1


class TestRevocation:
    async def test_reaches_every_process_at_once(self, tenants: Counting, news: list[Notices]) -> None:
        issued, key = await tenants.issue_key("vision", "ann", Role.USER)
        both = await rings(tenants, news)
        for ring in both:
            await ring.authenticate(key)
        await tenants.revoke_key(issued.id)
        assert [await refused_soon(ring, key) for ring in both] == [True, True]

    async def test_control_without_news_a_revoked_key_goes_on(self, tenants: Counting) -> None:
        issued, key = await tenants.issue_key("vision", "ann", Role.USER)
        ring = KeyRing(tenants, Deaf())
        await ring.authenticate(key)
        await tenants.revoke_key(issued.id)
        assert not await refused_soon(ring, key, 0.2)

    async def test_without_the_connection_each_look_up_asks(self, tenants: Counting, news: list[Notices]) -> None:
        issued, key = await tenants.issue_key("vision", "ann", Role.USER)
        ring = (await rings(tenants, news))[0]
        await ring.authenticate(key)
        await news[0].close()
        asked = tenants.asked
        await ring.authenticate(key)
        assert tenants.asked == asked + 1
        await tenants.revoke_key(issued.id)
        assert await refused(ring.authenticate, key)

    async def test_what_was_read_before_and_comes_after_is_not_remembered(self, tenants: Counting, news: list[Notices]) -> None:
        issued, key = await tenants.issue_key("vision", "ann", Role.USER)
        ring = (await rings(tenants, news))[0]
        told = asyncio.Event()
        news[0].on("api_keys", lambda _: told.set())
        tenants.go_on.clear()
        late = asyncio.create_task(ring.authenticate(key))
        await tenants.read.wait()
        await tenants.revoke_key(issued.id)
        await asyncio.wait_for(told.wait(), 5)
        tenants.go_on.set()
        await late
        assert await refused(ring.authenticate, key)


class TestRotation:
    async def test_both_secrets_are_good_until_the_overlap_ends(
        self, tenants: Counting, news: list[Notices], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        issued, old = await tenants.issue_key("vision", "ann", Role.USER)
        ring = (await rings(tenants, news))[0]
        await ring.authenticate(old)
        rotated, new = await tenants.rotate_key(issued.id, 60)
        assert rotated.id == issued.id and rotated.old_until is not None and new[:16] == old[:16] and new != old
        assert (await ring.authenticate(new)).expires_at is None
        assert (await ring.authenticate(old)).expires_at == rotated.old_until
        moment = rotated.old_until
        for offset, words in ((timedelta(microseconds=-1), False), (timedelta(0), True)):
            monkeypatch.setattr("factory_infra.paas.tenants.proof.utcnow", lambda offset=offset: moment + offset)
            assert bool(await refused(ring.authenticate, old)) is words
            assert bool(await refused(tenants.authenticate, old)) is words
            await ring.authenticate(new)

    async def test_without_an_overlap_the_old_one_ends_everywhere(self, tenants: Counting, news: list[Notices]) -> None:
        issued, old = await tenants.issue_key("vision", "ann", Role.USER)
        both = await rings(tenants, news)
        for ring in both:
            await ring.authenticate(old)
        _, new = await tenants.rotate_key(issued.id, 0)
        for ring in both:
            await ring.authenticate(new)
            assert await refused_soon(ring, old)

    async def test_a_new_secret_is_good_before_the_news_of_it_come(self, tenants: Counting) -> None:
        issued, old = await tenants.issue_key("vision", "ann", Role.USER)
        ring = KeyRing(tenants, Deaf())
        await ring.authenticate(old)
        _, new = await tenants.rotate_key(issued.id, 0)
        await ring.authenticate(new)

    async def test_a_second_rotation_ends_the_first_secret(self, tenants: Counting) -> None:
        issued, first = await tenants.issue_key("vision", "ann", Role.USER)
        _, second = await tenants.rotate_key(issued.id, 60)
        _, third = await tenants.rotate_key(issued.id, 60)
        assert [bool(await refused(tenants.authenticate, key)) for key in (first, second, third)] == [True, False, False]

    async def test_a_revoked_key_is_not_rotated_and_its_secrets_both_end(self, tenants: Counting) -> None:
        issued, first = await tenants.issue_key("vision", "ann", Role.USER)
        _, second = await tenants.rotate_key(issued.id, 60)
        await tenants.revoke_key(issued.id)
        assert [bool(await refused(tenants.authenticate, key)) for key in (first, second)] == [True, True]
        with pytest.raises(LineshaftError) as raised:
            await tenants.rotate_key(issued.id, 60)
        assert raised.value.error_code == "conflict"


class TestExpiry:
    async def test_is_kept_to_the_moment_also_from_memory(self, tenants: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
        moment = utcnow() + timedelta(seconds=3600)
        _, key = await tenants.issue_key("vision", "ann", Role.USER, moment)
        monkeypatch.setattr("factory_infra.paas.tenants.keyring.DOUBTS_PER_SECOND_MAX", 0)
        ring = KeyRing(tenants, Deaf())
        for offset, words in ((timedelta(0) - timedelta(microseconds=1), False), (timedelta(0), True)):
            monkeypatch.setattr("factory_infra.paas.tenants.proof.utcnow", lambda offset=offset: moment + offset)
            assert bool(await refused(ring.authenticate, key)) is words
        assert tenants.asked == 1


class TestAttacks:
    async def test_what_is_no_key_reaches_no_query(self, tenants: Counting, database: Database) -> None:
        statements: list[str] = []
        event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
        ring = KeyRing(tenants, Deaf())
        for key in NO_KEYS:
            for door in (ring.authenticate, tenants.authenticate):
                assert await refused(door, key), key[:40]
        assert statements == []

    async def test_a_stolen_digest_opens_nothing(self, tenants: Counting) -> None:
        issued, _ = await tenants.issue_key("vision", "ann", Role.USER)
        [found] = (await tenants.known_keys([issued.id])).values()
        assert await refused(tenants.authenticate, f"ls_{issued.id}_{found[1].digest.removeprefix('hmac1:')}")

    async def test_every_refusal_has_the_same_words_and_the_same_steps(self, tenants: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
        _, good = await tenants.issue_key("vision", "good", Role.USER)
        revoked, of_revoked = await tenants.issue_key("vision", "revoked", Role.USER)
        await tenants.revoke_key(revoked.id)
        _, of_expired = await tenants.issue_key("vision", "expired", Role.USER, utcnow() - timedelta(seconds=1))
        wrong = good[:16] + of_revoked[16:]
        absent = "ls_000000000000_" + good[16:]
        steps: list[int] = []
        compare, count = hmac.compare_digest, 0

        def counted(one: str, other: str) -> bool:
            nonlocal count
            count += 1
            assert len(one) == len(other) == 49
            return compare(one, other)

        monkeypatch.setattr("factory_infra.paas.tenants.proof.hmac.compare_digest", counted)
        words = set()
        for key in (of_revoked, of_expired, wrong, absent):
            for door in (KeyRing(tenants, Deaf()).authenticate, tenants.authenticate):
                count = 0
                words.add(await refused(door, key))
                steps.append(count)
        count = 0
        await KeyRing(tenants, Deaf()).authenticate(good)
        assert len(words) == 1 and "" not in words
        assert set(steps) == {count} == {2}

    async def test_two_installations_share_no_digest_and_no_key(self, tenants: Counting, database: Database) -> None:
        secret = "s" * 43
        assert digest_of(secret, PEPPER) != digest_of(secret, b"q" * 32)
        _, key = await tenants.issue_key("vision", "ann", Role.USER)
        assert await refused(Counting(database, b"q" * 32).authenticate, key)


class TestBounds:
    async def test_a_hundred_thousand_keys_and_a_flood_of_absent_ones(self) -> None:
        """The memory stays at its bounds, and the flood pushes no good key out."""
        secret = "s" * 43
        proof = KeyProof(digest=digest_of(secret, PEPPER))
        example = ApiKey(id="", tenant="vision", name="k", role=Role.USER, created_at=utcnow(), expires_at=None, revoked_at=None)

        class Many:
            pepper = PEPPER

            async def known_keys(self, key_ids: Sequence[str]) -> dict[str, tuple[ApiKey, KeyProof]]:
                return {each: (example.model_copy(update={"id": each}), proof) for each in key_ids if not each.startswith("f")}

            async def renew(self, key_id: str, kept: str, secret: str) -> None:
                return

        deaf: News = Deaf()
        ring = KeyRing(Many(), deaf, keys_max=500, unknown_max=100)  # type: ignore[arg-type]  # what the ring asks of teams, and no more
        for number in range(100_000):
            if number % 4 == 3:
                assert await refused(ring.authenticate, f"ls_f{number:011x}_{secret}")
            else:
                await ring.authenticate(f"ls_{number:012x}_{secret}")
        assert len(ring) == 600

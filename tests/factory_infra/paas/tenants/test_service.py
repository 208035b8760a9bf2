"""Teams and keys: names, limits, roles, and keys that are refused in the same words for every reason."""

import asyncio
import hashlib
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.paas.tenants.models import KeyFilter, KeyTerms, Role
from factory_infra.paas.tenants.proof import digest_of
from factory_infra.paas.tenants.service import Tenants
from factory_infra.paas.tenants.tables import KeyRow

pytestmark = pytest.mark.stack

PEPPER = b"p" * 32


class NoHardware:
    """A pool without slots."""

    async def pool(self, name: str = "") -> Pool:
        """The pool."""
        return Pool(name="local", slots=[])


@pytest.fixture
async def tenants(database: Database) -> Tenants:
    service = Tenants(database, PEPPER)
    await service.create("vision", quota_slots=2, budget=Decimal(20))
    return service


class TestTeams:
    async def test_are_listed_with_their_limits(self, tenants: Tenants) -> None:
        await tenants.create("language", quota_slots=0, budget=Decimal("0.5"))
        assert [(each.name, each.quota_slots, each.budget) for each in await tenants.list()] == [
            ("language", 0, Decimal("0.5")),
            ("vision", 2, Decimal(20)),
        ]
        assert [each.name for each in await tenants.list("vision")] == ["vision"]

    @pytest.mark.parametrize("name", ["", "Vision", "a b", "-a", "a" * 42, "shared", "all", "admin", "a/b", "a\n", "ä", "a'--"])
    async def test_names_that_would_mislead_are_refused(self, tenants: Tenants, name: str) -> None:
        with pytest.raises(InvalidInput):
            await tenants.create(name, quota_slots=1, budget=Decimal(1))
        assert len(await tenants.list()) == 1

    async def test_one_name_is_one_team_also_side_by_side(self, tenants: Tenants) -> None:
        made = await asyncio.gather(
            *(tenants.create("language", quota_slots=number, budget=Decimal(1)) for number in range(5)), return_exceptions=True
        )
        assert sorted(type(each).__name__ for each in made) == ["Conflict"] * 4 + ["Tenant"]

    async def test_an_existing_team_keeps_its_limits(self, tenants: Tenants) -> None:
        with pytest.raises(Conflict):
            await tenants.create("vision", quota_slots=99, budget=Decimal(99))
        assert (await tenants.get("vision")).quota_slots == 2

    async def test_limits_change_one_by_one(self, tenants: Tenants) -> None:
        await tenants.change("vision", quota_slots=5)
        assert await tenants.change("vision", budget=Decimal(7)) == await tenants.get("vision")
        changed = await tenants.get("vision")
        assert (changed.quota_slots, changed.budget) == (5, Decimal(7))

    async def test_negative_limits_are_refused(self, tenants: Tenants) -> None:
        for asked in (tenants.change("vision", quota_slots=-1), tenants.change("vision", budget=Decimal("-0.01"))):
            with pytest.raises(InvalidInput):
                await asked

    async def test_an_unknown_team_is_told_as_such(self, tenants: Tenants) -> None:
        for asked in (tenants.get("nobody"), tenants.change("nobody", quota_slots=1), tenants.issue_key("nobody", "k", Role.USER)):
            with pytest.raises(NotFound) as raised:
                await asked
            assert raised.value.error_code == "team_unknown"


class TestKeys:
    async def test_a_key_stands_for_its_name_role_and_team(self, tenants: Tenants) -> None:
        issued, secret = await tenants.issue_key("vision", "ann", Role.APPROVER)
        principal = await tenants.authenticate(secret)
        assert (principal.key_id, principal.name, principal.role, principal.tenant) == (issued.id, "ann", Role.APPROVER, "vision")

    async def test_the_secret_is_nowhere_in_the_database(self, tenants: Tenants, database: Database) -> None:
        _, secret = await tenants.issue_key("vision", "ann", Role.USER)
        async with database.transaction() as session:
            rows = (await session.execute(text("SELECT row_to_json(api_keys)::text FROM api_keys"))).scalars().all()
        assert len(rows) == 1
        assert secret[16:] not in rows[0]

    async def test_the_list_tells_no_secret(self, tenants: Tenants) -> None:
        _, secret = await tenants.issue_key("vision", "ann", Role.USER)
        told = [each.model_dump_json() for each in await tenants.keys("vision")]
        assert len(told) == 1
        assert secret[16:] not in told[0]
        assert "digest" not in told[0]

    async def test_every_bad_key_is_refused_in_the_same_words(self, tenants: Tenants) -> None:
        _, good = await tenants.issue_key("vision", "good", Role.USER)
        revoked, revoked_secret = await tenants.issue_key("vision", "revoked", Role.USER)
        await tenants.revoke_key(revoked.id)
        _, expired = await tenants.issue_key("vision", "expired", Role.USER, utcnow() - timedelta(seconds=1))
        altered = good[:-1] + ("A" if good[-1] != "A" else "B")
        swapped = good[:16] + revoked_secret[16:]
        malformed = ["", "ls_", good + "x", " " + good, "ls_000000000000_" + "a" * 43, "\x00", "é" * 60]
        words = set()
        for key in (revoked_secret, expired, altered, swapped, *malformed):
            with pytest.raises(Unauthenticated) as raised:
                await tenants.authenticate(key)
            words.add(str(raised.value))
        assert len(words) == 1
        assert (await tenants.authenticate(good)).name == "good"

    async def test_revoked_twice_is_once(self, tenants: Tenants) -> None:
        issued, _ = await tenants.issue_key("vision", "ann", Role.USER)
        await tenants.revoke_key(issued.id)
        first = (await tenants.keys("vision"))[0].revoked_at
        await tenants.revoke_key(issued.id)
        assert (await tenants.keys("vision"))[0].revoked_at == first
        with pytest.raises(NotFound):
            await tenants.revoke_key("absent")

    async def test_a_key_that_will_expire_is_good_until_then(self, tenants: Tenants) -> None:
        _, secret = await tenants.issue_key("vision", "ann", Role.USER, utcnow() + timedelta(hours=1))
        assert (await tenants.authenticate(secret)).name == "ann"

    @pytest.mark.parametrize(("tenant", "role"), [(None, Role.USER), (None, Role.APPROVER), ("vision", Role.ADMIN)])
    async def test_only_an_admin_key_belongs_to_no_team(self, tenants: Tenants, tenant: str | None, role: Role) -> None:
        with pytest.raises(InvalidInput):
            await tenants.issue_key(tenant, "k", role)

    async def test_a_key_from_before_the_pepper_works_and_is_kept_anew_at_its_first_use(self, tenants: Tenants, database: Database) -> None:
        issued, key = await tenants.issue_key("vision", "ann", Role.USER)
        plain = hashlib.sha256(key[16:].encode()).hexdigest()

        async def kept() -> str:
            async with database.transaction() as session:
                return (await session.get_one(KeyRow, issued.id)).digest

        async with database.transaction() as session:
            (await session.get_one(KeyRow, issued.id)).digest = plain
        with pytest.raises(Unauthenticated):
            await tenants.authenticate(key[:-1] + ("A" if key[-1] != "A" else "B"))
        assert await kept() == plain
        for _ in range(2):
            assert (await tenants.authenticate(key)).name == "ann"
            assert await kept() == digest_of(key[16:], PEPPER)

    async def test_a_key_for_models_only_opens_nothing_here(self, tenants: Tenants) -> None:
        issued, key = await tenants.issue_key("vision", "ann", Role.USER, None, KeyTerms(scopes=frozenset({"gateway"})))
        for asked in (tenants.authenticate(key), tenants.principal_of(issued.id)):
            with pytest.raises(Forbidden) as raised:
                await asked
            assert raised.value.error_code == "scope_missing"

    async def test_the_list_is_paged_and_filtered(self, tenants: Tenants) -> None:
        for number in range(4):
            await tenants.issue_key("vision", f"k{number}", Role.USER, None, KeyTerms(project="reader" if number % 2 else ""))
        everyone = await tenants.keys("vision")
        await tenants.revoke_key(everyone[0].id)
        await tenants.issue_key("vision", "old", Role.USER, utcnow() - timedelta(seconds=1))

        async def names(limit: int = 100, offset: int = 0, **wanted: object) -> list[str]:
            return [each.name for each in await tenants.keys("vision", KeyFilter.model_validate(wanted), limit, offset)]

        assert await names(limit=2, offset=1) == ["k1", "k2"]
        assert await names(project="reader") == ["k1", "k3"]
        assert await names(state="active") == ["k1", "k2", "k3"]
        assert await names(state="revoked") == ["k0"]
        assert await names(state="expired") == ["old"]

    async def test_a_project_and_an_overlap_that_cannot_be(self, tenants: Tenants) -> None:
        issued, _ = await tenants.issue_key("vision", "ann", Role.USER)
        for asked, code in (
            (tenants.issue_key("vision", "k", Role.USER, None, KeyTerms(project="a:b")), "project_invalid"),
            (tenants.rotate_key(issued.id, -1), "overlap_invalid"),
            (tenants.rotate_key(issued.id, 31 * 86400), "overlap_invalid"),
        ):
            with pytest.raises(InvalidInput) as raised:
                await asked
            assert raised.value.error_code == code
        with pytest.raises(NotFound):
            await tenants.rotate_key("absent", 0)

    async def test_a_teams_list_has_no_other_teams_keys(self, tenants: Tenants) -> None:
        await tenants.create("language", quota_slots=0, budget=Decimal(1))
        await tenants.issue_key("language", "theirs", Role.USER)
        await tenants.issue_key(None, "root", Role.ADMIN)
        assert await tenants.keys("vision") == []
        assert {each.name for each in await tenants.keys(None)} == {"theirs", "root"}


class TestRole:
    def test_each_reaches_those_below_it_and_none_above(self) -> None:
        order = [Role.VIEWER, Role.USER, Role.APPROVER, Role.ADMIN]
        for place, role in enumerate(order):
            assert [role.reaches(other) for other in order] == [other_place <= place for other_place in range(4)]


class TestClosing:
    async def test_no_key_outlives_a_team_that_is_closed_while_it_is_made(self, tenants: Tenants) -> None:
        made = [tenants.issue_key("vision", "k", Role.USER) for _ in range(20)]
        ended = await asyncio.gather(*made[:10], tenants.close("vision"), *made[10:], return_exceptions=True)
        assert all(isinstance(each, tuple | NotFound) or each is ended[10] for each in ended)
        assert {each.state for each in await tenants.keys("vision")} <= {"revoked"}
        with pytest.raises(NotFound):
            await tenants.issue_key("vision", "k", Role.USER)
        with pytest.raises(NotFound):
            await tenants.change("vision", budget=Decimal(1))

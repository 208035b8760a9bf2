"""Two walls stand between teams: the code's own checks, and row-level security behind them. Each holds alone; without both nothing does."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import pytest_asyncio
from fastapi import Request
from sqlalchemy import Engine, create_engine, text

from api.deps import HouseDep, asking, principal
from factory_infra.database import Database, driver_url
from factory_infra.iaas.leases.rows import lease_id
from factory_infra.migrations.walls import HIDDEN, OF_NO_TEAM, unjudged, wall_of
from factory_infra.paas.tenants.models import Principal
from factory_infra.schema import METADATA
from factory_infra.second_wall import EVERYTHING, NOBODY, TEAM_ROLE, everything, look_as, seen_by, view
from tests.api.house import SECRET, Doors, furnish
from tests.api.test_isolation import BY_WORKFLOW, EMPTY, MATRIX, ended

pytestmark = pytest.mark.stack

LEASE = f"/v1/leases/{lease_id('language')}"
READS = [row for row in MATRIX if row[0].startswith("GET") and row[2] in {EMPTY, 404} and row[0] not in BY_WORKFLOW]
ASKED = [LEASE, *(path for _, path, _, _ in READS)]


@contextmanager
def without_the_code(doors: Doors) -> Iterator[None]:
    """The code takes every caller for one who belongs to no team, and so checks and filters nothing."""

    async def careless(request: Request, held: HouseDep) -> Principal:
        asker = await asking(request, held)
        look_as(asker.tenant)
        return asker.model_copy(update={"tenant": None})

    doors.app.dependency_overrides[principal] = careless
    try:
        yield
    finally:
        del doors.app.dependency_overrides[principal]


@asynccontextmanager
async def without_policies(doors: Doors) -> AsyncIterator[None]:
    """PostgreSQL lets the teams' role see every row."""
    async with doors.factory.database.transaction() as session:
        for name in METADATA.tables:
            await session.execute(text(f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY"))
    try:
        yield
    finally:
        async with doors.factory.database.transaction() as session:
            for name in METADATA.tables:
                await session.execute(text(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"))


async def leaks(doors: Doors) -> list[tuple[str, int, str]]:
    """Where a caller of team vision is told a word of the other team's."""
    found = []
    for path in ASKED:
        answer = await doors.ask("GET", path, "approver")
        if SECRET in answer.text.lower() or answer.status_code >= 500:
            found.append((path, answer.status_code, answer.text[:200]))
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def furnished(doors: Doors) -> Doors:
    await furnish(doors.factory)
    await ended(doors.factory)
    return doors


class TestTwoWalls:
    """That both together hold is what `test_isolation.py` shows."""

    async def test_the_code_holds_without_policies(self, furnished: Doors) -> None:
        async with without_policies(furnished):
            assert await leaks(furnished) == []

    async def test_the_policies_hold_without_the_code(self, furnished: Doors) -> None:
        with without_the_code(furnished):
            assert await leaks(furnished) == []

    async def test_control_without_both_everything_is_told(self, furnished: Doors) -> None:
        with without_the_code(furnished):
            async with without_policies(furnished):
                told = {path.partition("?")[0] for path, *_ in await leaks(furnished)}
        assert {LEASE, "/v1/plans", "/v1/threads", "/v1/keys", "/v1/runs", "/v1/lessons", "/v1/limits"} <= told

    async def test_a_route_that_does_not_ask_who_it_is_finds_nothing(self, furnished: Doors) -> None:
        factory = furnished.factory

        @furnished.app.get("/careless")
        async def careless() -> list[str]:
            return [plan.id for plan in await factory.records.plans(None)]

        assert (await furnished.ask("GET", "/careless", "admin")).json() == []
        with seen_by(EVERYTHING):
            assert "plan-language" in [plan.id for plan in await factory.records.plans(None)]


class TestTables:
    """Every table is judged, and the judgement stands in the database."""

    @pytest.fixture
    def engine(self, module_url: str) -> Iterator[Engine]:
        engine = create_engine(driver_url(module_url))
        yield engine
        engine.dispose()

    def test_of_every_table_somebody_said_what_teams_see(self) -> None:
        assert unjudged() == []
        assert [name for name in OF_NO_TEAM | HIDDEN if name not in METADATA.tables or wall_of(METADATA.tables[name])] == []

    def test_every_table_has_its_policy(self, engine: Engine) -> None:
        query = "SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid WHERE relrowsecurity"
        with engine.connect() as connection:
            walled = set(connection.execute(text(query)).scalars())
            columns = "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant' AND table_schema = current_schema()"
            with_teams = set(connection.execute(text(columns)).scalars())
        assert set(METADATA.tables) | with_teams <= walled

    def test_the_teams_role_passes_no_policy_by(self, engine: Engine) -> None:
        query = "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcanlogin FROM pg_roles WHERE rolname = :role"
        owned = "SELECT count(*) FROM pg_class WHERE relowner = :role ::regrole"
        with engine.connect() as connection:
            assert connection.execute(text(query), {"role": TEAM_ROLE}).scalar() is False
            assert connection.execute(text(owned), {"role": TEAM_ROLE}).scalar() == 0


class TestView:
    async def test_a_team_cannot_write_anothers_row_nor_a_table_of_no_team(self, furnished: Doors) -> None:
        database = furnished.factory.database
        for words in (
            "UPDATE plans SET state = 'x' WHERE tenant = 'language'",
            "INSERT INTO threads (id, tenant, created_by, title, created_at) VALUES ('t', 'language', '', '', now())",
            "UPDATE switch SET stopped = true",
            "UPDATE slot_quotas SET slots_max = 9",
            "SELECT * FROM ledger_blocks",
        ):
            assert await outcome(database, words, "vision") in {"0 rows", "refused"}, words
        assert await outcome(database, "UPDATE plans SET state = state WHERE tenant = 'language'", EVERYTHING) == "1 rows"
        assert await outcome(database, "UPDATE plans SET state = state WHERE tenant = 'language'", "language") == "1 rows"

    async def test_a_view_ends_with_its_transaction(self, furnished: Doors) -> None:
        database = furnished.factory.database
        for _ in range(20):  # more than the pool has connections: each is used again
            assert await outcome(database, "SELECT 1 FROM plans WHERE tenant = 'language'", "vision") == "0 rows"
            assert await outcome(database, "SELECT 1 FROM plans WHERE tenant = 'language'", EVERYTHING) == "1 rows"
            async with database.reading() as connection:
                assert (await connection.execute(text("SELECT current_user"))).scalar() != TEAM_ROLE

    async def test_reading_is_narrowed_too(self, furnished: Doors) -> None:
        database, query = furnished.factory.database, text("SELECT count(*) FROM plans WHERE tenant = 'language'")
        with seen_by("vision"):
            async with database.reading() as connection:
                assert (await connection.execute(query)).scalar() == 0
            async with database.reading(whole=True) as connection:
                assert (await connection.execute(query)).scalar() == 1

    def test_views_nest(self) -> None:
        assert view() == EVERYTHING
        with seen_by(NOBODY):
            look_as("vision")
            with everything():
                assert view() == EVERYTHING
            assert view() == "vision"
        assert view() == EVERYTHING


async def outcome(database: Database, words: str, whose: str) -> str:
    """How many rows a statement reached, or that it was refused; nothing is kept."""
    with seen_by(whose):
        try:
            async with database.transaction() as session:
                result = await session.execute(text(words))
                count = len(result.all()) if result.returns_rows else result.rowcount  # type: ignore[attr-defined]
                await session.rollback()
        except Exception as error:  # noqa: BLE001 - whatever PostgreSQL says is shown
            return "refused" if any(word in str(error) for word in ("permission denied", "row-level security")) else str(error)
    return f"{count} rows"

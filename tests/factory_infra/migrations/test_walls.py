"""The second wall is put up by the role that a server of one's own gives, which is no superuser; and it says what it lacks."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, text

from factory_infra.database import Database, driver_url
from factory_infra.errors import InvalidInput
from factory_infra.migrations.run import upgrade
from factory_infra.second_wall import TEAM_ROLE, seen_by

pytestmark = pytest.mark.stack
NAME = "plain_owner"


@pytest.fixture
def server(postgres_url: str) -> Iterator[Engine]:
    """The server as its administrator sees it, with an empty database that belongs to a plain role."""
    engine = create_engine(driver_url(postgres_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE {NAME} LOGIN"))
        connection.execute(text(f"CREATE DATABASE {NAME} TEMPLATE template0 OWNER {NAME}"))
    yield engine
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {NAME} WITH (FORCE)"))
        connection.execute(text(f"DROP ROLE {NAME}"))
    engine.dispose()


@pytest.fixture
def plain_url(server: Engine, postgres_url: str) -> str:
    """The address of that database, for that role."""
    return postgres_url.replace("postgres:@", f"{NAME}:@").replace("/postgres?", f"/{NAME}?")


def given(server: Engine, words: str) -> None:
    with server.connect() as connection:
        connection.execute(text(words))


async def test_a_plain_role_that_was_given_the_teams_role(server: Engine, plain_url: str) -> None:
    given(server, f"GRANT {TEAM_ROLE} TO {NAME}")
    for _ in range(2):  # again changes nothing
        upgrade(plain_url)
    database = Database(plain_url)
    async with database.transaction() as session:
        await session.execute(text("INSERT INTO threads VALUES ('t', 'language', '', '', now())"))
    with seen_by("vision"):
        async with database.transaction() as session:
            assert (await session.execute(text("SELECT current_user"))).scalar() == TEAM_ROLE
            assert (await session.execute(text("SELECT count(*) FROM threads"))).scalar() == 0
    with seen_by("language"):
        async with database.transaction() as session:
            assert (await session.execute(text("SELECT count(*) FROM threads"))).scalar() == 1
    await database.close()


def test_a_wall_that_was_taken_down_by_hand_is_put_up_again(server: Engine, plain_url: str) -> None:
    given(server, f"GRANT {TEAM_ROLE} TO {NAME}")
    upgrade(plain_url)
    engine = create_engine(driver_url(plain_url), isolation_level="AUTOCOMMIT")
    standing = text("SELECT count(*) FROM pg_class WHERE relrowsecurity")
    with engine.connect() as connection:
        before = connection.execute(standing).scalar()
        connection.execute(text("ALTER TABLE plans DISABLE ROW LEVEL SECURITY"))
        connection.execute(text("DROP POLICY lineshaft_own ON runs"))
        upgrade(plain_url)
        assert connection.execute(standing).scalar() == before
        assert connection.execute(text("SELECT count(*) FROM pg_policy WHERE polrelid = 'runs'::regclass")).scalar() == 1
    engine.dispose()


def test_a_role_that_may_not_is_told_what_its_administrator_must_do(server: Engine, plain_url: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        upgrade(plain_url)
    assert raised.value.error_code == "team_role_missing"
    assert f"GRANT {TEAM_ROLE}" in raised.value.remedy


def test_a_role_that_may_make_roles_makes_it(server: Engine, plain_url: str) -> None:
    given(server, f"ALTER ROLE {NAME} CREATEROLE")
    given(server, f"GRANT {TEAM_ROLE} TO {NAME} WITH ADMIN OPTION")
    upgrade(plain_url)

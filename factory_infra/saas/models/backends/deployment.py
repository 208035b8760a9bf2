"""A language model that is deployed here: whatever is live under an endpoint's name, found by the deployments' own records."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from factory_infra.database import Database
from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, NotFound, Unavailable
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.iaas.isolation.providers.local import wall_orders
from factory_infra.iaas.jobs.providers.local import LocalJobs
from factory_infra.paas.deployments.interface import ChatServing
from factory_infra.paas.deployments.models import ChatServer
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.registry.providers.mlflow import MlflowRegistry
from factory_infra.saas.models.backends.faults import too_late, unavailable
from factory_infra.saas.models.backends.openai import OpenAIBackend
from factory_infra.saas.models.backends.spec import DeploymentSpec, OpenAISpec
from factory_infra.saas.models.calls import Abilities, Answer, Call, JsonObject, Piece
from factory_infra.settings import Settings

FRESH_SECONDS = 1.0
"""So long what was found is believed: a new version takes calls within it, and the records are asked once a second at most."""
POOL_SIZE = 1
ABILITIES = Abilities(
    can=frozenset({"chat", "stream", "json_schema", "json_object", "logprobs"}),
    context_tokens=4096,
    tokens_out_max=4096,
    fields=frozenset({"seed", "frequency_penalty", "presence_penalty", "logit_bias"}),
)
"""What the servers that are deployed here hold to. A larger model's file says what it can do besides, such as `tools`."""


class Endpoints(ChatServing, Protocol):
    """Where endpoints are found."""

    async def close(self) -> None:
        """Give connections back."""
        ...


class OurEndpoints:
    """The endpoints of this installation. Connects with the first question."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held: tuple[Database, MlflowRegistry, LocalDeployments] | None = None

    async def chat_server(self, tenant: str, name: str, silent: str = "") -> ChatServer:
        """Where the live version's server listens; see the seam."""
        if self._held is None:
            self._held = self._connected()
        return await self._held[2].chat_server(tenant, name, silent)

    def _connected(self) -> tuple[Database, MlflowRegistry, LocalDeployments]:
        settings, url = self._settings, self._settings.database_url
        if url is None:
            raise Unavailable(
                "The records of endpoints have no address here.", remedy="Set LINESHAFT_DATABASE_URL.", code="model_unavailable"
            )
        database = Database(url.get_secret_value(), pool_size=POOL_SIZE)
        registry = MlflowRegistry(settings.mlflow_url or "", database, settings.weights_dir)
        # A server that is started from here has the walls that every job of this host has.
        jobs = LocalJobs(settings.jobs_dir, wall_orders(PoolBook(settings.pools_file), settings))
        return database, registry, LocalDeployments(database, registry, jobs, settings.home / "endpoints", "")

    async def close(self) -> None:
        """Give connections back; servers go on serving."""
        held, self._held = self._held, None
        if held is not None:
            for each in reversed(held):
                await each.close()


class Line:
    """The way to one server. It is given back once it is not the live one any more and its last answer has ended."""

    def __init__(self, server: ChatServer, backend: OpenAIBackend) -> None:
        self.server = server
        self.backend = backend
        self._users = 0
        self._over = False

    @asynccontextmanager
    async def used(self) -> AsyncIterator[OpenAIBackend]:
        """Ask over it."""
        self._users += 1
        try:
            yield self.backend
        finally:
            self._users -= 1
            await self._ended()

    async def leave(self) -> None:
        """Use it no more."""
        self._over = True
        await self._ended()

    async def _ended(self) -> None:
        if self._over and not self._users:
            await self.backend.close()


class DeploymentBackend:
    """One endpoint. Its server speaks OpenAI's shapes; where it is changes when a version goes live, goes back, or its server dies."""

    def __init__(
        self,
        spec: DeploymentSpec,
        settings: Settings,
        secret: SecretStr | None,
        endpoints: Endpoints | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        del secret
        self.name = spec.title
        self._spec = spec
        self._settings = settings
        self._endpoints: Endpoints = endpoints or OurEndpoints(settings)
        self._clock = clock
        self._line: Line | None = None
        self._asked_at = 0.0
        self._finding: asyncio.Task[Line] | None = None

    def abilities(self, model: str) -> Abilities:
        """What a server here can do, with the file's differences."""
        return self._spec.overridden(model, ABILITIES)

    async def close(self) -> None:
        """Give connections back."""
        finding, line = self._finding, self._line
        if finding is not None:
            finding.cancel()
            await asyncio.wait({finding})
        if line is not None:
            await line.backend.close()
        await self._endpoints.close()

    async def complete(self, call: Call) -> Answer:
        """Answer a chat call as a whole."""
        line = await self._found(call)
        try:
            async with line.used() as backend:
                return await backend.complete(self._with(call, line))
        except (Unavailable, EffectFailed) as error:
            line = await self._found_anew(call, line, error)
        async with line.used() as backend:
            return await backend.complete(self._with(call, line))

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Answer a chat call piece by piece. After the first piece a server that ends takes the answer with it."""
        line, begun = await self._found(call), False
        try:
            async for piece in self._streamed(call, line):
                begun = True
                yield piece
        except (Unavailable, EffectFailed) as error:
            if begun:
                raise
            line = await self._found_anew(call, line, error)
        else:
            return
        async for piece in self._streamed(call, line):
            yield piece

    async def _streamed(self, call: Call, line: Line) -> AsyncGenerator[Piece, None]:
        async with line.used() as backend:
            pieces = backend.stream(self._with(call, line))
            try:
                async for piece in pieces:
                    yield piece
            finally:
                await pieces.aclose()

    def _with(self, call: Call, line: Line) -> Call:
        """The call as the server knows its model; the file's name of it only chooses abilities and prices."""
        body: JsonObject = {name: value for name, value in call.body.items() if value is not None}
        return Call(call.id, call.kind, line.server.model_name, body, call.deadline_seconds)

    async def _found(self, call: Call) -> Line:
        """The way to the live server, as it was found a moment ago or is found now."""
        if self._line is not None and self._clock() < self._asked_at + FRESH_SECONDS:
            return self._line
        return await self._joined(call, "")

    async def _found_anew(self, call: Call, line: Line, error: LineshaftError) -> Line:
        """The way to the server that is live in place of one that failed, started again where it is down.

        Raises the failure where that same server still is the live one, and up: then the endpoint is not what failed.
        """
        if error.error_code not in {"model_unavailable", "model_key_refused"}:
            raise error
        found = await self._joined(call, line.server.job_id)
        if found is line:
            raise error
        return found

    async def _joined(self, call: Call, silent: str) -> Line:
        """One search at a time for all calls. A caller that leaves does not end it: a server that is starting is wanted by the next."""
        if self._finding is None or self._finding.done():
            self._finding = asyncio.create_task(self._find(silent))
        try:
            async with asyncio.timeout(call.deadline_seconds):
                return await asyncio.shield(self._finding)
        except TimeoutError:
            raise too_late(self.name, call.deadline_seconds) from None

    async def _find(self, silent: str) -> Line:
        before = self._line
        try:
            server = await self._endpoints.chat_server(self._spec.team, self._spec.endpoint, silent)
        except (NotFound, InvalidInput) as error:
            raise EffectFailed(f"{self.name}: {error.reason}", remedy=error.remedy, code=error.error_code) from error
        except (SQLAlchemyError, OSError) as error:
            if before is None or silent:
                raise unavailable(self.name, "cannot be found: the records of endpoints do not answer") from error
            server = before.server
        self._asked_at = self._clock()
        if before is not None and before.server == server:
            return before
        told = OpenAISpec(kind="openai", name=self.name, url=server.url, connections_max=self._spec.connections_max)
        self._line = Line(server, OpenAIBackend(told, self._settings, server.key))
        if before is not None:
            await before.leave()
        return self._line

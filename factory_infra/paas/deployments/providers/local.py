"""Endpoints on this machine: a row says what is live, a job serves it, and a switch is one transaction."""

import builtins
import hashlib
import re
import time
from pathlib import Path

from pydantic import SecretStr, ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound, Unavailable
from factory_infra.paas.deployments.models import ChatServer, Endpoint, EndpointState, Prediction, SmokeReport
from factory_infra.paas.deployments.providers.kinds import CHAT_PREFIX
from factory_infra.paas.deployments.providers.servers import Server, Servers, ServiceJobs, address_of
from factory_infra.paas.deployments.providers.wire import ROWS_MAX, Rows
from factory_infra.paas.deployments.tables import DeploymentAction, EndpointRow
from factory_infra.paas.registry.interface import Registry
from factory_infra.paas.registry.models import ModelVersion

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
ASKS_MAX = 3


class LocalDeployments:
    """Serves versions on this machine. Several processes may use one database and one folder at once.

    Args:
        database: holds `endpoints` and `deployment_actions`.
        registry: knows the versions and their files.
        jobs: runs the servers.
        folder: for the model files and the key of the servers' tokens.
        api_url: where clients find the API: an endpoint's stable address begins with it.
    """

    def __init__(self, database: Database, registry: Registry, jobs: ServiceJobs, folder: Path, api_url: str) -> None:
        self._database = database
        self._registry = registry
        self._servers = Servers(registry, jobs, folder)
        self._api_url = api_url.rstrip("/")

    async def close(self) -> None:
        """Give the connections back; servers go on serving."""
        await self._servers.close()

    async def deploy(self, tenant: str, name: str, model_name: str, version: int, key: str) -> Endpoint:
        """Put a version live; the old one answers until the new one is healthy, and is then drained and stopped."""
        check_name(name)
        async with self._database.transaction(lock=lock_of(tenant, name)) as session:
            if not await done_before(session, tenant, name, "deploy", key):
                registered = await self._registry.get(tenant, model_name, version)
                if registered.archived:
                    raise NotFound(
                        f"Version {version} of {model_name} is archived.", remedy="Deploy another version.", code="model_archived"
                    )
                server = await self._servers.start(name, registered, self._first_job_id(registered, name, key))
                row = await session.get(EndpointRow, (tenant, name))
                if row is None:
                    row = EndpointRow(tenant=tenant, name=name, previous=[])
                    session.add(row)
                elif row.state == EndpointState.LIVE:
                    row.previous = [*row.previous, f"{row.model_name}@{row.version}"]
                switch(row, model_name, version, server)
                await record(session, row, "deploy", key)
        return self._to_model(await self._tidy(tenant, name))

    async def get(self, tenant: str, name: str) -> Endpoint:
        """Return a live endpoint; a retired one is not found."""
        return self._to_model(await self._live(tenant, name))

    async def list(self, tenant: str | None = None) -> builtins.list[Endpoint]:
        """Return the endpoints that are live, newest first."""
        query = select(EndpointRow).where(EndpointRow.state == EndpointState.LIVE)
        if tenant is not None:
            query = query.where(EndpointRow.tenant == tenant)
        async with self._database.transaction() as session:
            return [self._to_model(row) for row in await session.scalars(query.order_by(EndpointRow.updated_at.desc()))]

    async def rollback(self, tenant: str, name: str, key: str) -> Endpoint | None:
        """Put the previous version back, or retire the endpoint where there was none."""
        async with self._database.transaction(lock=lock_of(tenant, name)) as session:
            row = await find(session, tenant, name)
            if not await done_before(session, tenant, name, "rollback", key):
                if row.state == EndpointState.LIVE and row.previous:
                    model_name, _, version = row.previous[-1].rpartition("@")
                    registered = await self._registry.get(tenant, model_name, int(version))
                    server = await self._servers.start(name, registered, self._first_job_id(registered, name, key))
                    row.previous = row.previous[:-1]
                    switch(row, model_name, int(version), server)
                else:
                    switch_off(row)
                await record(session, row, "rollback", key)
        endpoint = self._to_model(await self._tidy(tenant, name))
        return endpoint if endpoint.state is EndpointState.LIVE else None

    async def retire(self, tenant: str, name: str, key: str) -> None:
        """Stop serving under this name."""
        async with self._database.transaction(lock=lock_of(tenant, name)) as session:
            row = await find(session, tenant, name)
            if not await done_before(session, tenant, name, "retire", key):
                switch_off(row)
                await record(session, row, "retire", key)
        await self._tidy(tenant, name)

    async def predict(self, tenant: str, name: str, rows: builtins.list[builtins.list[float]]) -> Prediction:
        """Ask the live version; its server is started again if it is down."""
        check_rows(rows)
        row = rows_only(await self._live(tenant, name))
        for _ in range(ASKS_MAX):
            try:
                answer = await self._servers.ask(tenant, server_of(row), rows)
            except Unavailable:
                row = await self._revive(row)
            else:
                return Prediction(model_name=row.model_name, version=row.version, labels=answer.labels, probabilities=answer.probabilities)
        raise Unavailable(f"Endpoint {name} does not answer.", remedy="Try again in a moment.", code="endpoint_down")

    async def smoke_test(self, tenant: str, name: str) -> SmokeReport:
        """Send the held-out rows that came with the live version."""
        row = rows_only(await self._live(tenant, name))
        holdout = await self._servers.rows.holdout(await self._registry.get(tenant, row.model_name, row.version))
        began = time.monotonic()
        said = (await self.predict(tenant, name, holdout.rows)).labels
        right = sum(label == true for label, true in zip(said, holdout.labels, strict=True))
        return SmokeReport(
            rows=len(said),
            accuracy=right / len(said),
            agrees_with_training=said == holdout.predictions,
            seconds=round(time.monotonic() - began, 4),
        )

    async def chat_server(self, tenant: str, name: str, silent: str = "") -> ChatServer:
        """Return where the live version's server listens; one that is down is started again where a caller says that it is silent."""
        row = await self._live(tenant, name)
        if not chats(row):
            raise InvalidInput(
                f"Endpoint {name} of team {tenant} names the classes of rows.",
                remedy="Ask it by its address, or deploy a language model.",
                code="endpoint_not_chat",
            )
        if row.job_id == silent:
            row = await self._revive(row)
        server = server_of(row)
        return ChatServer(
            job_id=row.job_id,
            url=f"{address_of(server)}/v1",
            key=SecretStr(self._servers.token(row.job_id)),
            model_name=row.model_name,
            version=row.version,
        )

    async def _live(self, tenant: str, name: str) -> EndpointRow:
        async with self._database.transaction() as session:
            row = await find(session, tenant, name)
        if row.state != EndpointState.LIVE:
            raise NotFound(f"Endpoint {name} is retired.", remedy="Deploy a version to it.", code="endpoint_retired")
        return row

    async def _revive(self, seen: EndpointRow) -> EndpointRow:
        """Start the server of a live endpoint again, unless another process did so since or it only was busy."""
        async with self._database.transaction(lock=lock_of(seen.tenant, seen.name)) as session:
            row = await find(session, seen.tenant, seen.name)
            moved_on = row.job_id != seen.job_id or row.state != EndpointState.LIVE
            if not moved_on and not await self._servers.answers(row.tenant, server_of(row)):
                await self._servers.stop_others(row.tenant, row.name, keep=None)
                registered = await self._registry.get(row.tenant, row.model_name, row.version)
                server = await self._servers.start(row.name, registered, row.job_id)
                row.job_id, row.port = server.job_id, server.port
        return await self._live(seen.tenant, seen.name)

    async def _tidy(self, tenant: str, name: str) -> EndpointRow:
        """Stop every server of this endpoint but the live one; under the lock, so that one being started is left alone."""
        async with self._database.transaction(lock=lock_of(tenant, name)) as session:
            row = await find(session, tenant, name)
            await self._servers.stop_others(tenant, name, keep=row.job_id if row.state == EndpointState.LIVE else None)
            return row

    def _first_job_id(self, version: ModelVersion, name: str, key: str) -> str:
        return first_job_id(self._servers.kind_of(version).prefix, version.tenant, name, key)

    def _to_model(self, row: EndpointRow) -> Endpoint:
        model_name, _, version = row.previous[-1].rpartition("@") if row.previous else ("", "", "")
        return Endpoint(
            tenant=row.tenant,
            name=row.name,
            model_name=row.model_name,
            version=row.version,
            previous_version=int(version) if version else None,
            previous_model_name=model_name or None,
            state=EndpointState(row.state),
            url=f"{self._api_url}/v1/endpoints/{row.tenant}/{row.name}{'' if chats(row) else '/predict'}",
            updated_at=row.updated_at,
        )


def check_name(name: str) -> None:
    """Raise InvalidInput for a name that cannot stand in an address."""
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"The endpoint's name is not valid: {name[:80]!r}.",
            remedy="Use at most 63 small letters, digits, '.', '_' and '-'.",
            code="endpoint_name_invalid",
        )


def check_rows(rows: list[list[float]]) -> None:
    """Raise InvalidInput unless these are 1 to 1,000 rows of finite numbers."""
    try:
        Rows.model_validate({"rows": rows})
    except ValidationError as error:
        raise InvalidInput(
            "The rows are not valid: " + str(error.errors(include_url=False, include_input=False)[0]["msg"]) + ".",
            remedy=f"Send 1 to {ROWS_MAX} rows of finite numbers.",
            code="rows_invalid",
        ) from error


async def find(session: AsyncSession, tenant: str, name: str) -> EndpointRow:
    """Return the row. Raises NotFound."""
    row = await session.get(EndpointRow, (tenant, name))
    if row is None:
        raise NotFound(
            f"Team {tenant} has no endpoint {name}.", remedy="List the endpoints to see those that exist.", code="endpoint_unknown"
        )
    return row


async def done_before(session: AsyncSession, tenant: str, name: str, kind: str, key: str) -> bool:
    """Whether this key's action was done already. Raises Conflict for a key that did something else."""
    action = await session.get(DeploymentAction, key)
    if action is not None and (action.tenant, action.name, action.kind) != (tenant, name, kind):
        raise Conflict(f"The key {key!r} was used for another action.", remedy="Use a key once.", code="key_reused")
    return action is not None


async def record(session: AsyncSession, row: EndpointRow, kind: str, key: str) -> None:
    """Write down that an action was done, in the transaction that did it."""
    await session.flush()
    session.add(DeploymentAction(key=key, tenant=row.tenant, name=row.name, kind=kind, model_name=row.model_name, version=row.version))


def switch(row: EndpointRow, model_name: str, version: int, server: Server) -> None:
    """Make a healthy server the live one."""
    row.model_name, row.version = model_name, version
    row.job_id, row.port = server.job_id, server.port
    row.state, row.updated_at = EndpointState.LIVE, utcnow()


def switch_off(row: EndpointRow) -> None:
    """Retire an endpoint: it forgets what it served before."""
    row.state, row.previous, row.updated_at = EndpointState.RETIRED, [], utcnow()


def chats(row: EndpointRow) -> bool:
    """Whether an endpoint serves a language model: the id of its server's job tells it."""
    return row.job_id.startswith(f"{CHAT_PREFIX}-")


def rows_only(row: EndpointRow) -> EndpointRow:
    """Raise InvalidInput for an endpoint that chats; else return it."""
    if not chats(row):
        return row
    raise InvalidInput(
        f"Endpoint {row.name} serves the language model {row.model_name}, which takes no rows.",
        remedy="Ask it through the gateway: a backend of kind `deployment` names it.",
        code="endpoint_chats",
    )


def server_of(row: EndpointRow) -> Server:
    """Return the server that a row names."""
    return Server(job_id=row.job_id, port=row.port)


def lock_of(tenant: str, name: str) -> str:
    """Return the name of the lock that actions on one endpoint take."""
    return f"endpoint:{tenant}/{name}"


def first_job_id(prefix: str, tenant: str, name: str, key: str) -> str:
    """Return the id of the first server that an action starts: the same for the same key, so that a retry finds it."""
    return f"{prefix}-{name}-{hashlib.sha256(f'{tenant}/{name}/{key}'.encode()).hexdigest()[:16]}-0"

"""Endpoints on this machine: a row says what is live, a job serves it, and a switch is one transaction."""

import builtins
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import select

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.paas.deployments.models import ChatServer, Endpoint, EndpointState, Prediction, SmokeReport
from factory_infra.paas.deployments.providers.servers import Servers, ServiceJobs, address_of
from factory_infra.paas.deployments.rows import (
    chats,
    check_name,
    done_before,
    find,
    first_job_id,
    lock_of,
    record,
    rows_only,
    server_of,
    switch,
    switch_off,
)
from factory_infra.paas.deployments.serving import Keep, Server, Serving
from factory_infra.paas.deployments.standing import candidate_of, end_open, kept, refuse_open, woken
from factory_infra.paas.deployments.tables import EndpointRow
from factory_infra.paas.deployments.traffic import Traffic
from factory_infra.paas.registry.interface import Registry
from factory_infra.paas.registry.models import ModelVersion


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
        self.elsewhere: Callable[[str], Serving] = no_pool
        self.traffic = Traffic(database, self.serving, self._revive)

    async def close(self) -> None:
        """Give the connections back; servers go on serving."""
        await self.traffic.close()
        await self._servers.close()

    def serving(self, pool: str) -> Serving:
        """What runs servers in a pool; on this host where none is named. Raises NotFound, InvalidInput."""
        return self.elsewhere(pool) if pool else self._servers

    async def deploy(  # noqa: PLR0913 - where it runs is asked beside the seam's own five
        self, tenant: str, name: str, model_name: str, version: int, key: str, pool: str = ""
    ) -> Endpoint:
        """Put a version live; the old one answers until the new one is healthy, and is then drained and stopped.

        A live endpoint stays in its pool: another one raises Conflict `endpoint_elsewhere`. An open roll-out raises `rollout_open`.
        """
        check_name(name)
        async with self._database.transaction(lock=lock_of(tenant, name)) as session:
            if not await done_before(session, tenant, name, "deploy", key):
                await refuse_open(session, tenant, name)
                registered = await self.registered(tenant, model_name, version)
                row = await session.get(EndpointRow, (tenant, name))
                pool = pool_of(row, pool)
                server = await self.serving(pool).start(name, registered, self.first_job_id(registered, name, key, pool))
                if row is None:
                    row = EndpointRow(tenant=tenant, name=name, previous=[])
                    session.add(row)
                elif row.state == EndpointState.LIVE:
                    row.previous = [*row.previous, f"{row.model_name}@{row.version}"]
                row.pool = pool
                switch(row, model_name, version, server)
                await record(session, row, "deploy", key)
        return self._to_model(await self.tidy(tenant, name))

    async def registered(self, tenant: str, model_name: str, version: int) -> ModelVersion:
        """The version, if it may go live. Raises NotFound."""
        found = await self._registry.get(tenant, model_name, version)
        if found.archived:
            raise NotFound(f"Version {version} of {model_name} is archived.", remedy="Deploy another version.", code="model_archived")
        return found

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
                await end_open(session, tenant, name, "The endpoint was rolled back.")
                if row.state == EndpointState.LIVE and row.previous:
                    model_name, _, version = row.previous[-1].rpartition("@")
                    registered = await self._registry.get(tenant, model_name, int(version))
                    server = await self.serving(row.pool).start(name, registered, self.first_job_id(registered, name, key, row.pool))
                    row.previous = row.previous[:-1]
                    switch(row, model_name, int(version), server)
                else:
                    switch_off(row)
                await record(session, row, "rollback", key)
        endpoint = self._to_model(await self.tidy(tenant, name))
        return endpoint if endpoint.state is EndpointState.LIVE else None

    async def retire(self, tenant: str, name: str, key: str) -> None:
        """Stop serving under this name."""
        async with self._database.transaction(lock=lock_of(tenant, name)) as session:
            row = await find(session, tenant, name)
            if not await done_before(session, tenant, name, "retire", key):
                await end_open(session, tenant, name, "The endpoint was retired.")
                switch_off(row)
                await record(session, row, "retire", key)
        await self.tidy(tenant, name)

    async def predict(self, tenant: str, name: str, rows: builtins.list[builtins.list[float]]) -> Prediction:
        """Ask the live version; its server is started again if it is down."""
        return await self.traffic.predict(tenant, name, rows)

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
        async with self._database.transaction() as session:
            candidate = await candidate_of(session, row)
        if candidate is not None and candidate.job_id != silent:
            return self._chat_server(candidate, candidate.model_name, candidate.version)
        if row.job_id == silent:
            await self._revive(row)
            row = await self._live(tenant, name)
        return self._chat_server(server_of(row), row.model_name, row.version)

    def _chat_server(self, server: Server, model_name: str, version: int) -> ChatServer:
        return ChatServer(
            job_id=server.job_id,
            url=f"{address_of(server)}/v1",
            key=SecretStr(self._servers.token(server.job_id)),
            model_name=model_name,
            version=version,
        )

    async def _live(self, tenant: str, name: str) -> EndpointRow:
        async with self._database.transaction() as session:
            row = await find(session, tenant, name)
        if row.state != EndpointState.LIVE:
            raise NotFound(f"Endpoint {name} is retired.", remedy="Deploy a version to it.", code="endpoint_retired")
        return row

    async def _revive(self, seen: EndpointRow) -> None:
        """Start the server of a live endpoint again, unless another process did so since or it only was busy. It may be asleep."""
        async with self._database.transaction(lock=lock_of(seen.tenant, seen.name)) as session:
            row = await find(session, seen.tenant, seen.name)
            moved_on = row.state != EndpointState.LIVE or (row.job_id != seen.job_id and not row.asleep)
            serving = self.serving(row.pool)
            if not moved_on and (row.asleep or not await serving.answers(row.tenant, server_of(row))):
                others = await kept(session, row)
                await serving.stop_others(row.tenant, row.name, Keep(bases=others))
                registered = await self._registry.get(row.tenant, row.model_name, row.version)
                server = await serving.start(row.name, registered, row.job_id)
                row.job_id, row.port, row.asleep = server.job_id, server.port, False
                await woken(session, row)

    async def tidy(self, tenant: str, name: str) -> EndpointRow:
        """Stop every server that has no traffic any more; under the lock, so that one being started is left alone."""
        self.traffic.routes.forget(tenant, name)
        async with self._database.transaction(lock=lock_of(tenant, name)) as session:
            row = await find(session, tenant, name)
            live = row.state == EndpointState.LIVE
            keep = Keep(ids=frozenset({row.job_id} if live and not row.asleep else ()), bases=await kept(session, row))
            await self.serving(row.pool).stop_others(tenant, name, keep)
            return row

    def first_job_id(self, version: ModelVersion, name: str, key: str, pool: str) -> str:
        """The id of the first server that an action starts."""
        return first_job_id(self.serving(pool).prefix(version), version.tenant, name, key)

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


def pool_of(row: EndpointRow | None, wanted: str) -> str:
    """Where an endpoint's servers are to run. Raises Conflict for a live one that is elsewhere."""
    if row is None or row.state != EndpointState.LIVE:
        return wanted
    if wanted not in ("", row.pool):
        raise Conflict(
            f"Endpoint {row.name} is served in pool '{row.pool or 'local'}'.",
            remedy="Retire it first, or deploy under another name.",
            code="endpoint_elsewhere",
        )
    return row.pool


def no_pool(pool: str) -> Serving:
    """Where no other pools are known."""
    raise InvalidInput(f"Endpoints are not served in pool '{pool}' here.", remedy="Leave the pool out.", code="pool_serves_not")

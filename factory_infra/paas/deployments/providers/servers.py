"""The processes that serve endpoints on this machine: started as jobs, reached over the loopback interface with a token of their own."""

import asyncio
import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path
from typing import Protocol

import httpx

from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, NotFound, Unavailable
from factory_infra.iaas.jobs.interface import JobFiles, Jobs
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState
from factory_infra.iaas.jobs.programs import python_argv, python_environment
from factory_infra.paas.deployments.providers.kinds import ChatKind, Kind, Program, RowsKind
from factory_infra.paas.deployments.providers.wire import (
    ADDRESS_FILE,
    ORDER_FILE,
    TOKEN_FILE,
    Address,
    Answer,
    Complaint,
    Rows,
)
from factory_infra.paas.deployments.serving import Keep, Server
from factory_infra.paas.registry.interface import Registry
from factory_infra.paas.registry.models import ModelVersion

POLL_SECONDS = 0.05
ASK_SECONDS = 10.0
ASKS_MAX = 64
"""Open questions of one process: more wait in turn, for a client with hundreds of connections spends its time on looking through them."""
ATTEMPTS_MAX = 10_000


class ServiceJobs(Jobs, JobFiles, Protocol):
    """What is needed of whatever runs jobs."""


class Servers:
    """Starts, asks and stops servers. Stateless but for the folder of model files and the key that tokens are made from."""

    def __init__(self, registry: Registry, jobs: ServiceJobs, folder: Path) -> None:
        self.rows = RowsKind(registry, folder)
        self._chat = ChatKind(registry, folder)
        self._jobs = jobs
        self._folder = folder
        self._client = httpx.AsyncClient(timeout=ASK_SECONDS, trust_env=False)
        self._room = asyncio.Semaphore(ASKS_MAX)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def start(self, endpoint: str, version: ModelVersion, job_id: str) -> Server:
        """Start a server and wait until it has proved itself: by held-out rows, answered as training did, or by a word of a chat.

        Args:
            endpoint: the endpoint's name.
            version: what to serve.
            job_id: `BASE-NUMBER`; the number is raised past jobs of this base that have ended.

        Raises EffectFailed (endpoint_unhealthy): then nothing is left running.
        """
        kind = self.kind_of(version)
        program = await kind.program(version)
        job = await self._submit(endpoint, version, job_id, program)
        try:
            server = await self._healthy(version.tenant, job, program.healthy_seconds)
            refusal = await kind.refusal(version, lambda method, path, body: self._call(server, method, path, body))
            if refusal:
                raise unhealthy(job, refusal)
        except (LineshaftError, asyncio.CancelledError):
            await asyncio.shield(self._jobs.cancel(job.id, version.tenant))
            raise
        return server

    async def ask(self, tenant: str, server: Server, rows: list[list[float]]) -> Answer:
        """Ask a server. Raises InvalidInput for rows that do not fit, Unavailable when it does not answer."""
        async with self._room:
            response = await self._call(server, "POST", "/predict", Rows(rows=rows).model_dump_json())
        if response.status_code in {413, 422}:
            complaint = Complaint.model_validate_json(response.content)
            raise InvalidInput(complaint.reason, remedy="Send rows as the model was trained on.", code=complaint.code)
        if not response.is_success:
            raise Unavailable(f"The server of team {tenant}'s endpoint answered {response.status_code}.", code="endpoint_down")
        return Answer.model_validate_json(response.content)

    async def answers(self, tenant: str, server: Server) -> bool:
        """Whether the server is up: its job runs and its health route answers."""
        try:
            job = await self._jobs.get(server.job_id, tenant)
            return job.state is JobState.RUNNING and (await self._call(server, "GET", "/health")).is_success
        except (NotFound, Unavailable):
            return False

    async def stop_others(self, tenant: str, endpoint: str, keep: Keep) -> None:
        """End every server of an endpoint but some: those replaced, and those that a crash left behind."""
        for job in await self._jobs.list(tenant):
            over = job.state.final and job.state is not JobState.LOST
            if job.name == service_name(endpoint) and not keep.spares(job.id) and not over:
                await self._jobs.cancel(job.id, tenant)

    def prefix(self, version: ModelVersion) -> str:
        """How the ids of a version's servers begin."""
        return self.kind_of(version).prefix

    def kind_of(self, version: ModelVersion) -> Kind:
        """What kind of endpoint a version makes."""
        return self._chat if version.chats else self.rows

    async def _submit(self, endpoint: str, version: ModelVersion, job_id: str, program: Program) -> Job:
        base, _, first = job_id.rpartition("-")
        for number in range(int(first), int(first) + ATTEMPTS_MAX):
            candidate = f"{base}-{number}"
            try:
                job = await self._jobs.get(candidate, version.tenant)
            except NotFound:
                return await self._jobs.submit(self._spec(endpoint, version, candidate, program))
            if not job.state.final:
                return job
        raise EffectFailed(f"The server of endpoint {endpoint} ended too often.", remedy="Read its jobs' logs.", code="endpoint_unhealthy")

    def _spec(self, endpoint: str, version: ModelVersion, job_id: str, program: Program) -> JobSpec:
        return JobSpec(
            id=job_id,
            tenant=version.tenant,
            name=service_name(endpoint),
            argv=python_argv(program.module),
            environment=python_environment(),
            inputs={ORDER_FILE: program.order.model_dump_json(), TOKEN_FILE: self.token(job_id)},
            limits=program.limits,
            service=True,
        )

    async def _healthy(self, tenant: str, job: Job, seconds: float) -> Server:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = await self._jobs.get(job.id, tenant)
            if job.state.final:
                raise unhealthy(job, job.failure.reason if job.failure else "it ended at once")
            address = await self._jobs.result(job.id, tenant, ADDRESS_FILE)
            if address is not None:
                server = Server(job_id=job.id, port=Address.model_validate_json(address).port)
                if await self.answers(tenant, server):
                    return server
            await asyncio.sleep(POLL_SECONDS)
        raise unhealthy(job, f"it did not answer within {seconds:g} s")

    async def _call(self, server: Server, method: str, path: str, body: str | None = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token(server.job_id)}"}
        try:
            return await self._client.request(method, f"{address_of(server)}{path}", content=body, headers=headers)
        except httpx.TransportError as error:
            raise Unavailable("The endpoint's server does not answer.", remedy="Try again in a moment.", code="endpoint_down") from error

    def token(self, job_id: str) -> str:
        """The key that the server of a job answers to."""
        return token_of(self._folder, job_id)


def token_of(folder: Path, job_id: str) -> str:
    """The key that a server answers to, made from the installation's own in a folder."""
    return hmac.new(secret_key(folder), job_id.encode(), hashlib.sha256).hexdigest()


def address_of(server: Server) -> str:
    """Where a server listens."""
    return f"http://127.0.0.1:{server.port}"


def secret_key(folder: Path) -> bytes:
    """Return the key that servers' tokens are made from; the first process that needs it makes it."""
    file = folder / "token.key"
    if not file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder / f".token.key.{secrets.token_hex(8)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(secrets.token_bytes(32))
        try:
            # A link never replaces: of two processes that come here at once, one key stays.
            file.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_bytes()


def service_name(endpoint: str) -> str:
    """Return the job name by which an endpoint's servers are found again."""
    return f"endpoint {endpoint}"


def unhealthy(job: Job, why: str) -> EffectFailed:
    """Say that a server did not come up."""
    return EffectFailed(f"The server {job.id} is not healthy: {why}", remedy="Read its job's log.", code="endpoint_unhealthy")

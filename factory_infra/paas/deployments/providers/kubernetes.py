"""Endpoints' servers in a Kubernetes cluster, asked through the API server's proxy: nothing of the cluster is opened to the outside."""

import asyncio
import time

import httpx
from pydantic import ValidationError

from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, NotFound, TooLarge, Unavailable
from factory_infra.foundation.pools.kubernetes import Kubernetes, Read, refusal
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.kubernetes.names import job_name, namespace_of
from factory_infra.iaas.kubernetes.service import TenantNamespaces
from factory_infra.paas.deployments.providers.kinds import CHECK_ROWS, ROWS_PREFIX, RowsKind
from factory_infra.paas.deployments.providers.kubernetes_manifests import (
    ENDPOINT,
    KSERVE,
    SERVER_ID,
    Served,
    ServerManifests,
    endpoint_label,
    port_of,
)
from factory_infra.paas.deployments.providers.servers import token_of
from factory_infra.paas.deployments.providers.wire import TOKEN_HEADER, Answer, Complaint, Holdout, Rows
from factory_infra.paas.deployments.serving import Keep, Server
from factory_infra.paas.registry.interface import Registry
from factory_infra.paas.registry.models import ModelVersion
from factory_infra.settings import Settings

HEALTHY_SECONDS = 180.0
"""An image may have to be pulled."""
POLL_SECONDS = 0.25
ASK_SECONDS = 10.0
MODEL_BYTES_MAX = 16 * 1024 * 1024


class _Meta(Read):
    name: str
    uid: str = ""
    annotations: dict[str, str] = {}


class _Head(Read):
    metadata: _Meta


class Proxied(Kubernetes):
    """A cluster whose services are asked through its API server."""

    async def through(self, method: str, path: str, token: str, body: str | None = None) -> httpx.Response:
        """Send a request to a service. What the service says comes back; raises Unavailable where it does not answer."""
        # The API server keeps our own credentials to itself, so the server's go in a header of theirs.
        headers = await self._headers() | {TOKEN_HEADER: token, "Content-Type": "application/json"}
        try:
            answer = await self._connected().request(method, path, content=body, headers=headers, timeout=ASK_SECONDS)
        except httpx.HTTPError as error:
            raise Unavailable("The cluster does not answer.", remedy="Try again in a moment.", code="endpoint_down") from error
        if answer.status_code in {413, 422}:
            return answer
        if answer.is_error:
            problem = refusal(answer, self.pool.name)
            if isinstance(problem, NotFound | EffectFailed | Unavailable):
                raise Unavailable("The endpoint's server does not answer.", remedy="Try again in a moment.", code="endpoint_down")
            raise problem
        return answer


class KubernetesServing:
    """Servers as Deployments with a Service each, or as InferenceServices where KServe is installed. The cluster mends one that dies.

    Args:
        pool: the cluster.
        settings: of the installation.
        registry: knows the versions and their files.
    """

    def __init__(self, pool: KubernetesPool, settings: Settings, registry: Registry) -> None:
        self._pool = pool
        self._api = Proxied(pool)
        self._namespaces = TenantNamespaces(self._api, pool)
        self._folder = settings.home / "endpoints"
        self._rows = RowsKind(registry, self._folder)

    async def close(self) -> None:
        """Give connections back."""
        await self._api.aclose()

    def prefix(self, version: ModelVersion) -> str:
        """Rows only: a language model is served in a cluster by a blueprint."""
        if version.chats:
            raise InvalidInput(
                f"{version.model_name} is a language model, which is not deployed to a cluster this way.",
                remedy="Use the blueprint: 'lineshaft endpoints vllm'.",
                code="endpoint_chats",
            )
        return ROWS_PREFIX

    async def start(self, endpoint: str, version: ModelVersion, job_id: str) -> Server:
        """Make the server's objects unless they are there, and wait until it answers held-out rows as training did."""
        if not self._pool.image:
            raise InvalidInput(f"Pool '{self._pool.name}' names no image.", remedy="Add `image` to its entry.", code="image_unavailable")
        self.prefix(version)
        await self._namespaces.ensure_once(version.tenant)
        holdout = await self._rows.holdout(version)
        manifests = ServerManifests(self._pool, await self._served(endpoint, version, job_id), kserve=await self._kserve())
        server = Server(job_id=job_id, port=0)
        try:
            await self._make(manifests)
            await self._proved(version, server, holdout)
        except (LineshaftError, asyncio.CancelledError):
            await asyncio.shield(self._remove(version.tenant, job_id))
            raise
        return server

    async def ask(self, tenant: str, server: Server, rows: list[list[float]]) -> Answer:
        """Ask a server through the API server."""
        response = await self._through("POST", tenant, server, "predict", Rows(rows=rows).model_dump_json())
        try:
            if response.is_error:
                complaint = Complaint.model_validate_json(response.content)
                raise InvalidInput(complaint.reason, remedy="Send rows as the model was trained on.", code=complaint.code)
            return Answer.model_validate_json(response.content)
        except ValidationError as error:
            raise Unavailable("The endpoint's server answers something else.", code="endpoint_down") from error

    async def answers(self, tenant: str, server: Server) -> bool:
        """Whether its health route answers."""
        try:
            return (await self._through("GET", tenant, server, "health")).is_success
        except LineshaftError:
            return False

    async def stop_others(self, tenant: str, endpoint: str, keep: Keep) -> None:
        """Remove every server of an endpoint but some; each drains within its grace."""
        query = {"labelSelector": f"{ENDPOINT}={endpoint_label(endpoint)}"}
        try:
            heads = await self._api.items(await self._collection(tenant), _Head, query)
        except NotFound:
            return
        for each in heads:
            job_id = each.metadata.annotations.get(SERVER_ID, "")
            if not keep.spares(job_id):
                await self._remove(tenant, job_id)

    async def _served(self, endpoint: str, version: ModelVersion, job_id: str) -> Served:
        folder = self._folder / version.tenant / version.model_name / str(version.version)
        model = await asyncio.to_thread((folder / "model.onnx").read_bytes)
        if len(model) > MODEL_BYTES_MAX:
            raise TooLarge(
                f"{version.model_name} version {version.version} has {len(model)} bytes; a cluster takes {MODEL_BYTES_MAX} this way.",
                remedy="Serve it on this host.",
            )
        holdout = await asyncio.to_thread((folder / "holdout.json").read_bytes)
        return Served(endpoint, version, job_id, token_of(self._folder, job_id), model, holdout)

    async def _make(self, manifests: ServerManifests) -> None:
        """The head first: what belongs to it names it as its owner, so that nothing stays when it goes."""
        head, tenant_path = manifests.head(), f"/{manifests.name}"
        collection = await self._collection_in(manifests.namespace)
        await self._api.ensure(collection, head)
        uid = (await self._api.get(collection + tenant_path, _Head)).metadata.uid
        for place, part in manifests.parts(uid):
            await self._api.ensure(place, part)

    async def _proved(self, version: ModelVersion, server: Server, holdout: Holdout) -> None:
        deadline = time.monotonic() + HEALTHY_SECONDS
        while not await self.answers(version.tenant, server):
            if time.monotonic() > deadline:
                raise unhealthy(server, f"it did not answer within {HEALTHY_SECONDS:g} s")
            await asyncio.sleep(POLL_SECONDS)
        said = (await self.ask(version.tenant, server, holdout.rows[:CHECK_ROWS])).labels
        if said != holdout.predictions[:CHECK_ROWS]:
            raise unhealthy(server, "it answers held-out rows otherwise than training did")

    async def _through(self, method: str, tenant: str, server: Server, path: str, body: str | None = None) -> httpx.Response:
        name = job_name(server.job_id)
        service = f"{name}-predictor:80" if await self._kserve() else f"{name}:{port_of(name)}"
        where = f"/api/v1/namespaces/{namespace_of(self._pool, tenant)}/services/{service}/proxy/{path}"
        return await self._api.through(method, where, token_of(self._folder, server.job_id), body)

    async def _remove(self, tenant: str, job_id: str) -> None:
        await self._api.delete(f"{await self._collection(tenant)}/{job_name(job_id)}")

    async def _kserve(self) -> bool:
        return KSERVE in await self._api.groups()

    async def _collection(self, tenant: str) -> str:
        return await self._collection_in(namespace_of(self._pool, tenant))

    async def _collection_in(self, namespace: str) -> str:
        if await self._kserve():
            return f"/apis/{KSERVE}/v1beta1/namespaces/{namespace}/inferenceservices"
        return f"/apis/apps/v1/namespaces/{namespace}/deployments"


def unhealthy(server: Server, why: str) -> EffectFailed:
    """Say that a server did not come up."""
    return EffectFailed(f"The server {server.job_id} is not healthy: {why}", remedy="Read its pod's log.", code="endpoint_unhealthy")

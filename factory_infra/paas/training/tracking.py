"""The tracking server's REST interface, as far as it is used here: its own library takes seconds and hundreds of megabytes to load."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast
from urllib.parse import quote, urlparse

import httpx
from pydantic import BaseModel, JsonValue

from factory_infra.errors import EffectFailed, NotFound, Unavailable

Answer = dict[str, JsonValue]
API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
TIMEOUT_SECONDS = 30.0
BLOCK_BYTES = 1024 * 1024
RUN_KEY_TAG = "lineshaft.run_key"
METRICS_MAX = 1000
"""In one request."""


class Pair(BaseModel):
    """A parameter or a tag."""

    key: str
    value: str = ""


class Measure(BaseModel):
    """The newest value of a metric."""

    key: str
    value: float


class RunInfo(BaseModel):
    """What the server gave a run."""

    run_id: str
    experiment_id: str
    artifact_uri: str
    status: str
    start_time: int | None = None
    """Milliseconds since 1970."""


class RunData(BaseModel):
    """What was logged to a run."""

    metrics: list[Measure] = []
    params: list[Pair] = []
    tags: list[Pair] = []


class Run(BaseModel):
    """A run as the server shows it."""

    info: RunInfo
    data: RunData = RunData()

    @property
    def tags(self) -> dict[str, str]:
        """Its tags by key."""
        return {tag.key: tag.value for tag in self.data.tags}

    @property
    def metrics(self) -> dict[str, float]:
        """Its metrics by name."""
        return {metric.key: metric.value for metric in self.data.metrics}


class Tracking:
    """A client of one MLflow server, which must serve its artefacts itself (`--serve-artifacts`).

    Every method raises Unavailable when the server does not answer, NotFound for what it does not have, EffectFailed when it refuses.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        loopback = urlparse(self.base_url).hostname in LOOPBACK
        self._client = httpx.AsyncClient(base_url=self.base_url, timeout=TIMEOUT_SECONDS, trust_env=not loopback)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def get(self, path: str, parameters: Mapping[str, str | int]) -> Answer:
        """Ask one of the API's reading endpoints."""
        return cast("Answer", (await self._send(self._client.build_request("GET", API + path, params=dict(parameters)))).json())

    async def post(self, path: str, body: Mapping[str, object], method: str = "POST") -> Answer:
        """Call one of the API's writing or searching endpoints."""
        return cast("Answer", (await self._send(self._client.build_request(method, API + path, json=dict(body)))).json())

    async def experiment(self, name: str) -> str:
        """Return the id of an experiment, made where there is none."""
        try:
            answer = await self.get("/experiments/get-by-name", {"experiment_name": name})
            return str(cast("Answer", answer["experiment"])["experiment_id"])
        except NotFound:
            return str((await self.post("/experiments/create", {"name": name}))["experiment_id"])

    async def run(self, run_id: str) -> Run:
        """Return a run."""
        return Run.model_validate((await self.get("/runs/get", {"run_id": run_id}))["run"])

    async def run_of_key(self, experiment_id: str, key: str, started_at: float) -> Run:
        """Return the run that carries this key, made where there is none: a restarted job goes on with its own run."""
        wanted = f"tags.`{RUN_KEY_TAG}` = '{key}'"
        found = await self.post("/runs/search", {"experiment_ids": [experiment_id], "filter": wanted, "max_results": 1})
        if found.get("runs"):
            return Run.model_validate(cast("list[JsonValue]", found["runs"])[0])
        body = {"experiment_id": experiment_id, "start_time": int(started_at * 1000), "tags": [{"key": RUN_KEY_TAG, "value": key}]}
        return Run.model_validate((await self.post("/runs/create", body))["run"])

    async def log(self, run_id: str, metrics: Mapping[str, float], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Add metrics, parameters and tags to a run in one call."""
        now = int(time.time() * 1000)
        body = {
            "run_id": run_id,
            "metrics": [{"key": key, "value": value, "timestamp": now, "step": 0} for key, value in metrics.items()],
            "params": [{"key": key, "value": value} for key, value in params.items()],
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        await self.post("/runs/log-batch", body)

    async def log_dataset(self, run_id: str, dataset: Mapping[str, str]) -> None:
        """Say what data a run was trained on: name, digest, source_type, source, schema and profile."""
        tags = [{"key": "mlflow.data.context", "value": "training"}]
        await self.post("/runs/log-inputs", {"run_id": run_id, "datasets": [{"tags": tags, "dataset": dict(dataset)}]})

    async def log_series(self, run_id: str, points: Sequence[tuple[str, float, int]], at_ms: int) -> None:
        """Add points of metrics, each a name, a value and a step. The same again changes nothing."""
        for first in range(0, len(points), METRICS_MAX):
            part = points[first : first + METRICS_MAX]
            metrics = [{"key": key, "value": value, "timestamp": at_ms, "step": step} for key, value, step in part]
            await self.post("/runs/log-batch", {"run_id": run_id, "metrics": metrics})

    async def finish(self, run_id: str, status: str = "FINISHED") -> None:
        """Mark a run as ended: FINISHED, FAILED or KILLED."""
        await self.post("/runs/update", {"run_id": run_id, "status": status, "end_time": int(time.time() * 1000)})

    async def upload(self, run: Run, name: str, data: bytes) -> None:
        """Store an artefact of a run; the same name replaces."""
        await self._send(self._client.build_request("PUT", artifact_path(run, name), content=data))

    async def download_to(self, run: Run, name: str, path: Path) -> None:
        """Write an artefact of a run to a file, block by block: weights do not fit into memory twice."""
        response = await self._send(self._client.build_request("GET", artifact_path(run, name)), stream=True)
        try:
            with path.open("wb") as file:
                async for block in response.aiter_bytes(BLOCK_BYTES):
                    file.write(block)
        except httpx.TransportError as error:
            raise unanswered(error) from error
        finally:
            await response.aclose()

    def run_url(self, run: Run) -> str:
        """Return where a person sees the run."""
        return f"{self.base_url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"

    async def _send(self, request: httpx.Request, *, stream: bool = False) -> httpx.Response:
        try:
            response = await self._client.send(request, stream=stream)
            if response.is_success:
                return response
            await response.aread()
        except httpx.TransportError as error:
            raise unanswered(error) from error
        what = f"The tracking server refused {request.url.path} with {response.status_code}: {response.text[:300]}"
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(what, remedy="Check the name.", code="tracking_not_found")
        if response.is_server_error:
            raise Unavailable(what, remedy="Read the tracking server's log.", code="tracking_unavailable")
        raise EffectFailed(what, remedy="Read the tracking server's log.", code="tracking_refused")


def unanswered(error: httpx.TransportError) -> Unavailable:
    """Say that the server does not answer."""
    reason = f"The tracking server does not answer: {type(error).__name__}."
    return Unavailable(reason, remedy="Try again once it is up.", code="tracking_unavailable")


def artifact_path(run: Run, name: str) -> str:
    """Return where the server serves an artefact. Raises EffectFailed for a server that leaves artefacts to its clients."""
    root = urlparse(run.info.artifact_uri)
    if root.scheme != "mlflow-artifacts":
        raise EffectFailed(
            f"The tracking server keeps artefacts at {root.scheme or 'a path'}, which only its own machine reads.",
            remedy="Start it with --serve-artifacts.",
            code="artifacts_not_served",
        )
    return f"{ARTIFACTS}/{quote(root.path.strip('/'))}/{quote(name)}"

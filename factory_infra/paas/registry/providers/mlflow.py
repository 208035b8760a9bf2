"""The registry on an MLflow server, with our own table beside it so that reading needs no server."""

import builtins
import re
from pathlib import Path
from typing import cast

from pydantic import BaseModel, JsonValue
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, EffectFailed, InvalidInput, NotFound
from factory_infra.paas.registry.models import GGUF, LORA, ModelVersion
from factory_infra.paas.registry.providers.weights import HouseWeights
from factory_infra.paas.registry.tables import RegistryVersion
from factory_infra.paas.training.tracking import Pair, Run, Tracking
from factory_infra.records.happenings import Happening, happened, subject_of

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
RUN_ID = re.compile(r"[0-9a-f]{32}")
KEY_TAG = "lineshaft.key"
FILES = ("model.onnx", "holdout.json")
GGUF_FILES = ("model.gguf",)
LORA_FILES = ("adapter_model.safetensors", "adapter_config.json")


class ServerVersion(BaseModel):
    """A version as the server shows it."""

    version: int
    tags: list[Pair] = []


class MlflowRegistry:
    """Registers versions as `TENANT.MODEL_NAME` on an MLflow server.

    Args:
        base_url: the server's address, also where a person opens a run's page.
        database: holds the table `registry_versions`.
        weights_dir: where pulled weights lie; without it no team has them as a model.
    """

    def __init__(self, base_url: str, database: Database, weights_dir: Path | None = None) -> None:
        self._tracking = Tracking(base_url)
        self._database = database
        self._weights = HouseWeights(weights_dir)

    async def close(self) -> None:
        """Give the connections back."""
        await self._tracking.close()

    async def register(self, tenant: str, model_name: str, run_id: str, key: str) -> ModelVersion:
        """Register the run's model once for each key. Raises NotFound for a run that is absent or another tenant's."""
        registered_name(tenant, model_name)
        async with self._database.transaction(lock=f"registry:{tenant}/{model_name}") as session:
            row = await session.get(RegistryVersion, key)
            if row is None:
                row = await self._register(session, (tenant, model_name), run_id, key)
                session.add(row)
            elif (row.tenant, row.model_name, row.run_id) != (tenant, model_name, run_id):
                raise Conflict(f"The key {key!r} registered another model.", remedy="Use a key once.", code="key_reused")
            return to_model(row)

    async def get(self, tenant: str, model_name: str, version: int | None = None) -> ModelVersion:
        """Return a version, the newest that is not archived without a number."""
        try:
            async with self._database.transaction() as session:
                return to_model(await find(session, tenant, model_name, version))
        except NotFound:
            pulled = self._weights.version(tenant, model_name, version)
            if pulled is None:
                raise
            return pulled

    async def list(self, tenant: str | None = None) -> builtins.list[ModelVersion]:
        """Return all versions that are not archived, newest first."""
        query = select(RegistryVersion).where(~RegistryVersion.archived)
        if tenant is not None:
            query = query.where(RegistryVersion.tenant == tenant)
        async with self._database.transaction() as session:
            return [to_model(row) for row in await session.scalars(query.order_by(RegistryVersion.created_at.desc()))]

    async def archive(self, tenant: str, model_name: str, version: int) -> None:
        """Take a version out of use, here and on the server; both or, when the server does not answer, neither."""
        async with self._database.transaction(lock=f"registry:{tenant}/{model_name}") as session:
            row = await find(session, tenant, model_name, version)
            if row.archived:
                return
            row.archived = True
            tag = {"name": registered_name(tenant, model_name), "version": str(version), "key": "lineshaft.archived", "value": "true"}
            await self._tracking.post("/model-versions/set-tag", tag)

    async def download(self, version: ModelVersion, folder: Path) -> Path:
        """Fetch the version's files into the folder, each whole or absent; return the model's path."""
        if not version.run_id:
            return self._weights.path(version)
        run = await self._tracking.run(version.run_id)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = files_of(version.algorithm)
        for name in names:
            draft = folder / f".{name}.new"
            await self._tracking.download_to(run, name, draft)
            draft.replace(folder / name)
        return folder / names[0]

    async def _register(self, session: AsyncSession, model: tuple[str, str], run_id: str, key: str) -> RegistryVersion:
        tenant, model_name = model
        run = await self._run(tenant, run_id)
        name = registered_name(tenant, model_name)
        version = await self._version_of_key(name, key) or await self._create(name, run, key)
        lineage = {field: run.tags.get(f"lineshaft.{field}", "") for field in ("dataset", "dataset_digest", "algorithm")}
        told: dict[str, JsonValue] = {"model_name": model_name, "version": version, "run_id": run_id, "begun_ms": run.info.start_time}
        subject = subject_of("model", tenant, model_name, str(version))
        await happened(session, Happening(kind="model.registered", subject=subject, tenant=tenant, payload=told))
        return RegistryVersion(
            key=key,
            tenant=tenant,
            model_name=model_name,
            version=version,
            run_id=run_id,
            run_url=self._tracking.run_url(run),
            metrics=cast("dict[str, JsonValue]", run.metrics),
            archived=False,
            created_at=utcnow(),
            **lineage,
        )

    async def _run(self, tenant: str, run_id: str) -> Run:
        run = await self._tracking.run(run_id) if RUN_ID.fullmatch(run_id) else None
        if run is None or run.tags.get("lineshaft.tenant") != tenant:
            raise NotFound(
                f"Team {tenant} has no run {run_id[:64]!r}.", remedy="Take the run from a finished training.", code="run_unknown"
            )
        return run

    async def _version_of_key(self, name: str, key: str) -> int | None:
        """Find a version that was made for this key before a crash kept us from writing it down."""
        page = ""
        while True:
            answer = await self._tracking.get(
                "/model-versions/search", {"filter": f"name='{name}'", "max_results": 1000, "page_token": page}
            )
            for record in cast("builtins.list[JsonValue]", answer.get("model_versions", [])):
                found = ServerVersion.model_validate(record)
                if Pair(key=KEY_TAG, value=key) in found.tags:
                    return found.version
            page = str(answer.get("next_page_token") or "")
            if not page:
                return None

    async def _create(self, name: str, run: Run, key: str) -> int:
        try:
            await self._tracking.post("/registered-models/create", {"name": name})
        except EffectFailed as error:
            if "RESOURCE_ALREADY_EXISTS" not in error.reason:
                raise
        body = {
            "name": name,
            "source": f"{run.info.artifact_uri}/{files_of(run.tags.get('lineshaft.algorithm', ''))[0]}",
            "run_id": run.info.run_id,
            "tags": [{"key": KEY_TAG, "value": key}],
        }
        return ServerVersion.model_validate((await self._tracking.post("/model-versions/create", body))["model_version"]).version


def files_of(algorithm: str) -> tuple[str, ...]:
    """The files of a version, the model first."""
    return {GGUF: GGUF_FILES, LORA: LORA_FILES}.get(algorithm, FILES)


def registered_name(tenant: str, model_name: str) -> str:
    """Return the name on the server. Raises InvalidInput for names that it, or a filter, would misread."""
    for value in (tenant, model_name):
        if not NAME.fullmatch(value):
            raise InvalidInput(
                f"The name is not valid: {value[:80]!r}.",
                remedy="Use at most 63 small letters, digits, '.', '_' and '-'.",
                code="name_invalid",
            )
    return f"{tenant}.{model_name}"


async def find(session: AsyncSession, tenant: str, model_name: str, version: int | None) -> RegistryVersion:
    """Return a row, the newest that is not archived without a number. Raises NotFound."""
    query = select(RegistryVersion).where(RegistryVersion.tenant == tenant, RegistryVersion.model_name == model_name)
    query = query.where(~RegistryVersion.archived) if version is None else query.where(RegistryVersion.version == version)
    row = await session.scalar(query.order_by(RegistryVersion.version.desc()).limit(1))
    if row is None:
        what = f"version {version} of model" if version is not None else "model"
        raise NotFound(
            f"Team {tenant} has no {what} {model_name}.", remedy="List the models to see those that exist.", code="model_unknown"
        )
    return row


def to_model(row: RegistryVersion) -> ModelVersion:
    """Shape a row for callers."""
    return ModelVersion.model_validate(row, from_attributes=True)

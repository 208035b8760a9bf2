"""What differs between an endpoint that names the classes of rows and one that chats: its program, its limits, and how it proves itself."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
from pydantic import BaseModel

from factory_infra.iaas.jobs.models import JobLimits
from factory_infra.paas.deployments.providers.wire import Answer, ChatOrder, Holdout, Order, Rows
from factory_infra.paas.registry.interface import Registry
from factory_infra.paas.registry.models import ModelVersion
from factory_infra.paas.registry.providers.weights import verified

CHECK_ROWS = 5
GIB = 1024**3
CHAT_MEMORY_GIB = 2.5
CHAT_MEMORY_SHARE = 1.25
"""A model needs its file's size, something in proportion for its context, and the engine's own."""
CHAT_PREFIX = "chat"
ROWS_PREFIX = "serve"
"""How the ids of servers' jobs begin: an endpoint's row tells by its job what it speaks."""


@dataclass(frozen=True)
class Program:
    """What a server's job runs."""

    module: str
    order: BaseModel
    limits: JobLimits
    healthy_seconds: float
    """So long it may take until it answers."""


Call = Callable[[str, str, str], Awaitable[httpx.Response]]
"""Asks the server that is to be checked: method, path, body."""


class Kind(Protocol):
    """One kind of endpoint."""

    prefix: str

    async def program(self, version: ModelVersion) -> Program:
        """Bring the version's files here and say how they are served. Raises NotFound, Unavailable."""
        ...

    async def refusal(self, version: ModelVersion, call: Call) -> str:
        """Why a server that is up must not go live; empty when all is well."""
        ...


class RowsKind:
    """Models that name the class of each row, in ONNX with held-out rows beside them."""

    prefix = ROWS_PREFIX

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder

    async def program(self, version: ModelVersion) -> Program:
        """The files that came with the version."""
        await self.holdout(version)
        files = files_of(self._folder, version).absolute()
        order = Order(
            model_path=str(files / "model.onnx"),
            holdout_path=str(files / "holdout.json"),
            model_name=version.model_name,
            version=version.version,
        )
        limits = JobLimits(memory_gib=2.0, file_gib=0.1, seconds=None)
        return Program("factory_infra.paas.deployments.providers.serve", order, limits, healthy_seconds=30.0)

    async def refusal(self, version: ModelVersion, call: Call) -> str:
        """It must answer held-out rows as training did."""
        holdout = await self.holdout(version)
        response = await call("POST", "/predict", Rows(rows=holdout.rows[:CHECK_ROWS]).model_dump_json())
        said = Answer.model_validate_json(response.content).labels if response.is_success else None
        return "" if said == holdout.predictions[:CHECK_ROWS] else "it answers held-out rows otherwise than training did"

    async def holdout(self, version: ModelVersion) -> Holdout:
        """Return the held-out rows of a version, fetching its files where they are not here yet."""
        folder = files_of(self._folder, version)
        if not (folder / "holdout.json").exists() or not (folder / "model.onnx").exists():
            await self._registry.download(version, folder)
        return Holdout.model_validate_json(await asyncio.to_thread((folder / "holdout.json").read_bytes))


class ChatKind:
    """Language models in GGUF files, the team's own or the installation's pulled weights."""

    prefix = CHAT_PREFIX

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder

    async def program(self, version: ModelVersion) -> Program:
        """The file, with its digest where somebody verified one."""
        path = (files_of(self._folder, version) / "model.gguf").absolute()
        if not path.exists():
            path = (await self._registry.download(version, path.parent)).absolute()
        known = verified(path)
        order = ChatOrder(
            model_path=str(path),
            sha256=known.sha256 if known is not None else "",
            model_name=version.model_name,
            version=version.version,
        )
        memory = CHAT_MEMORY_GIB + CHAT_MEMORY_SHARE * path.stat().st_size / GIB
        limits = JobLimits(memory_gib=memory, file_gib=0.1, seconds=None)
        return Program("factory_infra.paas.deployments.providers.serve_chat", order, limits, healthy_seconds=180.0)

    async def refusal(self, version: ModelVersion, call: Call) -> str:
        """It must say something."""
        response = await call("POST", "/v1/chat/completions", Trial().model_dump_json())
        return "" if response.is_success else f"it answers a first question with HTTP {response.status_code}"


class Trial(BaseModel):
    """A first question, for one token."""

    messages: list[dict[str, str]] = [{"role": "user", "content": "Hello."}]
    max_tokens: int = 1


def files_of(folder: Path, version: ModelVersion) -> Path:
    """Where a version's files lie."""
    return folder / version.tenant / version.model_name / str(version.version)

"""What the doors share: the models behind them, the keys, the limits, and who asks."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from api.gateway.auth import Keys, caller_of, named
from api.gateway.errors import Shape
from api.gateway.exchange import Exchange
from api.gateway.headers import limit_headers
from factory_infra.paas.tenants.keyring import Caller
from factory_infra.paas.tenants.models import PLATFORM
from factory_infra.saas.metering.models import Limit, Standing
from factory_infra.saas.models.requests import ChatRequest, EmbeddingsRequest, SpeechRequest, TranscriptionRequest
from factory_infra.saas.models.routing.answers import Answered, Asker, ModelCard, Spoken, Streamed

UNCACHED = re.compile(r"no-(?:store|cache)", re.IGNORECASE)


LIMITS_SECONDS_MAX = 5.0


class Models(Protocol):
    """The face of the routing that the doors need. Every call is metered inside; when it is cancelled or closed it settles."""

    async def complete(self, asker: Asker, request: ChatRequest) -> Answered:
        """Answer a chat as a whole."""
        ...

    def stream(self, asker: Asker, request: ChatRequest) -> AsyncGenerator[Streamed, None]:
        """Answer a chat piece by piece; the first item comes once the answer has begun."""
        ...

    async def embed(self, asker: Asker, request: EmbeddingsRequest) -> Answered:
        """Embed texts."""
        ...

    async def transcribe(self, asker: Asker, request: TranscriptionRequest) -> Answered:
        """Write speech down."""
        ...

    async def speak(self, asker: Asker, request: SpeechRequest) -> Spoken:
        """Say a text."""
        ...

    def cards(self, caller: Caller) -> list[ModelCard]:
        """The models that a caller may use."""
        ...


class Limits(Protocol):
    """Where the limits of a call are found."""

    async def limits_of(self, tenant: str, project: str = "", key_id: str = "") -> tuple[Limit, ...]:
        """Every limit that binds a call."""
        ...


class Standings(Protocol):
    """What this process knows of how much is left."""

    @property
    def ailment(self) -> str:
        """Why nothing can be metered here; empty while all is well."""
        ...

    def standing(self, limits: tuple[Limit, ...]) -> list[Standing]:
        """How much of each limit is left."""
        ...


@dataclass(frozen=True)
class Service:
    """What one process holds for all requests."""

    models: Models
    keys: Keys
    limits: Limits
    meter: Standings
    metrics: Callable[[], bytes]
    """Everything for Prometheus."""
    body_bytes_max: int


async def asker_of(exchange: Exchange, service: Service, shape: Shape) -> Asker:
    """Tell who asks, for what, and within which limits. Raises Unauthenticated, Forbidden, InvalidInput, NotFound."""
    caller = await caller_of(exchange, service.keys)
    names = named(exchange, caller)
    if names.tenant != (caller.principal.tenant or ""):
        caller = replace(caller, principal=caller.principal.model_copy(update={"tenant": names.tenant}))
    async with asyncio.timeout(LIMITS_SECONDS_MAX):
        limits = await service.limits.limits_of(names.tenant or PLATFORM, names.project, caller.principal.key_id)
    exchange.on_refusal = lambda: limit_headers(service.meter.standing(limits), shape)
    return Asker(
        caller=replace(caller, project=names.project),
        limits=limits,
        call_id=exchange.id,
        run_id=names.run,
        thread_id=names.thread,
        agent=names.agent,
        step=names.step,
        cacheable=not UNCACHED.search(exchange.header(b"cache-control")),
    )

"""What the gateway is asked with, and what it gives back."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from factory_infra.paas.tenants.keyring import Caller
from factory_infra.paas.tenants.models import PLATFORM
from factory_infra.saas.metering.models import Attribution, Limit, Standing, Usage
from factory_infra.saas.models.calls import Ability, Audio, JsonObject

CacheState = Literal["hit", "miss", "off"]
AGAIN = frozenset({"money", "tokens", "parallel"})
AGAIN_BESIDE = frozenset({"money", "tokens"})
"""What a later attempt of a call takes: its request is counted already, and beside an open attempt it is no further parallel call."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, for what, and what binds the call."""

    caller: Caller
    limits: tuple[Limit, ...]
    call_id: str
    """Ours, unique: reservations are named by it."""
    run_id: str = ""
    thread_id: str = ""
    agent: str = ""
    step: str = ""
    cacheable: bool = True
    """False where the request says `cache-control: no-store` or `no-cache`: neither served from the cache nor kept."""

    @property
    def tenant(self) -> str:
        """The team that is charged; an administrator's calls are the platform's."""
        return self.caller.principal.tenant or PLATFORM

    @property
    def whose(self) -> Attribution:
        """To whom and to what the call is charged."""
        return Attribution(
            tenant=self.tenant,
            project=self.caller.project,
            key_id=self.caller.principal.key_id,
            plan_id=self.run_id,
            thread_id=self.thread_id,
            agent=self.agent,
            step=self.step,
        )

    def limits_of(self, attempt: int, *, beside: bool) -> tuple[Limit, ...]:
        """The limits that bind an attempt, counted from 1. `beside`: another one of the same call is open."""
        if attempt == 1:
            return self.limits
        resources = AGAIN_BESIDE if beside else AGAIN
        return tuple(limit for limit in self.limits if limit.resource in resources)


@dataclass(frozen=True, slots=True)
class Head:
    """What the headers of an answer tell."""

    call_id: str
    model: str
    """The virtual model."""
    backend: str
    upstream_model: str
    cache: CacheState
    attempts: int
    standings: tuple[Standing, ...] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """A whole answer. `usage` is what was used, or what a hit of the cache saved; `amount` is what is charged."""

    body: JsonObject
    usage: Usage
    amount: Decimal
    head: Head

    @property
    def model(self) -> str:
        """The virtual model."""
        return self.head.model

    @property
    def backend(self) -> str:
        """Who answered."""
        return self.head.backend

    @property
    def cache(self) -> CacheState:
        """Whether the answer came from the cache."""
        return self.head.cache

    @property
    def standings(self) -> tuple[Standing, ...]:
        """What is left of the limits."""
        return self.head.standings


@dataclass(frozen=True, slots=True)
class Streamed:
    """One step of a streamed answer: chunks in OpenAI's shape, in order.

    The first item has the `head`; the last has `usage` and `amount`, and its chunks are the usage's where the client asked for it.
    """

    chunks: list[JsonObject]
    head: Head | None = None
    usage: Usage | None = None
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Spoken:
    """Speech that was made."""

    audio: Audio
    amount: Decimal
    head: Head


@dataclass(frozen=True, slots=True)
class CardPrice:
    """What a million tokens, a minute of sound and a million characters cost at one of a model's targets."""

    subject: str
    currency: str
    version: str
    million_in: Decimal
    million_out: Decimal
    million_cached: Decimal
    minute: Decimal
    million_characters: Decimal


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a key may use: what any of the model's targets can do, the longest context, and what each target costs."""

    id: str
    abilities: tuple[Ability, ...]
    context_tokens: int
    tokens_out_max: int
    prices: tuple[CardPrice, ...] = ()
    fields: tuple[str, ...] = field(default=())
    """Optional request fields that any of the targets honours."""
    created_at: int = 0
    """When the file that names it was last changed, in seconds since 1970."""

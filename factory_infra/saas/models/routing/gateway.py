"""The gateway: finds what a name leads to, asks, falls back, keeps, and sees that every attempt is metered exactly once."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

import orjson

from factory_infra.errors import InvalidInput, NotFound, QuotaExceeded
from factory_infra.paas.tenants.keyring import Caller
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.calls import Answer, JsonObject
from factory_infra.saas.models.requests import ChatRequest, EmbeddingsRequest, SpeechRequest, TranscriptionRequest
from factory_infra.saas.models.routing import playing, preparing, upstreams
from factory_infra.saas.models.routing.answers import Answered, Asker, CacheState, Head, ModelCard, Spoken, Streamed
from factory_infra.saas.models.routing.attempts import Attempt, Kit, Meters
from factory_infra.saas.models.routing.background import Background
from factory_infra.saas.models.routing.cache import Cache, Kept, key_of
from factory_infra.saas.models.routing.choice import Wish, ordered, sticky_key
from factory_infra.saas.models.routing.config import Target
from factory_infra.saas.models.routing.journey import Asked, Journey, Work
from factory_infra.saas.models.routing.metrics import Metrics
from factory_infra.saas.models.routing.preparing import Prepared
from factory_infra.saas.models.routing.retrying import RetryBudget, Trip
from factory_infra.saas.models.routing.targets import Targets, Virtual
from factory_infra.saas.models.routing.upstreams import Ask, Opened, Whole

T = TypeVar("T")
CLOSE_SECONDS = 30.0


@dataclass(slots=True)
class Wiring:
    """What a gateway is built of besides its targets and its meter."""

    metrics: Metrics = field(default_factory=Metrics)
    clock: Callable[[], float] = time.monotonic
    """Seconds that never go back; the same that the targets were built with."""
    chance: random.Random = field(default_factory=random.Random)


@dataclass(slots=True)
class _Noted:
    """What is found out about a call while it goes."""

    cache: CacheState = "off"


class Gateway:
    """Answers calls of virtual models. One a process; it keeps nothing that another process would need.

    Whatever way a call goes, each of its attempts is reserved before it and settled after it: when its client goes, when it is cancelled,
    when the upstream fails. Raises NotFound `model_not_found`, InvalidInput, the meter's refusals, and what the last target raised.
    """

    def __init__(self, targets: Targets, meter: Meters, wiring: Wiring | None = None) -> None:
        wiring = wiring or Wiring()
        self.metrics = wiring.metrics
        self._targets = targets
        self._meter = meter
        self._clock = wiring.clock
        self._chance = wiring.chance
        self._background = Background()
        self._kit = Kit(meter, self._background, wiring.metrics, wiring.clock)
        self._cache = Cache(targets.setup.cache, wiring.clock)
        self._budgets = {name: RetryBudget(virtual.model.retries.budget_ratio) for name, virtual in targets.models.items()}

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Wait for answers that are read to their end without their clients, cut off and settle the rest, close the backends.

        The meter is closed after this.
        """
        await self._background.close(seconds)
        await self._targets.close()

    def cards(self, caller: Caller) -> list[ModelCard]:
        """What a key may use, by name."""
        return [playing.card_of(virtual) for _, virtual in sorted(self._targets.models.items()) if visible(virtual, caller)]

    async def complete(self, asker: Asker, request: ChatRequest) -> Answered:
        """Answer a chat as a whole."""
        with self._counted(request.model) as noted:
            virtual = self._virtual(asker.caller, request.model)
            asked = self._asked(asker, virtual, preparing.chat(virtual, request), request.sent)
            kept = self._found(asked)
            if kept is not None:
                noted.cache = "hit"
                return self._hit(asked, kept)
            attempt, answer = await self._journey(asked, self._whole(upstreams.completing), request).run()
            body = playing.shown(answer.body, virtual.name, answer.usage)
            noted.cache = self._keep(asked, attempt, answer.usage, map(orjson.dumps, (body,)))
            return self._answered(asked, attempt, answer)

    async def stream(self, asker: Asker, request: ChatRequest) -> AsyncGenerator[Streamed, None]:
        """Answer a chat piece by piece. Errors before the first item are as of `complete`; after it nothing is tried elsewhere.

        Closing it is how the client's leaving is told: the upstream is cut off, or read to its end, as its backend's spec says.
        """
        with self._counted(request.model) as noted:
            virtual = self._virtual(asker.caller, request.model)
            asked = self._asked(asker, virtual, preparing.chat(virtual, request), request.sent)
            kept = self._found(asked)
            if kept is not None:
                noted.cache = "hit"
                for item in playing.played_again(kept, self._hit_head(asked, kept)):
                    yield item
                return
            opened = await self._journey(asked, self._opening(), request).run()
            player = playing.Player(virtual.name, include_usage=request.include_usage, keep=asked.cache_key is not None)
            try:
                yield Streamed(player.play(opened.first), self._head(asked, opened.attempt))
                async for piece in opened.pieces:
                    chunks = player.play([piece])
                    if chunks:
                        yield Streamed(chunks)
            finally:
                await opened.pieces.aclose()
            usage = opened.attempt.so_far
            last = player.end(usage)
            noted.cache = self._keep(asked, opened.attempt, usage, player.played)
            yield Streamed(last, None, usage, opened.attempt.amount)

    async def embed(self, asker: Asker, request: EmbeddingsRequest) -> Answered:
        """Embed texts."""
        with self._counted(request.model) as noted:
            virtual = self._virtual(asker.caller, request.model)
            asked = self._asked(asker, virtual, preparing.embeddings(virtual, request), request.sent)
            kept = self._found(asked)
            if kept is not None:
                noted.cache = "hit"
                return self._hit(asked, kept)
            attempt, answer = await self._journey(asked, self._whole(upstreams.embedding)).run()
            body = playing.vectors(playing.shown(answer.body, virtual.name, answer.usage), as_base64=request.base64)
            noted.cache = self._keep(asked, attempt, answer.usage, map(orjson.dumps, (body,)))
            return self._answered(asked, attempt, answer)

    async def transcribe(self, asker: Asker, request: TranscriptionRequest) -> Answered:
        """Write down a sound. Never cached."""
        with self._counted(request.model):
            virtual = self._virtual(asker.caller, request.model)
            asked = self._asked(asker, virtual, preparing.transcription(virtual, request))
            attempt, answer = await self._journey(asked, self._whole(upstreams.transcribing)).run()
            return self._answered(asked, attempt, answer)

    async def speak(self, asker: Asker, request: SpeechRequest) -> Spoken:
        """Say a text. Never cached."""
        with self._counted(request.model):
            virtual = self._virtual(asker.caller, request.model)
            asked = self._asked(asker, virtual, preparing.speech(virtual, request))
            attempt, audio = await self._journey(asked, self._whole(upstreams.speaking)).run()
            return Spoken(audio, attempt.amount, self._head(asked, attempt))

    def _virtual(self, caller: Caller, name: str) -> Virtual:
        """What a name leads to. One that this key may not use is answered like one that does not exist."""
        virtual = self._targets.models.get(name)
        if virtual is None or not visible(virtual, caller):
            raise NotFound(
                f"The model '{name}' does not exist, or this key may not use it.",
                remedy="List them with /v1/models.",
                code="model_not_found",
            )
        return virtual

    def _asked(self, asker: Asker, virtual: Virtual, prepared: Prepared, sent: JsonObject | None = None) -> Asked:
        key = None
        if sent is not None and asker.cacheable and virtual.model.cache_seconds > 0:
            key = key_of(asker.tenant, virtual.name, f"{virtual.version}/{prepared.kind}", sent)
        return Asked(asker, virtual, prepared, self._clock() + virtual.model.deadline_seconds, key)

    def _journey(self, asked: Asked, work: Work[T], request: ChatRequest | None = None) -> Journey[T]:
        model, fits = asked.virtual.model, asked.prepared.fits
        sticky = model.sticky and len(fits) > 1 and request is not None
        wish = Wish(
            choose=model.choose,
            stream=request is not None and request.stream,
            tokens_in=asked.prepared.counted.estimated,
            tokens_out_max=max(fit.tokens_out_max for fit in fits),
            sticky_key=sticky_key(asked.asker.caller.principal.key_id, request.sent) if sticky and request is not None else None,
        )
        order = ordered([fit.live for fit in fits], wish, self._chance)
        trip = Trip(order, model.retries, model.attempts_max, self._budgets[asked.virtual.name])
        return Journey(self._kit, asked, trip, self._chance, work)

    def _whole(self, ask: Callable[[Attempt], Ask[Whole]]) -> Work[tuple[Attempt, Whole]]:
        async def do(attempt: Attempt) -> tuple[Attempt, Whole]:
            return await upstreams.whole(attempt, ask(attempt), self._background, self._clock)

        async def discard(_: tuple[Attempt, Whole]) -> None:
            """A whole answer is settled already."""

        return Work(do, discard)

    def _opening(self) -> Work[Opened]:
        async def do(attempt: Attempt) -> Opened:
            return await upstreams.opened(attempt, self._background, self._clock)

        async def discard(opened: Opened) -> None:
            await opened.pieces.aclose()

        return Work(do, discard)

    def _found(self, asked: Asked) -> Kept | None:
        return None if asked.cache_key is None else self._cache.get(asked.cache_key)

    def _hit(self, asked: Asked, kept: Kept) -> Answered:
        return Answered(orjson.loads(kept.pieces[0]), kept.usage, Decimal(0), self._hit_head(asked, kept))

    def _hit_head(self, asked: Asked, kept: Kept) -> Head:
        """Note the hit in the ledger: one row without an amount."""
        self._meter.hit(asked.asker.whose, kept.target.subject, kept.target.backend, kept.usage)
        return self._headed(asked, kept.target, "hit", 0)

    def _keep(self, asked: Asked, attempt: Attempt, usage: Usage, pieces: Iterable[bytes]) -> CacheState:
        if asked.cache_key is None:
            return "off"
        kept = Kept(tuple(pieces), usage, attempt.live.target)
        self._cache.put(asked.cache_key, asked.asker.tenant, kept, asked.virtual.model.cache_seconds)
        return "miss"

    def _answered(self, asked: Asked, attempt: Attempt, answer: Answer) -> Answered:
        return Answered(answer.body, answer.usage, attempt.amount, self._head(asked, attempt))

    def _head(self, asked: Asked, attempt: Attempt) -> Head:
        return self._headed(asked, attempt.live.target, "off" if asked.cache_key is None else "miss", attempt.number)

    def _headed(self, asked: Asked, target: Target, cache: CacheState, attempts: int) -> Head:
        standings = tuple(self._meter.standing(asked.asker.limits))
        return Head(asked.asker.call_id, asked.virtual.name, target.backend, target.model, cache, attempts, standings)

    @contextmanager
    def _counted(self, name: str) -> Iterator[_Noted]:
        """Count how a call ended. A name that is not in the file is counted under none, so that strangers cannot make labels."""
        noted, outcome = _Noted(), "failed"
        try:
            yield noted
            outcome = "done"
        except (InvalidInput, NotFound, QuotaExceeded):
            outcome = "refused"
            raise
        except (GeneratorExit, asyncio.CancelledError):
            outcome = "disconnected"
            raise
        finally:
            self.metrics.call(name if name in self._targets.models else "", outcome, noted.cache)


def visible(virtual: Virtual, caller: Caller) -> bool:
    """Whether a key may use a model: by the key's own list, and by the model's list of teams, which does not bind administrators."""
    tenants, tenant = virtual.model.tenants, caller.principal.tenant
    return (caller.models is None or virtual.name in caller.models) and (tenants is None or tenant is None or tenant in tenants)

"""What stands behind the names of the gateway's file: built backends, and what is known of each target at this moment."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from factory_infra.errors import InvalidInput, LineshaftError
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.metering.prices import PriceBook, Rate
from factory_infra.saas.models.backend import (
    Backend,
    ChatBackend,
    EmbeddingsBackend,
    SpeechBackend,
    TranscriptionBackend,
    UsageRecall,
)
from factory_infra.saas.models.backends.registry import build, secret_of
from factory_infra.saas.models.backends.spec import BackendSpec, OpenAISpec
from factory_infra.saas.models.calls import Abilities, Ability
from factory_infra.saas.models.routing.breaker import Breaker
from factory_infra.saas.models.routing.config import Setup, Target, VirtualModel, path_of, written_at
from factory_infra.saas.models.routing.pulse import Pulse
from factory_infra.saas.models.routing.telling import Teller
from factory_infra.settings import Settings

Clock = Callable[[], float]
RATE_SECONDS = 1.0
"""A new version of the price book holds after at most this."""
FACES: dict[Ability, type] = {
    "chat": ChatBackend,
    "embeddings": EmbeddingsBackend,
    "transcription": TranscriptionBackend,
    "speech": SpeechBackend,
}
"""What a backend's class must be for what the file says that its models can do."""
RECALL_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""An upstream that was just cut off may take a moment to count."""


class Rates:
    """The prices of now, looked up once a second and not at each call."""

    def __init__(self, book: PriceBook, clock: Clock) -> None:
        self._book = book
        self._clock = clock
        self._until = 0.0
        self._rates: dict[str, Rate] = {}
        self.currency = book.currency
        """Of all prices."""

    def of(self, subject: str) -> Rate:
        """What a model costs now."""
        if self._clock() >= self._until:
            self._rates, self._until = {}, self._clock() + RATE_SECONDS
        rate = self._rates.get(subject)
        if rate is None:
            rate = self._rates[subject] = self._book.rate(subject)
        return rate


@dataclass(eq=False, slots=True)
class Live:
    """One target of one virtual model, with its breaker and readings."""

    target: Target
    spec: BackendSpec
    backend: Backend
    abilities: Abilities
    breaker: Breaker
    pulse: Pulse
    rates: Rates
    teller: Teller

    @property
    def id(self) -> str:
        """Backend and model."""
        return f"{self.target.backend}/{self.target.model}"

    @property
    def drains(self) -> bool:
        """Whether an answer is read to its end when the client is gone."""
        return self.spec.on_disconnect == "drain"

    def rate(self) -> Rate:
        """What it costs now."""
        return self.rates.of(self.target.subject)

    def recalls(self) -> UsageRecall | None:
        """The backend, where it can tell afterwards what a call used."""
        return recalling(self.backend, self.spec)


@dataclass(eq=False, slots=True)
class Virtual:
    """One virtual model with its targets."""

    name: str
    model: VirtualModel
    lives: tuple[Live, ...]
    version: str
    """Of its targets; answers of another version are never served from the cache."""
    created_at: int = 0
    """When the file that names it was last changed, in seconds since 1970."""


class Targets:
    """All that the file names. Nothing connects before the first call."""

    def __init__(self, setup: Setup, backends: dict[str, Backend], book: PriceBook, clock: Clock, *, created_at: int = 0) -> None:
        self.setup = setup
        self._created_at = created_at
        self.rates = Rates(book, clock)
        self._backends = backends
        self._clock = clock
        self.models = {name: self._virtual(name, model) for name, model in setup.models.items()}

    @classmethod
    def build(cls, setup: Setup, settings: Settings, book: PriceBook, clock: Clock) -> "Targets":
        """Build every backend of the file. Raises InvalidInput where a key cannot be read."""
        own_key = settings.model_key if path_of(settings) is None else None
        backends = {
            name: build(spec, settings, secret_of(spec, settings) or (own_key if isinstance(spec, OpenAISpec) else None))
            for name, spec in setup.backends.items()
        }
        return cls(setup, backends, book, clock, created_at=int(written_at(settings)))

    def _virtual(self, name: str, model: VirtualModel) -> Virtual:
        lives = tuple(self._live(name, model, target) for target in model.route)
        return Virtual(name, model, lives, self.setup.version_of(name), self._created_at)

    def _live(self, name: str, model: VirtualModel, target: Target) -> Live:
        backend = self._backends[target.backend]
        abilities = backend.abilities(target.model)
        for ability, face in FACES.items():
            if ability in abilities.can and not isinstance(backend, face):
                raise InvalidInput(
                    f"The backend '{target.backend}' cannot do {ability}.", remedy="Correct its abilities.", code="gateway_invalid"
                )
        teller = Teller(name, target.backend, self._clock)
        return Live(
            target=target,
            spec=self.setup.backends[target.backend],
            backend=backend,
            abilities=abilities,
            breaker=Breaker(model.breaker, self._clock, teller.turned),
            pulse=Pulse(self._clock),
            rates=self.rates,
            teller=teller,
        )

    async def recall(self, backend: str, call_id: str) -> Usage | None:
        """What a call used, by the id that it was sent with, for calls that a crash cut off; None where nobody can tell, or not yet.

        Raises what the backend raises: the meter asks again.
        """
        found = self._backends.get(backend)
        recalls = None if found is None else recalling(found, self.setup.backends[backend])
        return None if recalls is None else await recalls.usage_of(call_id)

    async def close(self) -> None:
        """Give every backend's connections back."""
        await asyncio.gather(*(backend.close() for backend in self._backends.values()))


def recalling(backend: Backend, spec: BackendSpec) -> UsageRecall | None:
    """The backend as one that tells usage afterwards, where it is one and the file does not say that its server cannot."""
    if isinstance(spec, OpenAISpec) and not spec.usage_recall:
        return None
    return backend if isinstance(backend, UsageRecall) else None


async def asked(recalls: UsageRecall, call_id: str) -> Usage | None:
    """Ask a few times what a call used; None where the upstream does not say it within some seconds."""
    for pause in RECALL_PAUSES:
        await asyncio.sleep(pause)
        try:
            usage = await recalls.usage_of(call_id)
        except LineshaftError:
            usage = None
        if usage is not None:
            return usage
    return None

"""What operators see of the gateway. Labels are names of the gateway's file, so their number is bounded by it."""

from functools import lru_cache
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from factory_infra.saas.metering.models import Outcome, Usage
from factory_infra.saas.models.routing.answers import CacheState
from factory_infra.saas.models.routing.breaker import State

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
STATES: tuple[State, ...] = get_args(State)


class Metrics:
    """The gateway's counters, in a registry that the caller chooses: one gateway to a registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        names = ("model", "backend")
        self._calls = Counter(
            "lineshaft_gateway_calls", "Calls of a virtual model, by how they ended.", ("model", "outcome", "cache"), registry=self.registry
        )
        self._attempts = Counter(
            "lineshaft_gateway_attempts", "Attempts at a backend, by how they were settled.", (*names, "outcome"), registry=self.registry
        )
        self._tokens = Counter("lineshaft_gateway_tokens", "Tokens that were charged.", (*names, "direction"), registry=self.registry)
        self._first = Histogram(
            "lineshaft_gateway_first_piece_seconds",
            "From the call of a backend to the first piece of its stream.",
            names,
            buckets=SECONDS,
            registry=self.registry,
        )
        self._breaker = Gauge(
            "lineshaft_gateway_breaker_state", "0 closed, 1 open, 2 half open, at its last change.", names, registry=self.registry
        )

        # Finding a counter by its labels costs more than counting.
        self._call = lru_cache(maxsize=None)(self._calls.labels)
        self._attempt = lru_cache(maxsize=None)(self._attempts.labels)
        self._token = lru_cache(maxsize=None)(self._tokens.labels)
        self._waited = lru_cache(maxsize=None)(self._first.labels)
        self._state = lru_cache(maxsize=None)(self._breaker.labels)

    def call(self, model: str, outcome: str, cache: CacheState) -> None:
        """A call ended: `done`, `refused`, `failed` or `disconnected`."""
        self._call(model, outcome, cache).inc()

    def attempt(self, model: str, backend: str, outcome: Outcome, usage: Usage) -> None:
        """An attempt was settled."""
        self._attempt(model, backend, outcome).inc()
        if usage.tokens_in:
            self._token(model, backend, "in").inc(usage.tokens_in)
        if usage.tokens_out:
            self._token(model, backend, "out").inc(usage.tokens_out)

    def first_piece(self, model: str, backend: str, seconds: float) -> None:
        """A stream began."""
        self._waited(model, backend).observe(seconds)

    def breaker(self, model: str, backend: str, state: State) -> None:
        """A breaker's state, after a call went through it."""
        self._state(model, backend).set(STATES.index(state))

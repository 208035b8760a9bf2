"""What operators see of the gateway, of all its processes. Labels are names of the gateway's file, so their number is bounded by it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args

from factory_infra.saas.metering.models import Outcome, Usage
from factory_infra.saas.models.routing.answers import CacheState
from factory_infra.saas.models.routing.board import Board
from factory_infra.saas.models.routing.breaker import State

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
BOUNDS = (*(str(bound) for bound in SECONDS), "+Inf")
STATES: tuple[State, ...] = get_args(State)
PREFIX = "lineshaft_gateway_"
BREAKER = "breaker_state"
FIRST = "first_piece_seconds"


@dataclass(frozen=True)
class Family:
    """Series of one kind."""

    kind: str
    words: str
    samples: tuple[str, ...] = ("",)


FAMILIES = {
    "calls_total": Family("counter", "Calls of a virtual model, by how they ended."),
    "attempts_total": Family("counter", "Attempts at a backend, by how they were settled."),
    "tokens_total": Family("counter", "Tokens that were charged."),
    FIRST: Family("histogram", "From the call of a backend to the first piece of its stream.", ("_bucket", "_sum", "_count")),
    BREAKER: Family("gauge", "0 closed, 1 open, 2 half open, at its last change; the highest of all processes."),
}


def series(name: str, **labels: str) -> str:
    """The name of a series as Prometheus writes it."""
    told = ",".join(f'{label}="{escaped(value)}"' for label, value in labels.items())
    return f"{PREFIX}{name}{{{told}}}"


def escaped(value: str) -> str:
    """A label's value as it stands between quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Metrics:
    """The gateway's counters, on a board that its processes share."""

    def __init__(self, board: Board | None = None) -> None:
        self._board = Board() if board is None else board
        # Making a series' name costs more than counting.
        self._call = lru_cache(maxsize=None)(self._call_place)
        self._attempt = lru_cache(maxsize=None)(self._attempt_place)
        self._token = lru_cache(maxsize=None)(self._token_place)
        self._waited = lru_cache(maxsize=None)(self._waited_places)
        self._state = lru_cache(maxsize=None)(self._state_place)

    def call(self, model: str, outcome: str, cache: CacheState) -> None:
        """A call ended: `done`, `refused`, `failed` or `disconnected`."""
        self._board.add(self._call(model, outcome, cache))

    def attempt(self, model: str, backend: str, outcome: Outcome, usage: Usage) -> None:
        """An attempt was settled."""
        self._board.add(self._attempt(model, backend, outcome))
        if usage.tokens_in:
            self._board.add(self._token(model, backend, "in"), usage.tokens_in)
        if usage.tokens_out:
            self._board.add(self._token(model, backend, "out"), usage.tokens_out)

    def first_piece(self, model: str, backend: str, seconds: float) -> None:
        """A stream began."""
        buckets, total, count = self._waited(model, backend)
        for bound, place in zip((*SECONDS, float("inf")), buckets, strict=True):
            if seconds <= bound:
                self._board.add(place)
        self._board.add(total, seconds)
        self._board.add(count)

    def breaker(self, model: str, backend: str, state: State) -> None:
        """A breaker's state, after a call went through it."""
        self._board.put(self._state(model, backend), STATES.index(state))

    def text(self) -> str:
        """Everything in Prometheus' text format, of all processes together."""
        return "\n".join([*self._lines(), ""])

    def value(self, name: str, **labels: str) -> float | None:
        """One number of all processes together; None for a series that nobody has counted."""
        return self._totals().get(series(name, **labels))

    def _totals(self) -> dict[str, float]:
        return self._board.totals(lambda name, one, other: max(one, other) if name.startswith(PREFIX + BREAKER) else one + other)

    def _lines(self) -> Iterator[str]:
        totals = self._totals()
        for name, family in FAMILIES.items():
            yield f"# HELP {PREFIX}{name} {family.words}"
            yield f"# TYPE {PREFIX}{name} {family.kind}"
            heads = tuple(f"{PREFIX}{name}{sample}{{" for sample in family.samples)
            yield from (f"{told} {value:.17g}" for told, value in totals.items() if told.startswith(heads))

    def _call_place(self, model: str, outcome: str, cache: CacheState) -> int:
        return self._board.place(series("calls_total", model=model, outcome=outcome, cache=cache))

    def _attempt_place(self, model: str, backend: str, outcome: Outcome) -> int:
        return self._board.place(series("attempts_total", model=model, backend=backend, outcome=outcome))

    def _token_place(self, model: str, backend: str, direction: str) -> int:
        return self._board.place(series("tokens_total", model=model, backend=backend, direction=direction))

    def _waited_places(self, model: str, backend: str) -> tuple[tuple[int, ...], int, int]:
        named = {"model": model, "backend": backend}
        buckets = tuple(self._board.place(series(f"{FIRST}_bucket", **named, le=bound)) for bound in BOUNDS)
        return buckets, self._board.place(series(f"{FIRST}_sum", **named)), self._board.place(series(f"{FIRST}_count", **named))

    def _state_place(self, model: str, backend: str) -> int:
        return self._board.place(series(BREAKER, model=model, backend=backend))

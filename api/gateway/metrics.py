"""What the doors count, for Prometheus: one row of numbers a worker, in memory that all workers share."""

import mmap
from collections.abc import Iterator

from factory_infra.saas.models.routing.board import Board

DOORS = ("chat", "responses", "embeddings", "transcriptions", "speech", "messages", "count_tokens", "models", "other")
OUTCOMES = ("2xx", "4xx", "429", "5xx", "gone")
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_WIDTH = len(OUTCOMES) + len(BOUNDS) + 3
"""Of a door: the outcomes, the buckets with the last of them unbounded, the sum of seconds, and what is open now."""
_ROW = len(DOORS) * _WIDTH
_OPEN = _WIDTH - 1


def outcome_of(status: int) -> str:
    """Under which outcome a status counts; 0 is a client that left before there was one."""
    if status in {0, 429}:
        return "gone" if status == 0 else "429"
    return "2xx" if status < 400 else "4xx" if status < 500 else "5xx"


class Metrics:
    """The numbers of all workers. Each worker writes only its own row, so no lock is needed; whoever is asked adds the rows up.

    It is made before the workers are forked: an anonymous map is shared with children, and a worker that takes a dead one's place
    goes on with its row.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._numbers = memoryview(mmap.mmap(-1, workers * _ROW * 8)).cast("d")
        self._start = 0
        self.board = Board(workers)
        """Where the routing counts."""

    def own(self, worker: int) -> None:
        """Write to a worker's row from now on; what a dead worker left open is over."""
        self._start = worker * _ROW
        self.board.own(worker)
        for place in range(self._start + _OPEN, self._start + _ROW, _WIDTH):
            self._numbers[place] = 0

    def begin(self, door: int) -> None:
        """A request came."""
        self._numbers[self._start + door * _WIDTH + _OPEN] += 1

    def end(self, door: int, outcome: str, seconds: float) -> None:
        """It is over."""
        place = self._start + door * _WIDTH
        self._numbers[place + _OPEN] -= 1
        self._numbers[place + OUTCOMES.index(outcome)] += 1
        bucket = next((index for index, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        self._numbers[place + len(OUTCOMES) + bucket] += 1
        self._numbers[place + _OPEN - 1] += seconds

    def text(self) -> str:
        """Everything in Prometheus' text format."""
        return "\n".join([*self._counts(), *self._seconds(), *self._open(), ""])

    def _sum(self, door: int, column: int) -> float:
        return sum(self._numbers[worker * _ROW + door * _WIDTH + column] for worker in range(self._workers))

    def _counts(self) -> Iterator[str]:
        yield from _head("lineshaft_gateway_requests_total", "counter", "Requests that are over.")
        for door, name in enumerate(DOORS):
            for column, outcome in enumerate(OUTCOMES):
                yield f'lineshaft_gateway_requests_total{{door="{name}",outcome="{outcome}"}} {self._sum(door, column):.0f}'

    def _seconds(self) -> Iterator[str]:
        yield from _head("lineshaft_gateway_request_seconds", "histogram", "Seconds from a request to the end of its answer.")
        for door, name in enumerate(DOORS):
            count = 0.0
            for index, bound in enumerate((*BOUNDS, "+Inf")):
                count += self._sum(door, len(OUTCOMES) + index)
                yield f'lineshaft_gateway_request_seconds_bucket{{door="{name}",le="{bound}"}} {count:.0f}'
            yield f'lineshaft_gateway_request_seconds_sum{{door="{name}"}} {self._sum(door, _OPEN - 1):.6f}'
            yield f'lineshaft_gateway_request_seconds_count{{door="{name}"}} {count:.0f}'

    def _open(self) -> Iterator[str]:
        yield from _head("lineshaft_gateway_requests_open", "gauge", "Requests that are being answered.")
        for door, name in enumerate(DOORS):
            yield f'lineshaft_gateway_requests_open{{door="{name}"}} {self._sum(door, _OPEN):.0f}'


def _head(name: str, kind: str, words: str) -> Iterator[str]:
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} {kind}"

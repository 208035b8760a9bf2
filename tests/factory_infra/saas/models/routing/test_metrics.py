"""Numbers of several processes: added up, kept when one dies, and readable by Prometheus."""

import os

from prometheus_client.parser import text_string_to_metric_families

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.routing.board import REST, Board
from factory_infra.saas.models.routing.metrics import Metrics

CALLS = {"model": "fast", "outcome": "done", "cache": "off"}


def as_child(board: Board, row: int, calls: int, *, opened: bool = False) -> None:
    """Count in a process of its own, which then ends without a word."""
    pid = os.fork()
    if not pid:
        board.own(row)
        metrics = Metrics(board)
        for _ in range(calls):
            metrics.call("fast", "done", "off")
            metrics.attempt("fast", "a", "done", Usage(tokens_in=3, tokens_out=2))
            metrics.first_piece("fast", "a", 0.03)
        metrics.breaker("fast", "a", "open" if opened else "closed")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_rows_add_up_and_outlive_their_processes() -> None:
    board = Board(rows=3)
    metrics = Metrics(board)
    metrics.call("fast", "done", "off")
    as_child(board, 1, 4, opened=True)
    as_child(board, 2, 5)
    assert metrics.value("calls_total", **CALLS) == 10
    # Another takes the dead one's place and goes on where it stopped.
    as_child(board, 1, 2, opened=True)
    assert metrics.value("calls_total", **CALLS) == 12
    assert metrics.value("tokens_total", model="fast", backend="a", direction="in") == 33
    assert metrics.value("breaker_state", model="fast", backend="a") == 1


def test_prometheus_reads_it() -> None:
    board = Board(rows=2)
    as_child(board, 1, 2)
    metrics = Metrics(board)
    metrics.first_piece("fast", "a", 100.0)
    metrics.call('odd "name"\n', "done", "off")
    read = {family.name: family for family in text_string_to_metric_families(metrics.text())}
    assert {name: family.type for name, family in read.items()} == {
        "lineshaft_gateway_calls": "counter",
        "lineshaft_gateway_attempts": "counter",
        "lineshaft_gateway_tokens": "counter",
        "lineshaft_gateway_first_piece_seconds": "histogram",
        "lineshaft_gateway_breaker_state": "gauge",
    }
    samples = {
        (each.name.rpartition("seconds_")[2], each.labels.get("le")): each.value
        for each in read["lineshaft_gateway_first_piece_seconds"].samples
    }
    assert samples["bucket", "0.025"] == 0 and samples["bucket", "0.05"] == 2 and samples["bucket", "+Inf"] == 3
    assert samples["count", None] == 3 and round(samples["sum", None], 2) == 100.06
    assert {each.labels["model"] for each in read["lineshaft_gateway_calls"].samples} == {"fast", 'odd "name"\n'}


def test_more_series_than_there_is_room_for_are_counted_together() -> None:
    board = Board(series_max=4)
    for number in range(6):
        board.add(board.place(f"series {number}"))
    assert board.totals() == {"series 0": 1, "series 1": 1, "series 2": 1, REST: 3}

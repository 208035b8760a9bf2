"""Runs the retrieval suite on servers of its own, and shows what it found."""

import asyncio
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from evals.retrieval.labelled import queries
from evals.retrieval.parts import installation
from evals.retrieval.suite import NDCG_MIN, RECALL_MIN, SUITE, Report, measure, prepare
from factory_infra.factory import Factory

__all__ = ["SUITE", "measured", "print_report", "queries"]


def measured() -> Report:
    """Start PostgreSQL, Chroma and the model server, list the labelled entries, ask every query every way."""
    with tempfile.TemporaryDirectory(prefix="lineshaft-retrieval-") as home, installation(Path(home)) as factory:
        return asyncio.run(played(factory))


async def played(factory: Factory) -> Report:
    """On servers that are up."""
    await prepare(factory)
    found = await measure(factory)
    await factory.close()
    return found


def print_report(console: Console, report: Report) -> None:
    """A row for each way and half, then what was missed on the half to tune on."""
    table = Table("way", "half", "queries", "recall@5", "nDCG@10", "reciprocal rank")
    for each in report.figures:
        figures = (f"{value:.3f}" for value in (each.recall_at_5, each.ndcg_at_10, each.reciprocal_rank))
        table.add_row(each.way, each.half, str(each.queries), *figures)
    console.print(table)
    for words in report.of("search", "dev").misses:
        console.print(f"missed: {words}", markup=False)
    goal = f"goal on the held-out half: recall@5 >= {RECALL_MIN:g}, nDCG@10 >= {NDCG_MIN:g}, above exact comparison, no foreign entry"
    console.print(f"{goal}: {'held' if report.held else 'MISSED'}; {report.entries} entries, {report.seconds:.0f} s")

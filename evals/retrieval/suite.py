"""Measures the catalog's search on the labelled set, against words alone, meaning alone and exact comparison as baselines."""

import re
import time
from collections.abc import Awaitable, Callable, Sequence

from pydantic import BaseModel, Field

from evals.retrieval.labelled import STRANGER, TEAM, Half, Query, entries, queries
from evals.retrieval.scores import ndcg, recall, reciprocal_rank
from factory_infra.factory import Factory
from factory_infra.paas.catalog.models import CatalogEntry, Viewer

SUITE = "retrieval"
DEPTH = 10
RECALL_MIN, NDCG_MIN = 0.80, 0.75
"""What the search must reach on the half that nothing was tuned on."""
PATIENCE_SECONDS = 60.0
"""How good it is, not how quick, is asked here."""
Ranking = Callable[[str], Awaitable[Sequence[str]]]


class Figures(BaseModel):
    """How one way of searching does on one half."""

    way: str
    half: Half
    queries: int
    recall_at_5: float
    ndcg_at_10: float
    reciprocal_rank: float
    misses: list[str] = Field(default=[], description="Queries of the half to tune on with no answer among the first five.")


class Report(BaseModel):
    """All figures, and whether the goals were reached without another team's entry in any answer."""

    figures: list[Figures]
    entries: int
    foreign: int = Field(description="Entries of another team in any answer: there must be none.")
    seconds: float

    @property
    def held(self) -> bool:
        """Whether the search reaches its goals on the held-out half and beats exact comparison there."""
        fused, exact = (self.of(way, "heldout") for way in ("search", "exact"))
        reached = fused.recall_at_5 >= RECALL_MIN and fused.ndcg_at_10 >= NDCG_MIN
        return reached and fused.ndcg_at_10 > exact.ndcg_at_10 and self.foreign == 0

    def of(self, way: str, half: Half) -> Figures:
        """The figures of one way on one half."""
        return next(each for each in self.figures if (each.way, each.half) == (way, half))


async def prepare(factory: Factory) -> None:
    """List the labelled entries, and each once more for another team, which must never be found."""
    for entry in entries():
        await factory.catalog.put(entry)
        theirs = entry.model_copy(update={"id": entry.id.replace(f"/{TEAM}/", f"/{STRANGER}/", 1), "tenant": STRANGER})
        await factory.catalog.put(theirs)
    await factory.catalog_index.sync()
    factory.catalog_index.seconds_max = PATIENCE_SECONDS
    await factory.catalog_index.remember([query.words for query in queries()])


def ways(factory: Factory) -> dict[str, Ranking]:
    """The product's search, its halves alone, and exact comparison."""
    viewer, index = Viewer.of(TEAM), factory.catalog_index

    async def search(words: str) -> list[str]:
        return [entry.id for entry in await index.search(viewer, words, limit=DEPTH)]

    async def by_words(words: str) -> list[str]:
        return [hit.id for hit in await factory.catalog.match(viewer, words, limit=DEPTH)]

    async def by_meaning(words: str) -> list[str]:
        return await index.meant(viewer, words, DEPTH)

    async def exact(words: str) -> list[str]:
        return exactly(words, entries())

    return {"search": search, "words": by_words, "meaning": by_meaning, "exact": exact}


def exactly(words: str, among: Sequence[CatalogEntry]) -> list[str]:
    """The baseline: those that hold most of the query's words as they stand, name before description."""
    asked = set(re.findall(r"\w+", words.lower()))

    def held(text: str) -> int:
        return len(asked & set(re.findall(r"[^\W_]+", text.lower())))

    ranked = sorted(among, key=lambda entry: (-held(entry.name), -held(f"{entry.description} {' '.join(entry.tags)}"), entry.id))
    return [entry.id for entry in ranked if held(f"{entry.name} {entry.description} {' '.join(entry.tags)}")][:DEPTH]


async def measure(factory: Factory) -> Report:
    """Ask every query every way."""
    began, figures, foreign = time.monotonic(), list[Figures](), 0
    for way, ranking in ways(factory).items():
        for half in ("dev", "heldout"):
            some = [query for query in queries() if query.half == half]
            found = [await ranking(query.words) for query in some]
            foreign += sum(f"/{TEAM}/" not in name for names in found for name in names)
            figures.append(figures_of(way, "heldout" if half == "heldout" else "dev", some, found))
    return Report(figures=figures, entries=len(entries()), foreign=foreign, seconds=time.monotonic() - began)


def figures_of(way: str, half: Half, asked: Sequence[Query], found: Sequence[Sequence[str]]) -> Figures:
    """The means over one half."""
    pairs = list(zip(asked, found, strict=True))
    recalls = [recall(names, query.grades) for query, names in pairs]
    misses = [query.words for (query, _), value in zip(pairs, recalls, strict=True) if not value] if half == "dev" else []
    return Figures(
        way=way,
        half=half,
        queries=len(asked),
        recall_at_5=sum(recalls) / len(asked),
        ndcg_at_10=sum(ndcg(names, query.grades) for query, names in pairs) / len(asked),
        reciprocal_rank=sum(reciprocal_rank(names, query.grades) for query, names in pairs) / len(asked),
        misses=misses,
    )

"""The labelled set of retrieval: entries of a catalog, queries, and which entries answer each, how well."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Literal, cast

from pydantic import BaseModel

from factory_infra.paas.catalog.models import CatalogEntry, Kind

FOLDER = Path(__file__).parent
TEAM, STRANGER = "retrieval", "elsewhere"
Half = Literal["dev", "heldout"]


class Query(BaseModel):
    """What somebody asks, and what answers it: grade 3 is what was meant, 2 helps, 1 is near."""

    words: str
    grades: dict[str, int]

    @property
    def half(self) -> Half:
        """Which half it belongs to, by a digest of its words: nobody chose it."""
        return "heldout" if hashlib.sha256(self.words.encode()).digest()[0] % 2 else "dev"


@cache
def entries() -> tuple[CatalogEntry, ...]:
    """All entries, as of one team."""
    lines = (FOLDER / "entries.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(entry_of(*line.split("\t")) for line in lines)


def entry_of(kind: str, name: str, tags: str, description: str) -> CatalogEntry:
    """One line as an entry."""
    kept = [tag.strip() for tag in tags.split(",")]
    return CatalogEntry(id=f"{kind}/{TEAM}/{name}", kind=cast(Kind, kind), tenant=TEAM, name=name, description=description, tags=kept)


@cache
def queries() -> tuple[Query, ...]:
    """All queries."""
    found = []
    for line in (FOLDER / "queries.tsv").read_text(encoding="utf-8").splitlines():
        words, _, labels = line.partition("\t")
        grades = {}
        for label in labels.split():
            name, _, grade = label.rpartition(":")
            kind, _, rest = name.partition("/")
            grades[f"{kind}/{TEAM}/{rest}"] = int(grade)
        found.append(Query(words=words, grades=grades))
    return tuple(found)

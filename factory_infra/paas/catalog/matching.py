"""Compares the words of a query with those of entries: rare words lead, common ones only order what they found."""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Float,
    Integer,
    Select,
    String,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    select,
    text,
    union,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from factory_infra.database import Database
from factory_infra.paas.catalog.models import SHARED, Filters, LexicalHit, Viewer
from factory_infra.paas.catalog.tables import CatalogRow
from factory_infra.paas.catalog.visibility import granted_among, seen
from factory_infra.paas.catalog.words import Stems, name_keys, quoted, said, wanted_labels

CANDIDATES_MAX = 2_000
"""So many entries are compared in full."""
LED_MAX = 4_000
"""Words that together are in more entries than this do not lead, unless there are no rarer ones."""
ENOUGH = 20
EXACT_MAX = 50
STATISTICS_SECONDS = 60.0
WEIGHTS: ColumnElement[list[float]] = literal_column("'{0.2, 0.4, 0.7, 1.0}'::real[]")
"""Of words in the rest, the description, the tags, the name."""
_STATISTICS = text(
    "SELECT CAST(CAST(most_common_elems AS text) AS text[]), most_common_elem_freqs, "
    "(SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = to_regclass('catalog_entries')) "
    "FROM pg_stats WHERE schemaname = current_schema() AND tablename = 'catalog_entries' AND attname = 'words'"
)


class Frequencies:
    """How common words are, as PostgreSQL's own statistics say: of rare ones they say nothing."""

    def __init__(self) -> None:
        self._shares: Mapping[str, float] = {}
        self.entries = 0.0
        self._until = 0.0

    async def refresh(self, connection: AsyncConnection) -> None:
        """Read the statistics anew now and then."""
        if time.monotonic() < self._until:
            return
        self._until = time.monotonic() + STATISTICS_SECONDS
        row = (await connection.execute(_STATISTICS)).first()
        if row is not None and row[0] is not None:
            self._shares, self.entries = dict(zip(row[0], row[1], strict=False)), float(row[2])

    def of(self, lexeme: str) -> float:
        """In how many entries it is, about; 0 where that is not known."""
        return self._shares.get(lexeme, 0.0) * self.entries

    def share(self, lexemes: Sequence[str]) -> float:
        """Which share of all entries has the rarest of them, at most; 0 where that is not known."""
        return min((self._shares.get(lexeme, 0.0) for lexeme in lexemes), default=0.0)

    def leading(self, lexemes: Sequence[str]) -> list[str]:
        """Those that find candidates: the rarest ones, at least one."""
        chosen: list[str] = []
        total = 0.0
        for lexeme in sorted(lexemes, key=self.of):
            total += self.of(lexeme)
            if chosen and total > LED_MAX:
                break
            chosen.append(lexeme)
        return chosen


class Asked(NamedTuple):
    """One question: for whom, under which conditions, which words, which of them lead, what may be a whole name, how many."""

    viewer: Viewer
    filters: Filters
    lexemes: Sequence[str]
    leading: Sequence[str]
    keys: Sequence[str]
    limit: int


class Shape(NamedTuple):
    """What two questions have in common that are one statement."""

    lexemes: int
    leading: bool
    whole: bool
    filtered: bool


class Matching:
    """Finds entries by their words. The candidates are bounded by the code over all rows, and are ids only."""

    def __init__(self, database: Database, stems: Stems) -> None:
        self._database = database
        self._stems = stems
        self._frequencies = Frequencies()

    def share(self, filters: Filters) -> float:
        """Which share of all entries fits exact conditions, about and at most; 0 where that is not known."""
        return self._frequencies.share(wanted_labels(filters))

    async def hits(self, viewer: Viewer, query: str, filters: Filters, limit: int) -> list[LexicalHit]:
        """Return the best, first those whose whole name is in the query."""
        words = said(query)
        if not words:
            return []
        if self._stems.missing(words):
            async with self._database.transaction(whole=True) as session:
                await self._stems.learn(session, words)
        lexemes = list(dict.fromkeys(filter(None, (self._stems.of(word) for word in words))))
        keys = name_keys(query) or [""]
        async with self._database.reading(whole=True) as connection:
            await self._frequencies.refresh(connection)
            leading = self._frequencies.leading(lexemes)
            asked = Asked(viewer, filters, lexemes, leading, keys, limit)
            found = await self._found(connection, asked)
            if len(found) < min(ENOUGH, limit) and len(leading) < len(lexemes):
                found = await self._found(connection, asked._replace(leading=lexemes))
        return found

    async def _found(self, connection: AsyncConnection, asked: Asked) -> list[LexicalHit]:
        known = [self._frequencies.of(lexeme) for lexeme in asked.lexemes]
        values = {**parameters(asked), "entries": self._frequencies.entries}
        values |= {f"known{at}": value for at, value in enumerate(known)}
        shape = Shape(len(asked.lexemes), bool(asked.leading), asked.viewer.teams is None, asked.filters.anything)
        rows = await connection.execute(ranked(shape), values)
        return [LexicalHit(id=row.id, score=row.score or 0.0, exact=row.exact > 0) for row in rows]


def parameters(asked: Asked) -> dict[str, object]:
    """What a statement is asked with."""
    teams = list(asked.viewer.teams or ())
    scope = any_of([*(f"=t/{team}" for team in (*teams, SHARED)), "=s/shared", "=s/organisation"])
    leading = any_of(asked.leading)
    words = {f"word{at}": quoted(lexeme) for at, lexeme in enumerate(asked.lexemes)}
    return {
        **words,
        "leading": leading,
        "scoped": f"({scope}) & ({leading})",
        "conditions": all_of(wanted_labels(asked.filters)),
        "keys": list(asked.keys),
        "teams": teams,
        "actor": asked.viewer.actor,
        "most": asked.limit,
    }


@lru_cache(maxsize=256)
def ranked(shape: Shape) -> Select[tuple[str, int, float]]:
    """Candidates by how rare the words are that they share with the query, and where they stand in them.

    Made once for each shape: to build it takes longer than to run it.
    """
    rows = select(union(*(arm.subquery().select() for arm in arms(shape))).cte("candidates")).cte("found")
    columns = rows.c
    counts = [func.count().filter(columns[f"rank{at}"] > 0).label(f"count{at}") for at in range(shape.lexemes)]
    totals = select(func.greatest(func.count(), parameter("entries", Float())).label("entries"), *counts).select_from(rows).cte("totals")
    score: ColumnElement[float] = literal(0.0)
    for at in range(shape.lexemes):
        held = func.coalesce(func.nullif(parameter(f"known{at}", Float()), 0.0), totals.c[f"count{at}"])
        score = score + columns[f"rank{at}"] * func.ln(1 + (totals.c.entries + 1) / (held + 0.5))
    scored = (score / (1 + 0.15 * func.ln(1 + columns.length / 20.0))).label("score")
    order = (columns.exact.desc(), scored.desc(), columns.id)
    found = select(columns.id, columns.exact, scored).select_from(rows).join(totals, literal(True))
    return found.order_by(*order).limit(parameter("most", Integer()))


def arms(shape: Shape) -> list[Select[tuple[object, ...]]]:
    """Entries whose name is in the query; those that hold a leading word and that these teams may see at all; those that they were granted.

    They are statements of their own: of conditions joined by OR, PostgreSQL would use no index.
    """
    teams: BindParameter[Sequence[str]] = bindparam("teams", expanding=True)
    named = CatalogRow.name_key.in_(bindparam("keys", expanding=True))
    exact = case((named, func.length(CatalogRow.name_key)), else_=0).label("exact")
    ranks = [func.ts_rank(WEIGHTS, CatalogRow.words, query(f"word{at}")).label(f"rank{at}") for at in range(shape.lexemes)]
    base = select(CatalogRow.id, exact, func.length(CatalogRow.words).label("length"), *ranks)
    base = base.where(CatalogRow.removed_at.is_(None) if shape.whole else seen(teams, parameter("actor", String())))
    if shape.filtered:
        base = base.where(matches(query("conditions")))
    found = [base.where(named, CatalogRow.name_key != "").limit(EXACT_MAX)]
    if shape.leading and shape.whole:
        found.append(base.where(matches(query("leading"))).limit(CANDIDATES_MAX))
    elif shape.leading:
        found.append(base.where(matches(query("scoped"))).limit(CANDIDATES_MAX))
        found.append(base.where(CatalogRow.id.in_(granted_among(teams)), matches(query("leading"))).limit(CANDIDATES_MAX))
    return found


T = TypeVar("T")


def parameter(name: str, kind: TypeEngine[T]) -> BindParameter[T]:
    """A value that is given when the statement is asked."""
    return bindparam(name, type_=kind)


def query(name: str) -> ColumnElement[str]:
    """A parameter as a query of words: PostgreSQL reads it as it stands, and parses and stems nothing."""
    return parameter(name, String()).cast(TSQUERY)


def matches(asked: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether an entry's words hold a query."""
    return CatalogRow.words.op("@@", is_comparison=True)(asked)


def holds(asked: str) -> ColumnElement[bool]:
    """Whether an entry's words hold a query of quoted lexemes."""
    return matches(literal(asked).cast(TSQUERY))


def any_of(lexemes: Sequence[str]) -> str:
    """One of them."""
    return " | ".join(quoted(lexeme) for lexeme in lexemes)


def all_of(lexemes: Sequence[str]) -> str:
    """All of them."""
    return " & ".join(quoted(lexeme) for lexeme in lexemes)

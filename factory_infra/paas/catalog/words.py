"""Words of entries and of queries, by one rule for both, in any script; PostgreSQL compares them as lexemes."""

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.paas.catalog.models import CatalogEntry, Filters

WORDS_MAX = 12_000
"""Of one entry: a vector of lexemes may hold a megabyte."""
WORD_LENGTH_MAX = 64
QUERY_WORDS_MAX = 24
NAME_WORDS_MAX = 8
POSITION_MAX = 16_383
"""PostgreSQL's last position within a vector."""
STEMS_KEPT_MAX = 50_000
CODE = re.compile(r"[^\W_]+")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
NUMBERED = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
DENSE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\u3040-\u30ff]+")
"""Scripts that put no blank between words: pairs of letters stand for words."""
# fmt: off
ASKING = frozenset(
    {
        "find", "search", "show", "list", "give", "tell", "need", "want", "looking", "look", "get", "any", "some", "there", "something",
        "anything", "which", "what", "where", "who", "whose", "how", "is", "are", "do", "does", "can", "could", "should", "would", "i",
        "we", "our", "my", "me", "us", "you", "your", "please", "for", "about", "with", "that", "have", "has", "one", "ones", "thing",
        "things", "use", "used", "using",
    }
)
# fmt: on
"""Words of asking: they say nothing of what is sought."""
_STEMS = text("SELECT word, ts_lexize('english_stem', word) FROM unnest(CAST(:words AS text[])) AS word")


def folded(value: str) -> str:
    """One form for what is the same to a reader: width, composition, case and accents aside."""
    plain = unicodedata.normalize("NFKD", value.replace("\x00", " ")).casefold()
    return unicodedata.normalize("NFC", "".join(char for char in plain if not _accent(char)))


def _accent(char: str) -> bool:
    """Whether it is an accent of a Latin, Greek or Cyrillic letter; vowel signs of other scripts are letters of their own."""
    return "\u0300" <= char <= "\u036f"


def tokens(value: str) -> Iterator[str]:
    """The words of a text in their order, with the parts of joined ones: `FraudNet2` gives fraudnet2, fraud, net, 2."""
    for found in CODE.finditer(unicodedata.normalize("NFKC", value[:400_000].replace("\x00", " "))):
        raw = found.group()
        whole = folded(raw)
        if not whole:
            continue
        if DENSE.search(whole):
            yield from _pairs(whole)
            continue
        yield whole[:WORD_LENGTH_MAX]
        parts = [folded(part) for camel in CAMEL.split(raw) for part in NUMBERED.split(camel)]
        if len(parts) > 1:
            yield from (part[:WORD_LENGTH_MAX] for part in parts if part)


def _pairs(word: str) -> Iterator[str]:
    for run in re.split(f"({DENSE.pattern})", word):
        if DENSE.fullmatch(run):
            yield from ([run] if len(run) == 1 else (run[at : at + 2] for at in range(len(run) - 1)))
        elif run:
            yield run[:WORD_LENGTH_MAX]


def name_key(name: str) -> str:
    """A name as it is compared whole: its words with one blank between, however they were joined."""
    return " ".join(folded(found) for found in CODE.findall(unicodedata.normalize("NFKC", name)))[:200]


def name_keys(query: str) -> list[str]:
    """Every run of words of a query that may be a whole name."""
    words = name_key(query[:1000]).split()[:QUERY_WORDS_MAX]
    runs = (words[start : start + length] for length in range(1, NAME_WORDS_MAX + 1) for start in range(len(words) - length + 1))
    return list(dict.fromkeys(" ".join(run) for run in runs))


class Stems:
    """Stems of English words, as PostgreSQL's own dictionary gives them; remembered. Words of other scripts are their own stems."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()

    def missing(self, words: Iterable[str]) -> list[str]:
        """Those that must be asked for."""
        return [word for word in dict.fromkeys(words) if word.isascii() and word.isalpha() and word not in self._known]

    async def learn(self, session: AsyncSession, words: Iterable[str]) -> None:
        """Ask for what is not known."""
        if missing := self.missing(words):
            for word, found in await session.execute(_STEMS, {"words": missing}):
                self._known[word] = (found[0] if found else "") if found is not None else word
        while len(self._known) > STEMS_KEPT_MAX:
            self._known.popitem(last=False)

    def of(self, word: str) -> str:
        """The stem; empty for a word that says nothing."""
        return self._known.get(word, word)


def said(query: str) -> list[str]:
    """The words of a query that may say what is sought; all of them where there are no others."""
    every = list(dict.fromkeys(tokens(query[:1000])))[:QUERY_WORDS_MAX]
    return [word for word in every if word not in ASKING] or every


def fields(entry: CatalogEntry, body: str) -> dict[str, list[str]]:
    """The words of an entry by what they weigh: A its name, B its tags and other names, C its description and kind, D all else."""
    others = str(entry.facts.get("aliases", ""))
    rest = " ".join(f"{name} {value}" for name, value in entry.facts.items() if name != "aliases" and not isinstance(value, dict | list))
    joined = name_key(entry.name).replace(" ", "")
    return {
        "A": [*tokens(entry.name), joined],
        "B": [*tokens(" ".join(entry.tags)), *tokens(others)],
        "C": [*tokens(entry.description), entry.kind],
        "D": [*tokens(f"{rest} {entry.version} {entry.owner}"), *tokens(body)],
    }


def labels(entry: CatalogEntry) -> Iterator[str]:
    """Conditions that hold of an entry, as lexemes that no word can be."""
    yield f"=k/{entry.kind}"
    yield f"=t/{entry.tenant}"
    yield f"=s/{entry.visibility}"
    yield f"=o/{entry.owner.casefold()}"
    yield f"=v/{entry.version.casefold()}"
    yield from (f"=g/{tag.casefold()}" for tag in entry.tags)
    for badge in entry.badges:
        yield from (f"=b/{badge.name}", f"=b/{badge.name}:{badge.level}")


def wanted_labels(filters: Filters) -> list[str]:
    """What must hold, as the same lexemes."""
    marks = {"kind": "k", "tenant": "t", "owner": "o", "version": "v", "tag": "g", "badge": "b"}
    return [f"={marks[name]}/{str(value).casefold()}" for name, value in filters.model_dump(exclude_none=True).items()]


def quoted(lexeme: str) -> str:
    """A lexeme as PostgreSQL reads it, whatever is in it."""
    clean = lexeme.replace("\x00", " ").replace("\\", "\\\\").replace("'", "''")
    return f"'{clean}'"


def vector(weighed: Mapping[str, Sequence[str]], stems: Stems, marks: Iterable[str]) -> str:
    """The text of a tsvector: lexemes with positions and weights, then marks without."""
    positions: dict[str, list[str]] = {}
    at = 0
    for weight, words in weighed.items():
        for word in words[: max(0, WORDS_MAX - at)]:
            at += 1
            stem = stems.of(word)
            if stem and len(places := positions.setdefault(stem, [])) < 8:  # more often says no more
                places.append(f"{min(at, POSITION_MAX)}{weight}")
    lexemes = [f"{quoted(stem)}:{','.join(places)}" for stem, places in positions.items()]
    return " ".join([*lexemes, *(quoted(mark) for mark in marks)])

"""How words are compared: one folding for what users write and for what the lists hold."""

import re
import unicodedata
from functools import cache

WORD = r"a-z0-9_\u00df-\u024f\u0370-\u04ff"
LEFT = rf"(?<![{WORD}])"
RIGHT = rf"(?![{WORD}])"
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_QUOTES = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u0060\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2013\u2014\u2212", "-"),
    }
)
_KANA_MARKS = "\u3099\u309a"
_GAP = r"(?:\s+[^\s.;!?]+){0,7}?\s+"


def fold(text: str) -> str:
    """Bring a text to the form in which words are compared: no case, no accents, one width, single spaces."""
    wide = unicodedata.normalize("NFKC", text).translate(_QUOTES).casefold()
    bare = "".join(c for c in unicodedata.normalize("NFKD", wide) if not unicodedata.combining(c) or c in _KANA_MARKS)
    return " ".join(unicodedata.normalize("NFKC", bare).split())


def has_cjk(text: str) -> bool:
    """Whether a text holds Chinese or Japanese characters, which are written without spaces."""
    return _CJK.search(text) is not None


def term_pattern(term: str, units: str = "") -> str:
    """Turn a listed term into a regular expression: `*` ends a stem, `...` is a gap of a few words, `<n>` some slots or GPUs."""
    parts = [fold(part) for part in term.split("...")]
    escaped = [re.escape(part.strip()).replace(r"\*", rf"[{WORD}]*").replace(r"\ ", r"[\s-]+") for part in parts]
    escaped = [
        part.replace("[\\s-]+<n>", "<n>").replace("<n>", rf"(?:\s+[^\s.;:!?]+){{0,4}}?\s*(?:(?<=\s)|(?<=\d)|(?<=-))(?:{units})")
        for part in escaped
    ]
    if has_cjk(term):
        return ".{0,12}?".join(escaped)
    return LEFT + _GAP.join(escaped) + RIGHT


@cache
def compile_terms(terms: tuple[str, ...], units: str = "") -> re.Pattern[str]:
    """One expression for a list of terms, longest first; an empty list matches nothing."""
    ordered = sorted(set(terms), key=len, reverse=True)
    return re.compile("|".join(term_pattern(term, units) for term in ordered) or r"(?!)")


def slug(text: str) -> str:
    """A name that endpoints and models may bear: lower case, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", fold(text)).strip("-")


def overlaps(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two spans share a character."""
    return a[0] < b[1] and b[0] < a[1]

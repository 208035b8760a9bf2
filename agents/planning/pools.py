"""Which pool a request names: beside the word 'pool', or after a word such as 'on'; a pool's name alone may be any word."""

import re

from agents.planning.interface import Facts
from agents.planning.languages import terms
from agents.planning.mentions import Mention, Sense, free_of
from agents.planning.text import WORD, fold

_POOL = r"(?:pools?|пул[ае]?|プール)"
_PLACE = r"(?:in|im|auf|dans|sur|en|nel|nella|sul|no|na|op|на|в)"
_NAME = rf"(?P<name>[{WORD}]+(?:-[{WORD}]+)*)"
_CALLED = r"(?:named\s+|called\s+|namens\s+|[\"'])?"
_NEVER = frozenset(
    {"the", "a", "of", "is", "has", "for", "size", "with", "and", "or", "in", "on", "at", "to", "free", "status", "usage", "capacity"}
)


def pools_in(text: str, facts: Facts, codes: tuple[str, ...], taken: list[tuple[int, int]]) -> list[Mention]:
    """The pools that a folded text names, each with the word that shows it; and a name behind 'on pool' that is none.

    Args:
        taken: places of names that were found before: what another name says is no pool unless the word stands beside it.
    """
    found: list[Mention] = []
    for pool in facts.pools:
        name, on = re.escape(fold(pool.name)), rf"(?:{terms(codes, 'on').pattern}|{_PLACE})"
        beside = re.compile(rf"(?<![{WORD}-])(?:{_POOL}\s+{_CALLED}{name}|{name}[\s-]+{_POOL})(?![{WORD}-])")
        after = re.compile(rf"(?<![{WORD}-]){on}\s+(?:the\s+)?(?P<name>{name})(?![{WORD}-])")
        spans = [match.span() for match in beside.finditer(text)]
        if len(facts.pools) > 1:
            spans += [span for span in (match.span("name") for match in after.finditer(text)) if free_of(span, [*taken, *spans])]
        sense = Sense(kind="pool", value=pool.name)
        found += [Mention(start=start, end=end, text=text[start:end], senses=(sense,)) for start, end in spans]
    return found + unknown_pools(text, codes, [mention.span for mention in found])


def unknown_pools(text: str, codes: tuple[str, ...], known: list[tuple[int, int]]) -> list[Mention]:
    """'on pool mars' where there is none of that name."""
    on = rf"(?:{terms(codes, 'on').pattern}|{_PLACE})"
    pattern = re.compile(rf"(?<![{WORD}-]){on}\s+(?:the\s+)?{_POOL}\s+{_CALLED}{_NAME}")
    return [
        Mention(start=match.start("name"), end=match.end(), text=match["name"], senses=(Sense(kind="unknown_pool", value=match["name"]),))
        for match in pattern.finditer(text)
        if match["name"] not in _NEVER and free_of(match.span("name"), known)
    ]

"""Identifiers in words: what has the form of an id of ours, in the order in which it was first named."""

import re
from collections.abc import Iterable

from agents.planning.text import WORD

IDENTIFIER = re.compile(rf"(?<![{WORD}-])(?:plan|lease|job|thread|run)-(?=[a-z0-9_-]*\d)[a-z0-9_-]{{1,80}}(?<![-_])")
SUMMARY = "Named earlier:"
"""How the line begins that stands for the older part of a long thread: names in the order in which they first came."""


def ids_in(text: str) -> list[str]:
    """Ids by their form, each once, in the order of the text."""
    return list(dict.fromkeys(IDENTIFIER.findall(text.lower())))


def identifiers_in(texts: Iterable[str]) -> tuple[str, ...]:
    """What some messages named, oldest message first; of a summary every name counts, whatever its form."""
    found: list[str] = []
    for text in texts:
        found += names_of(text) if text.startswith(SUMMARY) else ids_in(text)
    return tuple(dict.fromkeys(found))


def summary_of(identifiers: Iterable[str]) -> str:
    """The line that stands for the older part of a long thread."""
    return f"{SUMMARY} {', '.join(identifiers)}."


def names_of(summary: str) -> list[str]:
    """The names in a summary."""
    listed = summary.removeprefix(SUMMARY).strip().removesuffix(".")
    return [name for name in (each.strip() for each in listed.split(",")) if name]

"""The names of training algorithms as people write them, and of those that are not offered."""

import re
from pathlib import Path

import yaml
from pydantic import BaseModel

from agents.planning.mentions import Mention, Sense
from agents.planning.text import compile_terms


class Algorithms(BaseModel):
    """Terms for each algorithm that training offers, and for well-known ones that it does not."""

    offered: dict[str, tuple[str, ...]]
    not_offered: tuple[str, ...]


ALGORITHMS = Algorithms.model_validate(yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")))


def _found(text: str, terms: tuple[str, ...], sense: Sense) -> list[Mention]:
    return [_mention(match, sense) for match in compile_terms(terms).finditer(text)]


def _mention(match: re.Match[str], sense: Sense) -> Mention:
    return Mention(start=match.start(), end=match.end(), text=match.group(), senses=(sense,))


def algorithms_in(text: str) -> list[Mention]:
    """Algorithms that a folded text names; one that is not offered is an unknown."""
    found = [m for name, terms in ALGORITHMS.offered.items() for m in _found(text, terms, Sense(kind="algorithm", value=name))]
    unknown = compile_terms(ALGORITHMS.not_offered).finditer(text)
    return found + [_mention(match, Sense(kind="unknown_algorithm", value=match.group())) for match in unknown]

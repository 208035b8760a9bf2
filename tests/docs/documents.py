"""How the checks read the documents: files, fences, tables, links."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")


class Fence(NamedTuple):
    """A piece of code in a document."""

    path: Path
    language: str
    text: str


def documents() -> list[Path]:
    """Every document that a reader is sent to."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(path: Path) -> str:
    """The path as a reader knows it."""
    return str(path.relative_to(ROOT))


def document(name: str) -> str:
    """The text of a document by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def fences(*languages: str) -> Iterator[Fence]:
    """The pieces of code in some languages, over all documents."""
    for path in documents():
        for match in FENCE.finditer(path.read_text(encoding="utf-8")):
            if match[1] in languages:
                yield Fence(path, match[1], match[2])


def without_fences(text: str) -> str:
    """The text that is prose."""
    return FENCE.sub("", text)


def rows(text: str, first: str) -> dict[str, list[str]]:
    """The rows of the tables whose first heading is `first`, by the code in their first cell; several codes in a cell share a row."""
    found: dict[str, list[str]] = {}
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            inside = False
        elif cells[0] == first:
            inside = True
        elif inside and not set(cells[0]) <= set("-: "):
            found |= dict.fromkeys(CODE.findall(cells[0]), cells[1:])
    return found

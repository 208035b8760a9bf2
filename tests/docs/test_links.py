"""Every link inside the repository leads somewhere."""

import re
from pathlib import Path

import pytest

from tests.docs.documents import HEADING, LINK, ROOT, documents, name_of, without_fences


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as the usual hosts make them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in HEADING.findall(path.read_text(encoding="utf-8"))
    }


def broken(path: Path, link: str) -> bool:
    """Whether a relative link leads nowhere."""
    target, _, anchor = link.partition("#")
    found = (path.parent / target).resolve() if target else path
    if not found.exists() or not found.is_relative_to(ROOT):
        return True
    return bool(anchor) and found.suffix == ".md" and anchor not in anchors(found)


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_relative_links_resolve(path: Path) -> None:
    links = LINK.findall(without_fences(path.read_text(encoding="utf-8")))
    assert not [link for link in links if "://" not in link and not link.startswith("mailto:") and broken(path, link)]


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text(encoding="utf-8")
    decisions = sorted(folder.glob("[0-9]*.md"))
    assert [path.name for path in decisions if f"({path.name})" not in index] == []
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")), ids=name_of)
def test_a_decision_has_its_four_parts(path: Path) -> None:
    found = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert found == ["Context", "Decision", "Consequences", "Alternatives"]

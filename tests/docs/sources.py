"""What the sources say of themselves, read without running them: the events that are written, the codes that are raised."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.docs.documents import ROOT

WRITERS = {"emit", "write"}
REFUSALS = {"_refusal", "failure", "refusal"}
"""Functions whose first argument is a code."""
LAYERS = ("agents", "api", "cli", "evals", "factory_infra", "tools", "workflows")


def trees(*folders: str) -> Iterator[ast.Module]:
    """Every module under some folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def text_of(node: ast.expr | None) -> str | None:
    """The text of a literal."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def keys_of(node: ast.expr | None) -> set[str]:
    """The literal keys of a dictionary that stands in the call itself."""
    return {text for key in node.keys if (text := text_of(key)) is not None} if isinstance(node, ast.Dict) else set()


def written_events() -> dict[str, set[str]]:
    """Kind → the payload's fields as far as they stand where it is written."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for tree in trees("agents", "workflows"):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            named = {word.arg: word.value for word in node.keywords}
            if (
                isinstance(node.func, ast.Attribute)
                and node.func.attr in WRITERS
                and (kind := text_of(node.args[0] if node.args else None))
            ):
                found[kind] |= keys_of(node.args[1]) if len(node.args) > 1 else set()
            elif kind := text_of(named.get("kind")):
                found[kind] |= keys_of(named.get("payload"))
    return {kind: fields for kind, fields in found.items() if "." in kind or kind in {"question", "refusal"}}


def raised_codes() -> set[str]:
    """Every literal code of an error, a dry run or a failure, except those of the classes themselves."""
    found: set[str] = set()
    for tree in trees(*LAYERS):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                wanted = {"code", "type"} if name == "ApplicationError" else {"code"}
                found |= {text for word in node.keywords if word.arg in wanted and (text := text_of(word.value))}
                found |= {text for first in node.args[:1] if name in REFUSALS and (text := text_of(first))}
    return found


def noun_folders() -> set[str]:
    """The nouns of the factory's tiers that exist."""
    factory = ROOT / "factory_infra"
    tiers = ("foundation", "iaas", "paas", "saas")
    return {path.parent.name for tier in tiers for path in Path(factory / tier).glob("*/models.py")} | {"vectors"}

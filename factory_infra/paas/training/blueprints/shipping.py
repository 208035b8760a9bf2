"""A blueprint's program as one file that needs nothing of this source tree: it runs wherever its packages are."""

import ast
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "programs"
OURS = "factory_infra"
PROGRAMS = "factory_infra.paas.training.blueprints.programs."
START = "start_settings"
GUARD = '\nif __name__ == "__main__":'


@cache
def shipped(name: str) -> str:
    """Return a program with what it takes from its neighbours in front of it, in place of its imports of ours."""
    parts = [without_ours(source(each)) for each in needed(name)]
    return "\n\n".join([*(part.partition(GUARD)[0].rstrip() + "\n" for part in parts[:-1]), parts[-1]])


def needed(name: str) -> list[str]:
    """The programs that one takes from, each after what it takes from itself; the one itself last."""
    found: list[str] = []
    for node in ast.parse(source(name)).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PROGRAMS):
            found += needed((node.module or "").removeprefix(PROGRAMS))
    return [*dict.fromkeys(found), name]


@cache
def starter() -> str:
    """Return what starts a program, on each node."""
    return source(START)


def source(name: str) -> str:
    """Read a program as it stands in this tree."""
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8")


def without_ours(text: str) -> str:
    """Leave out the imports from this source tree, lines and all."""
    lines = text.splitlines()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == OURS:
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return "\n".join(lines) + "\n"

"""The table of happenings says what the sources write, and names every field that a figure reads."""

import ast

from factory_infra.paas.kpis.rules import COUNTERFACTUAL, KINDS, RULES, TENANT
from tests.docs.documents import document, rows
from tests.docs.sources import text_of, trees

KINDS_BY_STATE = {"deployment.failed", "deployment.aborted", "pool.grown", "pool.shrunk", COUNTERFACTUAL}
"""What is chosen by a value where it is written."""


def told() -> set[str]:
    """The literal kinds of `Happening(kind=…)` and of `tell(connection, kind, …)` in the factory."""
    found: set[str] = set()
    for tree in trees("factory_infra"):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            words = {word.arg: word.value for word in node.keywords}
            second = node.args[1] if name == "tell" and len(node.args) > 3 else None
            kind = text_of(words.get("kind")) if name == "Happening" else text_of(second)
            if kind is not None:
                found.add(kind)
    return found


def test_happenings_are_those_that_are_written() -> None:
    table = rows(document("docs/events.md"), "happening")
    assert set(table) == (told() | KINDS_BY_STATE) - set(rows(document("docs/events.md"), "kind"))
    assert set(KINDS) <= set(table)


def test_every_field_that_a_figure_reads_is_named() -> None:
    table, text = rows(document("docs/events.md"), "happening"), document("docs/events.md")
    for rule in RULES:
        for name in {*rule.dims, *rule.when, *filter(None, [rule.value])} - {TENANT}:
            assert f"`{name}`" in table[rule.kind][0] or "the same" in table[rule.kind][0], (rule.kind, name)
            assert f"`{name}`" in text

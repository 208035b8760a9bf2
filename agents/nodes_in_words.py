"""Puts what validation and isolation found into words."""

from agents.reports import rows
from tools.ports import JsonObject

LINES_MAX = 20


def software(result: JsonObject) -> str:
    """The software of a pool's nodes against its baseline."""
    nodes = rows(result, "nodes")
    if not nodes:
        return str(result.get("note") or "No node has told its software yet.")
    if not result.get("baseline"):
        return f"Pool {result['pool']} declares no baseline: nothing can drift. {len(nodes)} node(s) told their software."
    lines = [
        f"{node['node']}: {each['component']} is {each['found']}, {each['wanted']} is wanted ({each['severity']})."
        for node in nodes
        for each in rows(node, "drift")
    ]
    return "\n".join(lines[:LINES_MAX]) or f"All {len(nodes)} node(s) of pool {result['pool']} are as {result['baseline']} declares."


def fitness(result: JsonObject) -> str:
    """Which nodes are fit."""
    nodes = rows(result, "nodes")
    if not nodes:
        return "No node was burnt in yet."
    bad = [
        f"{node['node']} of {node['pool']} is not handed out: {'; '.join(str(each) for each in reasons(node))}"
        for node in nodes
        if node["fitness"] == "unfit"
    ]
    return "\n".join([f"{len(nodes)} node(s) were burnt in, {len(bad)} fall short.", *bad[:LINES_MAX]])


def reasons(node: JsonObject) -> list[str]:
    """Why a node is what it is."""
    found = node.get("reasons")
    return [str(each) for each in found] if isinstance(found, list) else []


def walls(result: JsonObject) -> str:
    """Which walls stand around the team, and what audits found."""
    lines = []
    for pool in rows(result, "pools"):
        states = [f"{wall['name']} {str(wall['state']).replace('_', ' ')}" for wall in rows(pool, "walls")]
        lines.append(f"{pool['pool']}: {', '.join(states) or pool.get('note')}.")
    audits = rows(result, "audits")
    holes = [each for each in audits if not each["holds"]]
    told = f"{len(audits)} audit(s), {len(holes)} found a hole." if audits else "No audit has been made yet."
    return "\n".join([*lines, told])

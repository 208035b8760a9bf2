"""From nodes and their incidents to time between failures and time to repair. Pure."""

from collections.abc import Sequence
from datetime import datetime

from factory_infra.foundation.reliability.health import Health
from factory_infra.foundation.reliability.node_models import Figures, Incident, Node
from factory_infra.foundation.reliability.statistics import CONFIDENCE, between_failures, to_repair

HOUR_SECONDS = 3600.0


def figures(subject: str, nodes: Sequence[Node], incidents: Sequence[Incident], now: datetime, confidence: float = CONFIDENCE) -> Figures:
    """Add up. A node is watched from its first report until it was retired, without the time in which it was failed; only failures count.

    Args:
        nodes: of the subject.
        incidents: open ones too; those of other nodes are left aside.
    """
    down = {(node.pool, node.name): 0.0 for node in nodes}
    failures = [each for each in incidents if each.severity == "failure" and (each.pool, each.node) in down]
    for each in failures:
        down[each.pool, each.node] += hours_between(each.opened_at, each.closed_at or now)
    hours = {(node.pool, node.name): watched(node, now, down[node.pool, node.name]) for node in nodes}
    whole = sum(hours.values())
    accelerator_hours = sum(hours[node.pool, node.name] * node.accelerators for node in nodes)
    repairs = [hours_between(each.opened_at, each.closed_at) for each in failures if each.closed_at is not None]
    return Figures(
        subject=subject,
        nodes=len(nodes),
        accelerators=sum(node.accelerators for node in nodes),
        node_mtbf=between_failures(whole, len(failures), confidence),
        accelerator_mtbf=between_failures(accelerator_hours, len(failures), confidence),
        mttr=to_repair(repairs, confidence),
    )


def watched(node: Node, now: datetime, down_hours: float) -> float:
    """How long a node could have failed."""
    until = node.health_since if node.health is Health.RETIRED else now
    return max(hours_between(node.first_seen_at, until) - down_hours, 0.0)


def hours_between(begin: datetime, end: datetime) -> float:
    """Hours from one moment to another."""
    return (end - begin).total_seconds() / HOUR_SECONDS

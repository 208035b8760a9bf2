"""What a burn-in says of a node becomes an event of the node: below its threshold it failed, fit again that is over."""

import hashlib
from contextlib import suppress

from factory_infra.errors import NotFound
from factory_infra.foundation.reliability.node_models import NodeEvent
from factory_infra.foundation.reliability.nodes import Nodes
from factory_infra.foundation.validation.models import NodeVerdict

WORDS_MAX = 400


class BurnInNews:
    """Listens to verdicts. A node that never reported has no health: it is kept out by its verdict alone.

    Args:
        nodes: whose health it is.
    """

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def node_judged(self, verdict: NodeVerdict) -> None:
        """Keep the verdict as an event, once."""
        name = verdict.node or verdict.host
        identity = hashlib.sha256(f"{verdict.pool}/{name}/{verdict.judged_at.isoformat()}".encode()).hexdigest()[:24]
        event = NodeEvent(
            id=f"burn-in-{identity}",
            code="burn_in_failed",
            recovered=verdict.fitness != "unfit",
            words=" ".join(verdict.reasons)[:WORDS_MAX],
            at=verdict.judged_at,
        )
        with suppress(NotFound):
            await self._nodes.record(verdict.pool, name, [event])

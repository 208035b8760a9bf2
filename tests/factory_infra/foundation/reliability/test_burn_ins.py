"""A verdict of a burn-in as an event of its node."""

from typing import Literal

import pytest

from factory_infra.database import Database, utcnow
from factory_infra.foundation.reliability.burn_ins import BurnInNews
from factory_infra.foundation.reliability.node_models import NodeReport
from factory_infra.foundation.reliability.nodes import Nodes
from factory_infra.foundation.validation.models import NodeVerdict

pytestmark = pytest.mark.stack


def verdict(node: str, fitness: Literal["fit", "unfit"]) -> NodeVerdict:
    said = {"machine_type": "H100", "reasons": ["matmul is 40 % below the median."], "comparisons": []}
    return NodeVerdict.model_validate(
        {"pool": "h100", "node": node, "host": "h", "fitness": fitness, "measured_at": utcnow(), "judged_at": utcnow(), **said}
    )


async def test_below_the_threshold_the_node_is_out_and_gets_a_plan(database: Database) -> None:
    nodes = Nodes(database, host="elsewhere")
    news = BurnInNews(nodes)
    await nodes.report("h100", "a", NodeReport())
    told = verdict("a", "unfit")
    for _ in range(2):
        await news.node_judged(told)
    assert await nodes.unfit("h100") == {"a"}
    assert [incident.code for incident in await nodes.planless()] == ["burn_in_failed"]
    history = await nodes.history("h100", "a")
    assert [event.words for event in history.events] == ["matmul is 40 % below the median."]
    await news.node_judged(verdict("a", "fit"))
    assert await nodes.unfit("h100") == {"a"}  # its plan says when it is over


async def test_of_a_node_that_never_reported_nothing_is_kept(database: Database) -> None:
    nodes = Nodes(database, host="elsewhere")
    await BurnInNews(nodes).node_judged(verdict("b", "unfit"))
    assert await nodes.list() == []

"""The tool over the twin: a question in words, and an answer that says that it is simulated."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from factory_infra.iaas.twin.questions import StartsThen, WhatIf, WhatIfAnswer
from factory_infra.iaas.twin.service import Asker
from tools.plan import Effect
from tools.spec import ToolContext
from tools.toolbox import tool_named
from tools.twin import WhatIfArguments, WhatIfResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Asked:
    """A factory whose twin keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[WhatIf, Asker]] = []

    async def ask(self, question: WhatIf, asker: Asker) -> WhatIfAnswer:
        self.asked.append((question, asker))
        waiting = StartsThen(lease_id="lease-1", queue="vision", slots=8, starts_then=NOW, sooner_seconds=None)
        return WhatIfAnswer(
            as_of=NOW, pools=["twin"], changes=[], told=["1 more nodes in pool twin"], leases=[waiting], figures=[{"scenario": "as it is"}]
        )


class TestWhatIf:
    async def test_it_asks_for_its_own_team_and_marks_what_is_simulated(self) -> None:
        tool, asked = tool_named("twin.what_if"), Asked()
        assert tool.effect is Effect.READ
        context = cast(ToolContext, SimpleNamespace(factory=SimpleNamespace(what_ifs=asked), tenant="vision"))
        found = await tool.call(context, WhatIfArguments(question="add 1 node", pool="twin"))
        assert isinstance(found, WhatIfResult)
        assert asked.asked == [(WhatIf(words="add 1 node", pool="twin"), Asker("vision"))]
        assert found.simulated
        assert (found.leases[0].starts_as_it_is, found.leases[0].starts_then) == ("never", NOW.isoformat())

    @pytest.mark.parametrize("given", [{}, {"question": ""}, {"question": "x", "speed": 2}])
    def test_other_arguments_are_refused(self, given: dict[str, object]) -> None:
        with pytest.raises(ValueError, match=r"question|speed"):
            WhatIfArguments.model_validate(given)

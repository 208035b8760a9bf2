"""Questions to the reliability engineer, the cost analyst and the auditor, without a model, in ten languages."""

import pytest

from agents.planning.interface import Draft, Pending
from agents.planning.planner import PlaybookPlanner
from agents.planning.playbook import load_playbooks
from agents.planning.turns import CONFIRM
from tests.agents.planning.factory_facts import facts, say


@pytest.fixture(scope="module")
def planner() -> PlaybookPlanner:
    return PlaybookPlanner(load_playbooks())


ASKED = [
    ("why did my last job fail?", "reliability.diagnose", {}),
    ("what is wrong with job-0123456789abcdef", "reliability.diagnose", {"job_id": "job-0123456789abcdef"}),
    ("what went wrong with plan-1a2b3c-4?", "reliability.diagnose", {"plan_id": "plan-1a2b3c-4"}),
    ("Warum ist mein letzter Job fehlgeschlagen?", "reliability.diagnose", {}),
    ("Pourquoi mon dernier job a échoué ?", "reliability.diagnose", {}),
    ("por qué falló mi último trabajo", "reliability.diagnose", {}),
    ("perché è fallito il mio ultimo job?", "reliability.diagnose", {}),
    ("por que falhou o meu último job?", "reliability.diagnose", {}),
    ("waarom is mijn laatste job mislukt?", "reliability.diagnose", {}),
    ("почему упала моя последняя задача?", "reliability.diagnose", {}),
    ("为什么我的上一个作业失败了?", "reliability.diagnose", {}),
    ("なぜ最後のジョブが失敗したのですか", "reliability.diagnose", {}),
    ("audit plan-1a2b3c-4", "plans.audit", {"plan_id": "plan-1a2b3c-4"}),
    ("audit the last run", "plans.audit", {}),
    ("how much did team vision spend this week, by agent", "metering.usage", {"by": "agent", "days": 7}),
    ("spending per model last month", "metering.usage", {"by": "model", "days": 30}),
    ("when does our budget run out?", "metering.usage", {"by": "day", "days": 7}),
    ("show telemetry", "telemetry.show", {}),
    ("how busy is the machine?", "telemetry.show", {}),
    ("show my plans", "plans.list", {}),
    ("show plan-1a2b3c-4", "plans.show", {"plan_id": "plan-1a2b3c-4"}),
]


@pytest.mark.parametrize(("text", "tool", "arguments"), ASKED)
async def test_is_read_at_once(planner: PlaybookPlanner, text: str, tool: str, arguments: dict[str, object]) -> None:
    outcome = await say(planner, text, facts())
    assert isinstance(outcome, Draft)
    assert [(step.tool, step.arguments) for step in outcome.steps] == [(tool, arguments)]


async def test_a_yes_to_an_offered_remedy_drafts_it_and_a_no_does_not(planner: PlaybookPlanner) -> None:
    offered = Pending(
        playbook="release-lease",
        slots={"lease_id": "lease-7f3a91", "team": "vision"},
        asked=CONFIRM,
        request="Release the lease lease-7f3a91",
    )
    draft = await say(planner, "yes", facts(), offered)
    assert isinstance(draft, Draft)
    assert [(step.tool, step.arguments) for step in draft.steps] == [("leases.release", {"lease_id": "lease-7f3a91"})]
    assert not isinstance(await say(planner, "no", facts(), offered), Draft)

"""Many ways to say the first job: each comes to the plan, question or refusal that its writer meant, without a model."""

import pytest

from agents.planning.interface import DatasetFact, Draft, EndpointFact, Facts, LeaseFact, ModelFact, Outcome, Refusal, TeamFact
from agents.planning.planner import PlaybookPlanner
from agents.planning.playbook import load_playbooks
from factory_infra.paas.training.datasets import DATASETS
from tests.agents.planning.factory_facts import talk
from tests.agents.planning.phrasings import Phrasing, load_phrasings
from tools.plan import Effect

MODELS = [("digits", 1, 0.94), ("digits", 2, 0.97), ("iris", 1, 0.95), ("wine", 1, 0.96)]


@pytest.fixture(scope="module")
def planner() -> PlaybookPlanner:
    return PlaybookPlanner(load_playbooks())


def live(team: TeamFact) -> TeamFact:
    """The team with models, two endpoints and a lease."""
    models = [ModelFact(model_name=f"{name}-classifier", version=v, dataset=name, accuracy=a) for name, v, a in MODELS]
    endpoints = [
        EndpointFact(name="digits", model_name="digits-classifier", version=2, previous_version=1),
        EndpointFact(name="iris", model_name="iris-classifier", version=1),
    ]
    leases = [LeaseFact(id="lease-7f3a91", slots=1, purpose="training")]
    return team.model_copy(update={"models": models, "endpoints": endpoints, "leases": leases, "quota_slots_used": 1})


def state_of(phrasing: Phrasing) -> Facts:
    vision = TeamFact(name="vision", quota_slots=2 if phrasing.scene == "small" else 4, quota_slots_used=0)
    speech = TeamFact(name="speech", quota_slots=4, quota_slots_used=0)
    teams = [live(vision) if phrasing.scene == "live" else vision, speech]
    return Facts(
        home_team=phrasing.home,
        teams=[team for team in teams if phrasing.home in {None, team.name}],
        datasets=[DatasetFact(name=each.name, aliases=each.aliases) for each in DATASETS],
        slot_kind="cpu",
        slots_total=8,
        slots_free=8,
    )


def kind_of(outcome: Outcome) -> str:
    if not isinstance(outcome, Draft):
        return outcome.type
    return "plan" if any(step.effect is not Effect.READ for step in outcome.steps) else "reading"


@pytest.mark.parametrize("phrasing", load_phrasings(), ids=lambda phrasing: phrasing.says[-1][:60])
async def test_is_understood(planner: PlaybookPlanner, phrasing: Phrasing) -> None:
    outcome = await talk(planner, phrasing.says, state_of(phrasing))
    assert kind_of(outcome) in phrasing.kinds
    if isinstance(outcome, Refusal) and phrasing.codes:
        assert outcome.code in phrasing.codes
    if isinstance(outcome, Draft):
        assert not phrasing.playbooks or outcome.playbook in phrasing.playbooks
        assert {name: outcome.slots.get(name) for name in phrasing.slots} == phrasing.slots
        assert "threshold" in phrasing.slots or outcome.slots.get("threshold") is None

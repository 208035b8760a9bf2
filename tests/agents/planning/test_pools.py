"""Pools that a request names: taken where the words show one, refused where there is none, and never guessed."""

import pytest

from agents.planning.interface import Draft, Facts, PoolFact, Refusal
from agents.planning.planner import PlaybookPlanner
from agents.planning.playbook import load_playbooks
from tests.agents.planning.factory_facts import facts, say


@pytest.fixture(scope="module")
def planner() -> PlaybookPlanner:
    return PlaybookPlanner(load_playbooks())


def with_pools() -> Facts:
    pools = [
        PoolFact(name="local", slot_kind="cpu", slots_total=2, slots_free=2),
        PoolFact(name="slurm-a", slot_kind="gpu", slots_total=8, slots_free=8),
        PoolFact(name="aws-west", slot_kind="gpu", slots_total=16, slots_free=16),
    ]
    return facts().model_copy(update={"pools": pools})


def pool_of(outcome: object) -> object:
    assert isinstance(outcome, Draft), outcome
    return next(step.arguments.get("pool") for step in outcome.steps if step.tool == "leases.acquire")


class TestNamed:
    @pytest.mark.parametrize(
        ("text", "pool"),
        [
            ("Train a digit classifier for team vision on two slots of pool slurm-a and put it live if it beats 95 percent.", "slurm-a"),
            ("Train a digit classifier on 2 slots in pool aws-west and deploy it if it beats 95 %", "aws-west"),
            ("train digits on slurm-a with one slot", "slurm-a"),
            ("fit a digits model on the aws-west pool, 1 slot", "aws-west"),
            ("lease 2 slots on slurm-a for an hour", "slurm-a"),
            ("Reserve 2 slots from pool local for two hours", "local"),
            ("Trainiere ein Modell auf digits im Pool slurm-a mit 2 Slots", "slurm-a"),
            ("entraîne un modèle digits dans le pool aws-west sur 2 slots", "aws-west"),
        ],
    )
    async def test_is_taken(self, planner: PlaybookPlanner, text: str, pool: str) -> None:
        assert pool_of(await say(planner, text, with_pools())) == pool

    @pytest.mark.parametrize(
        "text", ["Train a digit classifier on two slots", "lease 2 slots for an hour", "train digits on our local data"]
    )
    async def test_none_is_guessed(self, planner: PlaybookPlanner, text: str) -> None:
        outcome = await say(planner, text, with_pools())
        assert not isinstance(outcome, Draft) or pool_of(outcome) is None

    async def test_its_slots_count(self, planner: PlaybookPlanner) -> None:
        small = with_pools().model_copy(update={"slots_total": 1, "slots_free": 1})
        assert pool_of(await say(planner, "lease 2 slots on pool slurm-a", small)) == "slurm-a"
        refused = await say(planner, "lease 60 slots on pool slurm-a", small)
        assert isinstance(refused, Refusal)
        assert "slurm-a" in refused.remedy

    async def test_one_that_is_not_there_is_refused(self, planner: PlaybookPlanner) -> None:
        outcome = await say(planner, "lease 2 slots on pool mars", with_pools())
        assert isinstance(outcome, Refusal)
        assert outcome.code == "pool_unknown"
        assert "slurm-a" in outcome.remedy

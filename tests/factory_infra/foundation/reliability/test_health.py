"""Every move of a node's health, and every one that cannot be."""

import pytest

from factory_infra.errors import Conflict
from factory_infra.foundation.reliability.health import MOVES, Health, Trigger, next_health

EVERY = [(health, trigger) for health in Health for trigger in Trigger]


@pytest.mark.parametrize(("health", "trigger"), EVERY)
def test_a_move_is_in_the_table_or_refused_in_words(health: Health, trigger: Trigger) -> None:
    wanted = MOVES[trigger].get(health)
    if wanted is not None:
        assert next_health(health, trigger) is wanted
        return
    with pytest.raises(Conflict) as raised:
        next_health(health, trigger)
    assert raised.value.error_code == "node_health"
    assert raised.value.remedy


def test_the_way_round() -> None:
    health = Health.HEALTHY
    for trigger, follows in (
        (Trigger.DOUBT, Health.SUSPECT),
        (Trigger.DRAIN, Health.DRAINING),
        (Trigger.DOUBT, Health.DRAINING),
        (Trigger.CLEAR, Health.DRAINING),
        (Trigger.REPAIR, Health.REPAIRING),
        (Trigger.RESUME, Health.HEALTHY),
    ):
        health = next_health(health, trigger)
        assert health is follows


@pytest.mark.parametrize("trigger", [Trigger.DRAIN, Trigger.REPAIR, Trigger.RESUME])
def test_what_is_retired_stays_so(trigger: Trigger) -> None:
    with pytest.raises(Conflict):
        next_health(Health.RETIRED, trigger)


@pytest.mark.parametrize("trigger", Trigger)
def test_nothing_becomes_healthy_but_by_a_word_for_it(trigger: Trigger) -> None:
    becomes = {health for health, now in MOVES[trigger].items() if now is Health.HEALTHY and health is not Health.HEALTHY}
    assert not becomes or trigger in {Trigger.CLEAR, Trigger.RESUME}

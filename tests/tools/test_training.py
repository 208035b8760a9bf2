"""Blueprints of the catalog become plans whose every step a tool takes."""

import pytest
from pydantic import JsonValue

from agents.specialists import ROSTER
from factory_infra.errors import InvalidInput
from factory_infra.paas.catalog.blueprints import filled
from factory_infra.paas.catalog.models import CatalogEntry
from factory_infra.paas.training.blueprints.catalogue import BLUEPRINTS
from factory_infra.paas.training.blueprints.entries import entries
from factory_infra.paas.training.blueprints.jobs import checked_order
from tools.spec import reference
from tools.toolbox import TOOLS


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_step_is_one_that_its_agent_may_take(entry: CatalogEntry) -> None:
    steps = filled(entry, {"model_name": "reader", "slots": "4"})
    assert [step.id for step in steps][:3] == ["lease", "train", "release"]
    assert steps[2].always
    for step in steps:
        known: dict[str, JsonValue] = {name: "x" if reference(value) else value for name, value in step.arguments.items()}
        TOOLS[step.tool].parse(known)
        assert step.tool in ROSTER[step.agent].tools
    order = steps[1].arguments["order"]
    assert isinstance(order, dict)
    checked_order(str(steps[1].arguments["blueprint"]), order)


def test_a_slot_of_its_order_reaches_the_program() -> None:
    lora = next(each for each in entries() if each.name == "train-lora")
    order = filled(lora, {"model_name": "m", "rank": "16", "learning_rate": "0.5"})[1].arguments["order"]
    assert isinstance(order, dict) and (order["rank"], order["learning_rate"]) == (16, 0.5)
    with pytest.raises(InvalidInput):
        filled(lora, {"model_name": "m", "rank": "many"})
    with pytest.raises(InvalidInput):
        filled(lora, {"rank": "4"})


def test_every_blueprint_is_listed_for_all_teams() -> None:
    assert {each.name for each in entries()} == {f"train-{each.name}" for each in BLUEPRINTS}
    assert all(each.visibility == "shared" and "blueprint" in each.tags for each in entries())

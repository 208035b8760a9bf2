"""Blueprints: slots become arguments of steps, and nothing else."""

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.paas.catalog.blueprints import filled
from factory_infra.paas.catalog.models import Blueprint, BlueprintStep, CatalogEntry, Slot
from workflows.shelf import BLUEPRINTS, entries

SLOTS = {
    "name": Slot(required=True),
    "count": Slot(kind="int", default=1, least=1, most=4),
    "size": Slot(choices=["small", "large"], default="small"),
    "note": Slot(),
    "fast": Slot(kind="flag", default=False),
    "share": Slot(kind="float", default=0.5),
}
ARGUMENTS = {
    "name": "{name}",
    "text": "for {name}, {size}",
    "n": "{count}",
    "many": ["{count}", {"x": "{share}"}],
    "note": "{note}",
    "f": "{fast}",
}
STEP = BlueprintStep(id="a", tool="leases.acquire", agent="provisioner", summary="Make {name}", arguments=ARGUMENTS)


def entry(*steps: BlueprintStep) -> CatalogEntry:
    blueprint = Blueprint(steps=list(steps), slots=SLOTS) if steps else None
    return CatalogEntry(id="pipeline/v/b", kind="pipeline", tenant="v", name="b", description="", blueprint=blueprint)


def test_slots_become_values_of_their_kinds() -> None:
    [step] = filled(entry(STEP), {"name": "reader", "count": "3", "fast": "true"})
    assert step.summary == "Make reader"
    assert step.arguments == {"name": "reader", "text": "for reader, small", "n": 3, "many": [3, {"x": 0.5}], "f": True}


def test_a_value_is_data_and_is_not_filled_again() -> None:
    [step] = filled(entry(STEP), {"name": "{size} {note} ../x; rm"})
    assert step.arguments["name"] == "{size} {note} ../x; rm"
    assert step.tool == "leases.acquire"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, "must be given"),
        ({"name": "a", "count": 9}, "at most 4"),
        ({"name": "a", "count": 0}, "at least 1"),
        ({"name": "a", "count": 1.5}, "whole number"),
        ({"name": "a", "count": "many"}, "a number"),
        ({"name": "a", "count": True}, "whole number"),
        ({"name": "a", "size": "huge"}, "one of"),
        ({"name": "a", "share": "inf"}, "number"),
        ({"name": "a", "share": float("nan")}, "number"),
        ({"name": ["a"]}, "a text"),
        ({"name": "a" * 401}, "a text"),
        ({"name": "a", "else": 1}, "not among"),
    ],
)
def test_what_a_slot_does_not_take_is_refused_by_name(values: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidInput, match=word) as caught:
        filled(entry(STEP), values)  # type: ignore[arg-type]
    assert caught.value.error_code == "slot_invalid"


def test_an_entry_without_steps_is_no_blueprint() -> None:
    with pytest.raises(InvalidInput) as caught:
        filled(entry(), {})
    assert caught.value.error_code == "no_blueprint"


def test_what_ships_can_be_filled_and_every_entry_is_of_all_teams() -> None:
    for name in BLUEPRINTS:
        [found] = [each for each in entries() if each.name == name and each.blueprint]
        values = {slot: "x" for slot, each in (found.blueprint.slots if found.blueprint else {}).items() if each.required}
        steps = filled(found, {**values})
        assert all("{" not in str(step.arguments.get("model_name")) for step in steps)
    assert {each.tenant for each in entries()} == {"shared"}
    assert len({each.id for each in entries()}) == len(entries())

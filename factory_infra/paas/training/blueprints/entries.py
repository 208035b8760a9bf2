"""Blueprints of training as the catalog lists them: each becomes a plan that leases, trains and gives back."""

from pydantic import JsonValue
from pydantic_core import PydanticUndefined

from factory_infra.paas.catalog.models import BLUEPRINT_TAG, SHARED, BlueprintStep, CatalogEntry, Slot
from factory_infra.paas.catalog.models import Blueprint as Steps
from factory_infra.paas.training.blueprints.catalogue import BLUEPRINTS
from factory_infra.paas.training.blueprints.models import Blueprint

KINDS = {int: "int", float: "float", str: "text", bool: "flag"}
LEFT_OUT = {"processes", "targets"}
"""Of an order: what a plan seldom names; `lineshaft training run` takes it."""
LEASE, TRAIN = "lease", "train"


def entries() -> list[CatalogEntry]:
    """Every blueprint of training, for all teams."""
    return [entry(each) for each in BLUEPRINTS]


def entry(blueprint: Blueprint) -> CatalogEntry:
    """One blueprint of training."""
    return CatalogEntry(
        id=f"service/{SHARED}/train-{blueprint.name}",
        kind="service",
        tenant=SHARED,
        name=f"train-{blueprint.name}",
        description=blueprint.description,
        tags=[BLUEPRINT_TAG, "training", blueprint.name],
        facts={"environment": blueprint.environment, "nodes_max": blueprint.nodes_max},
        visibility="shared",
        blueprint=steps_of(blueprint),
    )


def steps_of(blueprint: Blueprint) -> Steps:
    """The plan: lease, train, register where an adapter comes out, release whatever happens."""
    order = order_slots(blueprint)
    lease: dict[str, JsonValue] = {"slots": "{slots}", "pool": "{pool}", "seconds": "{seconds}", "purpose": "{model_name}"}
    held: JsonValue = {"from_step": LEASE, "field": "lease_id"}
    train: dict[str, JsonValue] = {
        "blueprint": blueprint.name,
        "model_name": "{model_name}",
        "lease_id": held,
        "order": {name: f"{{{name}}}" for name in order},
        "seconds": "{seconds}",
    }
    steps = [
        BlueprintStep(id=LEASE, tool="leases.acquire", agent="provisioner", summary="lease {slots} slots", arguments=lease),
        BlueprintStep(
            id=TRAIN,
            tool="training.blueprint",
            agent="trainer",
            summary=f"{blueprint.name}: train {{model_name}}",
            arguments=train,
            after=[LEASE],
        ),
        BlueprintStep(
            id="release",
            tool="leases.release",
            agent="provisioner",
            summary="give the slots back",
            arguments={"lease_id": held},
            after=[TRAIN],
            always=True,
        ),
    ]
    if blueprint.program == "lora":
        made: dict[str, JsonValue] = {"model_name": "{model_name}", "run_id": {"from_step": TRAIN, "field": "run_id"}}
        steps.append(
            BlueprintStep(
                id="register", tool="registry.register", agent="trainer", summary="register {model_name}", arguments=made, after=[TRAIN]
            )
        )
    common = {
        "model_name": Slot(required=True, description="What is trained."),
        "slots": Slot(kind="int", default=2, least=1, description="How many slots it leases."),
        "pool": Slot(default="", description="Where; the first pool if left out."),
        "seconds": Slot(kind="int", default=3600, least=60, most=604_800, description="Its wall time, and its lease's."),
    }
    return Steps(steps=steps, slots={**common, **order})


def order_slots(blueprint: Blueprint) -> dict[str, Slot]:
    """What its order takes, each with its default."""
    found = {}
    for name, field in blueprint.order.model_fields.items():
        if name in LEFT_OUT or field.annotation not in KINDS or field.default is PydanticUndefined:
            continue
        kind = KINDS[field.annotation]
        found[name] = Slot.model_validate({"kind": kind, "default": field.default, "description": (field.description or "")[:200]})
    return found

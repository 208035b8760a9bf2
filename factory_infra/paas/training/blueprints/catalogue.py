"""The blueprints that ship."""

from factory_infra.errors import InvalidInput
from factory_infra.paas.training.blueprints.models import Blueprint, DistributedOrder, LoraOrder

NODES_MAX = 64
BLUEPRINTS = (
    Blueprint(
        name="ddp",
        description="Distributed data-parallel training with PyTorch (DDP): the whole model in every process, gradients averaged.",
        environment="torch",
        launcher="torchrun",
        program="distributed",
        strategy="ddp",
        nodes_max=NODES_MAX,
        order=DistributedOrder,
    ),
    Blueprint(
        name="fsdp",
        description="Fully sharded data-parallel training with PyTorch (FSDP2): parameters, gradients and moments cut over all processes.",
        environment="torch",
        launcher="torchrun",
        program="distributed",
        strategy="fsdp",
        nodes_max=NODES_MAX,
        order=DistributedOrder,
    ),
    Blueprint(
        name="lora",
        description="Fine-tuning of an LLM by low-rank adapters (LoRA) with transformers and peft: only the adapter is kept.",
        environment="lora",
        launcher="python",
        program="lora",
        nodes_max=1,
        order=LoraOrder,
    ),
    Blueprint(
        name="ray",
        description="Data-parallel training with Ray Train over PyTorch: a Ray of its own starts and ends with the job.",
        environment="ray",
        launcher="python",
        program="ray_train",
        nodes_max=1,
        order=DistributedOrder,
    ),
    Blueprint(
        name="sagemaker",
        description="The same DDP program as a SageMaker training job of one or more machines, in a pool of AWS whose engine is sagemaker.",
        environment="torch",
        launcher="torchrun",
        program="distributed",
        strategy="ddp",
        nodes_max=NODES_MAX,
        order=DistributedOrder,
    ),
)


def blueprint_named(name: str) -> Blueprint:
    """Return a blueprint by its name. Raises InvalidInput `blueprint_unknown`, which lists those that exist."""
    for blueprint in BLUEPRINTS:
        if blueprint.name == name:
            return blueprint
    known = ", ".join(blueprint.name for blueprint in BLUEPRINTS)
    raise InvalidInput(f"There is no blueprint {name[:80]!r}.", remedy=f"Choose one of: {known}.", code="blueprint_unknown")

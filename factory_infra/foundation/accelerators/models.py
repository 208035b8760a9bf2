"""What hardware is: slots and the pool that holds them."""

from typing import Literal

from pydantic import BaseModel, Field

from factory_infra.foundation.pools.spec import PriceClass

Placement = Literal["ours", "engine", "machines"]
"""Who says where a lease lies: we by slot index, the engine when a job starts, or machines that are made for the lease."""


class Slot(BaseModel):
    """The unit that is leased: one GPU where NVML finds any, else one CPU core."""

    index: int
    kind: Literal["gpu", "cpu"]
    name: str
    memory_gib: float
    accelerator: str = Field(default="", description="The type in the catalogue, such as H100; empty where it is none.")
    node: str = Field(default="", description="The machine that it is in; empty on this host.")
    device: str = Field(default="", description="What CUDA_VISIBLE_DEVICES calls it where that is not its index, such as a UUID.")


class MachineType(BaseModel):
    """A kind of machine that can be made in a pool."""

    name: str
    kind: Literal["gpu", "cpu"]
    accelerator: str = Field(default="", description="The type in the catalogue; empty where it has none.")
    slots: int = Field(ge=1, description="How many slots one has: its accelerators, or its vCPUs.")


class Pool(BaseModel):
    """The slots of one place."""

    name: str
    slots: list[Slot]
    note: str = ""
    placement: Placement = "ours"
    machines: list[MachineType] = Field(default=[], description="Where machines are made for a lease: what may be made, the default first.")
    price_class: PriceClass = Field(default="on_demand", description="How its machines are paid, where a lease does not say.")

    @property
    def kind(self) -> Literal["gpu", "cpu"]:
        """What a slot is here."""
        return self.slots[0].kind if self.slots else "cpu"

"""What hardware is: slots and the pool that holds them."""

from typing import Literal

from pydantic import BaseModel, Field

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


class Pool(BaseModel):
    """The slots of one place."""

    name: str
    slots: list[Slot]
    note: str = ""
    placement: Placement = "ours"

    @property
    def kind(self) -> Literal["gpu", "cpu"]:
        """What a slot is here."""
        return self.slots[0].kind if self.slots else "cpu"

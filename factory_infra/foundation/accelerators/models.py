"""What hardware is: slots and the pool that holds them."""

from typing import Literal

from pydantic import BaseModel


class Slot(BaseModel):
    """The unit that is leased: one GPU where NVML finds any, else one CPU core."""

    index: int
    kind: Literal["gpu", "cpu"]
    name: str
    memory_gib: float


class Pool(BaseModel):
    """The slots of one place."""

    name: str
    slots: list[Slot]
    note: str = ""

    @property
    def kind(self) -> Literal["gpu", "cpu"]:
        """What a slot is here."""
        return self.slots[0].kind if self.slots else "cpu"

"""What a machine tells of itself at one moment."""

from datetime import datetime

from pydantic import BaseModel, Field


class GpuReading(BaseModel):
    """One GPU. A value that its driver does not tell is None."""

    index: int
    name: str
    busy_percent: float | None = None
    memory_used_gib: float | None = None
    memory_total_gib: float | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None


class Reading(BaseModel):
    """One host, read at one moment."""

    at: datetime
    cores: int
    busy_percent: float = Field(description="How busy the cores were while this was read, all together.")
    load_1m: float
    load_5m: float
    load_15m: float
    memory_total_gib: float
    memory_available_gib: float
    swap_used_gib: float
    disk_total_gib: float = Field(description="The disk that holds the installation's data.")
    disk_free_gib: float
    files_open_max: int = Field(description="How many files one process may hold open; 0 where there is no limit.")
    gpus: list[GpuReading] = []
    note: str = Field(default="", description="What could not be read, and why.")

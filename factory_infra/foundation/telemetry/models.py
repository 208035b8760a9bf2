"""What a machine tells of itself at one moment."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

DriverState = Literal["ok", "no_driver", "driver_mismatch", "failed"]
"""no_driver: none is loaded, or its library is not here. driver_mismatch: the library is not of the driver that is loaded."""
GpuState = Literal["ok", "lost", "failed"]
"""lost: it fell off the bus. failed: it answers with an error."""
NeuronState = Literal["ok", "absent", "failed"]


class DriverReading(BaseModel):
    """The driver of the GPUs."""

    state: DriverState = "no_driver"
    version: str = ""
    cuda: str = ""
    note: str = ""


class MigReading(BaseModel):
    """One part of a GPU that was parted."""

    uuid: str
    name: str
    instance: int
    memory_used_gib: float | None = None
    memory_total_gib: float | None = None


class ProcessReading(BaseModel):
    """One process on a GPU: told to the host's own operator, to nobody else."""

    pid: int
    name: str = ""
    memory_gib: float | None = None


class GpuReading(BaseModel):
    """One GPU. A value that its driver does not tell is None, and what kind of value that is stands in `not_supported`."""

    index: int
    name: str
    uuid: str = ""
    state: GpuState = "ok"
    note: str = Field(default="", description="Why it does not answer.")
    not_supported: list[str] = []
    busy_percent: float | None = Field(default=None, description="Of the time in which any kernel ran.")
    memory_busy_percent: float | None = None
    sm_active_percent: float | None = Field(default=None, description="Of the multiprocessors that worked; where the GPU tells it.")
    sm_occupancy_percent: float | None = None
    tensor_active_percent: float | None = None
    memory_active_percent: float | None = None
    memory_used_gib: float | None = None
    memory_total_gib: float | None = None
    temperature_celsius: float | None = None
    memory_temperature_celsius: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    energy_joules: float | None = Field(default=None, description="Since the driver was loaded.")
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    slowed_by: list[str] = Field(default=[], description="Why its clocks are lower: power_cap, thermal, hardware_thermal, power_brake, …")
    ecc_corrected: int | None = Field(default=None, description="Since the driver was loaded.")
    ecc_uncorrected: int | None = Field(default=None, description="Since the driver was loaded.")
    ecc_uncorrected_lifetime: int | None = None
    rows_remapped_corrected: int | None = None
    rows_remapped_uncorrected: int | None = None
    rows_remap_pending: bool | None = Field(default=None, description="A row is remapped once the GPU is reset.")
    rows_remap_failed: bool | None = Field(default=None, description="No spare row was left: the GPU is to be replaced.")
    links: int | None = Field(default=None, description="NVLinks that it has.")
    links_up: int | None = None
    link_crc_errors: int | None = None
    link_replays: int | None = None
    link_recoveries: int | None = None
    mig: list[MigReading] = []
    processes_count: int | None = None
    processes: list[ProcessReading] = Field(default=[], description="Only for the host's own operator.")


class NeuronReading(BaseModel):
    """One device of Trainium or Inferentia."""

    index: int
    kind: str = ""
    cores_busy_percent: list[float] = Field(default=[], description="Of each of its cores in use.")
    memory_used_gib: float | None = None
    memory_total_gib: float | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None


class NeuronReport(BaseModel):
    """What `neuron-monitor` tells."""

    state: NeuronState = "absent"
    note: str = ""
    devices: list[NeuronReading] = []


class GpuReport(BaseModel):
    """The driver and every GPU, read at one moment."""

    driver: DriverReading
    gpus: list[GpuReading] = []


class GpuEvent(BaseModel):
    """What a driver tells at the moment when it happens."""

    index: int
    uuid: str
    xid: int


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
    driver: DriverReading = DriverReading()
    gpus: list[GpuReading] = []
    neuron: NeuronReport = NeuronReport()
    note: str = Field(default="", description="What could not be read, and why.")

"""What a virtual machine is: a lease of one machine, with a name, that people switch and enter."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

VmName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$")]
LoginName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
VmState = Literal["making", "pending", "running", "stopping", "stopped", "gone"]


class SeenMachine(BaseModel):
    """A machine as its provider sees it now."""

    id: str
    state: VmState
    address: str = ""
    zone: str = ""


class Vm(BaseModel):
    """A team's machine."""

    id: str = Field(description="The lease's.")
    name: str
    tenant: str
    pool: str
    machine: str = Field(description="Its type, such as g6.xlarge.")
    accelerator: str = ""
    machine_id: str = Field(default="", description="What the provider calls it; empty while it is made.")
    state: VmState
    address: str = ""
    zone: str = ""
    expires_at: datetime = Field(description="Then it is removed, with what lies on its own disks.")


class SshDoor(BaseModel):
    """How a machine is entered, for a moment."""

    vm_id: str
    user: str
    address: str
    zone: str
    seconds: int = Field(description="For so long the key is let in; a connection that stands stays.")

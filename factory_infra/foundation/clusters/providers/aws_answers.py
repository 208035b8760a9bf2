"""What AWS answers, as far as clusters read it."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_pascal

from factory_infra.foundation.clusters.models import Machine

ALIVE = frozenset({"pending", "running", "stopping", "stopped"})
STATES = {"pending": "pending", "running": "running", "stopping": "stopping", "stopped": "stopping"}


class Told(BaseModel):
    """A part of an answer; what is not read is left out."""

    model_config = ConfigDict(alias_generator=to_pascal, extra="ignore", frozen=True, populate_by_name=True)


class Tag(Told):
    """A tag."""

    key: str
    value: str


class Tagged(Told):
    """Something with tags."""

    tags: list[Tag] = []

    def tag(self, name: str) -> str:
        """The value of one of our tags, or nothing."""
        return next((each.value for each in self.tags if each.key == f"lineshaft:{name}"), "")


class Named(Told):
    """A state."""

    name: str = ""


class Placement(Told):
    """Where a machine stands."""

    availability_zone: str = ""


class Instance(Tagged):
    """A machine of EC2."""

    instance_id: str
    instance_type: str = ""
    state: Named = Named()
    launch_time: datetime | None = None
    private_ip_address: str = ""
    placement: Placement = Placement()
    instance_lifecycle: str = ""
    capacity_reservation_id: str = ""

    @property
    def alive(self) -> bool:
        """Whether it is there, and is not ending."""
        return self.state.name in ALIVE

    @property
    def fleet_id(self) -> str:
        """The fleet that launched it."""
        return next((each.value for each in self.tags if each.key == "aws:ec2:fleet-id"), "")

    def machine(self) -> Machine:
        """The machine in our words."""
        return Machine(
            id=self.instance_id,
            type=self.instance_type,
            state=STATES.get(self.state.name, "gone"),
            zone=self.placement.availability_zone,
            address=self.private_ip_address,
            price_class="spot" if self.instance_lifecycle == "spot" else "on_demand",
            launched_at=self.launch_time,
        )


class Reservation(Told):
    """Machines that one call launched."""

    instances: list[Instance] = []


class Template(Tagged):
    """A launch template: of a fleet it is also the record of what was asked for."""

    launch_template_id: str
    launch_template_name: str = ""
    create_time: datetime | None = None


class Launched(Told):
    """Machines of one type that a fleet launched."""

    instance_ids: list[str] = []
    instance_type: str = ""
    lifecycle: str = ""


class Shortage(Told):
    """Why a fleet did not launch some of them."""

    error_code: str = ""
    error_message: str = ""


class Fleet(Told):
    """What a fleet launched, and what not."""

    fleet_id: str = ""
    instances: list[Launched] = []
    errors: list[Shortage] = []

    @property
    def ids(self) -> list[str]:
        """All machines."""
        return [each for launched in self.instances for each in launched.instance_ids]


class NetworkInfo(Told):
    """What a machine's network can."""

    efa_supported: bool = False
    efa_info: dict[str, int] = Field(default={})


class ProcessorInfo(Told):
    """A machine's processor."""

    supported_architectures: list[str] = []


class MachineType(Told):
    """What is known of a type of machine."""

    instance_type: str
    network_info: NetworkInfo = NetworkInfo()
    processor_info: ProcessorInfo = ProcessorInfo()
    neuron_info: dict[str, object] | None = None
    inference_accelerator_info: dict[str, object] | None = None
    gpu_info: dict[str, object] | None = None

    @property
    def efa_interfaces(self) -> int:
        """How many EFA interfaces it may have."""
        return self.network_info.efa_info.get("MaximumEfaInterfaces", 1) if self.network_info.efa_supported else 0

    @property
    def neuron(self) -> bool:
        """Whether its accelerators are Trainium or Inferentia."""
        return bool(self.neuron_info or self.inference_accelerator_info) or self.instance_type.startswith(("trn", "inf"))

    @property
    def arm(self) -> bool:
        """Whether its processor is an Arm."""
        return "arm64" in self.processor_info.supported_architectures

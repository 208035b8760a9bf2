"""Faults of the protocol: an answer that is an error, one that never comes though the effect happened, one that is late."""

from dataclasses import dataclass, field
from typing import Literal

FaultKind = Literal["throttled", "internal", "dropped", "dropped_before", "late", "refused"]
"""`dropped`: the effect happens and the connection breaks before the answer. `dropped_before`: it breaks and nothing happened."""
CODES = {
    "throttled": ("RequestLimitExceeded", "Request limit exceeded.", 503),
    "internal": ("InternalError", "An internal error has occurred.", 500),
}


@dataclass
class Fault:
    """What happens to the next `times` calls of an action; any action of the service where it is empty."""

    kind: FaultKind
    service: str = "ec2"
    action: str = ""
    times: int = 1
    seconds: float = 0.0
    code: str = ""
    status: int = 400
    skip: int = 0
    """So many calls pass before it begins."""

    def takes(self, service: str, action: str) -> bool:
        """Whether it befalls this call; counts it."""
        if self.times < 1 or service != self.service or (self.action and self.action != action):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True

    @property
    def error(self) -> tuple[str, str, int] | None:
        """Code, message and status of the answer, where it is an error."""
        if self.code:
            return self.code, "injected", self.status
        return CODES.get(self.kind)


@dataclass
class FaultPlan:
    """The faults that are set, in the order in which they are tried."""

    faults: list[Fault] = field(default_factory=list)

    def add(self, kind: FaultKind, action: str = "", **more: object) -> Fault:
        """Set a fault."""
        fault = Fault(kind, action=action, **more)  # type: ignore[arg-type]
        self.faults.append(fault)
        return fault

    def of(self, service: str, action: str) -> Fault | None:
        """The fault that befalls this call, if any."""
        return next((fault for fault in self.faults if fault.takes(service, action)), None)

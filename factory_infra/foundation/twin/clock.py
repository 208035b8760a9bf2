"""Virtual time: seconds since a simulated data centre was opened, so many for each real one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Anchor:
    """A moment that is known in both times, and how fast virtual time goes from there on."""

    real: float = 0.0
    """Unix time."""
    virtual: float = 0.0
    speed: float = 1.0

    def virtual_at(self, real: float) -> float:
        """The virtual time at a real one; never before the anchor, also where the host's clock was set back."""
        return self.virtual + max(0.0, real - self.real) * self.speed

    def real_at(self, virtual: float) -> float:
        """The Unix time at a virtual one."""
        return self.real + (virtual - self.virtual) / self.speed

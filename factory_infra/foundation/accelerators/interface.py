"""The seam to hardware."""

from typing import Protocol

from factory_infra.foundation.accelerators.models import Pool


class Accelerators(Protocol):
    """Tells what hardware exists."""

    async def pool(self) -> Pool:
        """Return the slots that may be handed out. Reads only; never raises for a missing driver: that is a state."""
        ...

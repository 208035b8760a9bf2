"""The seam to hardware."""

from typing import Protocol

from factory_infra.foundation.accelerators.models import Pool


class Accelerators(Protocol):
    """Tells what hardware exists in one pool."""

    async def pool(self) -> Pool:
        """Return the slots that may be handed out. Reads only; never raises for a missing driver: that is a state.

        Raises Unavailable (retryable) when the place does not answer, Forbidden when it does not let us in.
        """
        ...


class AcceleratorPools(Protocol):
    """Tells what hardware exists in every pool of the installation."""

    async def pool(self, name: str = "") -> Pool:
        """Return a pool by its name, the default one without. Raises NotFound `pool_unknown`, and what its provider raises."""
        ...

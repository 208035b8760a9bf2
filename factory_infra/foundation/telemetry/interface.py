"""The seam to what machines tell of themselves."""

from typing import Protocol

from factory_infra.foundation.telemetry.models import Reading


class Telemetry(Protocol):
    """Reads gauges."""

    async def read(self) -> Reading:
        """Read everything once, within a second. Reads only; never raises for a missing driver: that is a note."""
        ...

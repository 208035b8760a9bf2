"""The seam to the walls between tenants."""

from typing import Protocol

from factory_infra.iaas.isolation.models import Attempt, Wall


class Walls(Protocol):
    """Builds, checks and attacks the walls of one pool. Every method is idempotent."""

    async def ensure(self, tenant: str) -> list[Wall]:
        """Put up every wall that this pool can have around a tenant; what it cannot have is told as `not_available`, with the reason."""
        ...

    async def check(self, tenant: str) -> list[Wall]:
        """Tell which walls stand. Changes nothing."""
        ...

    async def attack(self, attacker: str, victim: str) -> list[Attempt]:
        """With the attacker's own means in this pool, try to see, stop, read and use what is the victim's; harmless when refused."""
        ...

    async def remove(self, tenant: str) -> None:
        """Take the walls of a tenant that is gone down again."""
        ...

"""Bodies of the routes over isolation."""

from pydantic import Field

from api.schemas.chat import Body
from factory_infra.foundation.pools.spec import Name
from factory_infra.surfaces.bait import TENANTS


class NewAudit(Body):
    """Whom to audit. The two teams of audits are made at first and have nothing else."""

    attacker: str = Field(default=TENANTS[0], min_length=1, max_length=64)
    victim: str = Field(default=TENANTS[1], min_length=1, max_length=64)
    pool: Name | None = Field(default=None, description="Only this pool beside the doors that all share; every pool if null.")
    doors: bool = Field(default=True, description="Whether REST, gateway, MCP and the command line are tried too.")

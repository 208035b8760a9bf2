"""What walls a tenant has in a pool, and what an audit of them found."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

Door = Literal["see", "stop", "read_logs", "use_data", "spend"]
"""What one tenant tries to do with what is another's."""


class Wall(BaseModel):
    """One wall around one tenant in one pool."""

    name: str = Field(description="What it is: iam_role, namespace, network_policy, slurm_account, unix_user, cgroup, …")
    state: Literal["up", "missing", "broken", "not_available"]
    note: str = ""


class Attempt(BaseModel):
    """One try of an audit: who tried what on whom, through what, and what came of it."""

    door: Door
    through: str = Field(description="The surface that was tried: api, cli, slurm, kubernetes, aws, host, …")
    tried: str
    refused: bool
    by: str = Field(default="", description="What refused it, in the words of the one that did.")


class AuditReport(BaseModel):
    """What an audit of two tenants found in one pool."""

    pool: str
    attacker: str
    victim: str
    at: datetime
    walls: list[Wall]
    attempts: list[Attempt]

    @property
    def holds(self) -> bool:
        """Whether every attempt was refused and no wall that can be had is missing."""
        return all(each.refused for each in self.attempts) and all(wall.state in {"up", "not_available"} for wall in self.walls)

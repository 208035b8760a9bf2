"""Messages about comparing what exists with what the ledger owns. Light: workflow files import it."""

from typing import Literal

from pydantic import BaseModel, Field

SCHEDULE = "lineshaft-reconcile"
EVERY_SECONDS = 300


class ReconcileInput(BaseModel):
    """Which pools; all in which machines are made where none is named."""

    pools: list[str] = Field(default=[], max_length=100)


class PoolQuestion(BaseModel):
    """One pool."""

    pool: str


class Pools(BaseModel):
    """Names of pools."""

    names: list[str]


class Told(BaseModel):
    """One difference, and what was done about it."""

    kind: str
    cluster_id: str
    tenant: str = ""
    lease_id: str = ""
    machines: list[str] = []
    words: str
    outcome: Literal["reported", "removed", "ended", "failed"]


class PoolReport(BaseModel):
    """What was found in one pool."""

    pool: str
    clusters: int = 0
    machines: int = 0
    findings: list[Told] = []
    error: str = Field(default="", description="Why it could not be compared, in words.")

    @property
    def equal(self) -> bool:
        """Whether what exists is what is owned."""
        return not self.findings and not self.error


class ReconcileReport(BaseModel):
    """What was found in all of them."""

    pools: list[PoolReport] = []

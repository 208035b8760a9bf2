"""The seam to what runs an endpoint's servers: processes of this host, deployments of a cluster, endpoints of a cloud."""

from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel

from factory_infra.paas.deployments.providers.wire import Answer
from factory_infra.paas.registry.models import ModelVersion


class Server(BaseModel):
    """A running server of one version."""

    job_id: str
    port: int
    """On this host; 0 for a server elsewhere, which is found by its id."""


@dataclass(frozen=True)
class Keep:
    """Which servers of an endpoint stay: by their whole id, or by all of it but the number of the attempt."""

    ids: frozenset[str] = frozenset()
    bases: frozenset[str] = frozenset()

    def spares(self, job_id: str) -> bool:
        """Whether this one stays."""
        return job_id in self.ids or base_of(job_id) in self.bases


def base_of(job_id: str) -> str:
    """A server's id without the number of its attempt."""
    return job_id.rpartition("-")[0]


class Serving(Protocol):
    """Starts, asks and stops servers in one place."""

    def prefix(self, version: ModelVersion) -> str:
        """How the ids of a version's servers begin. Raises InvalidInput for a version that is not served here."""
        ...

    async def start(self, endpoint: str, version: ModelVersion, job_id: str) -> Server:
        """Start a server and wait until it has proved itself on held-out rows.

        Idempotent by the id, `BASE-NUMBER`; the number is raised past servers of this base that have ended. Raises EffectFailed
        (endpoint_unhealthy): then nothing is left running.
        """
        ...

    async def ask(self, tenant: str, server: Server, rows: list[list[float]]) -> Answer:
        """Ask a server. Raises InvalidInput for rows that do not fit, Unavailable when it does not answer."""
        ...

    async def answers(self, tenant: str, server: Server) -> bool:
        """Whether the server is up."""
        ...

    async def stop_others(self, tenant: str, endpoint: str, keep: Keep) -> None:
        """End every server of an endpoint but some. What is open is answered first."""
        ...

"""Which class builds and attacks the walls behind each provider of pools."""

from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.loading import Built, provider_class
from factory_infra.foundation.pools.spec import LocalPool, PoolSpec
from factory_infra.iaas.isolation.interface import Walls
from factory_infra.iaas.isolation.providers.local import HostJobs, LocalWalls
from factory_infra.settings import Settings

PROVIDERS: dict[str, str] = {
    "local": "factory_infra.iaas.isolation.providers.local:LocalWalls",
    "slurm": "factory_infra.iaas.isolation.providers.slurm:SlurmWalls",
    "kubernetes": "factory_infra.iaas.isolation.providers.kubernetes:KubernetesWalls",
    "aws": "factory_infra.iaas.isolation.providers.aws:AwsWalls",
    "twin": "factory_infra.iaas.isolation.providers.twin:twin_walls",
}
"""A new provider is one module and one line here."""


def build(pool: PoolSpec, settings: Settings, jobs: HostJobs | None = None) -> Walls:
    """Build what knows the walls of a pool. Connects nowhere. On this host walls stand around each job: it needs what runs them."""
    if isinstance(pool, LocalPool) and jobs is not None:
        return LocalWalls(pool, settings, jobs)
    made: Walls = provider_class(PROVIDERS[pool.provider])(pool, settings)
    return made


class WallPools:
    """The walls of all pools.

    Args:
        book: the pools.
        settings: what providers are built with.
        jobs: what runs the jobs of this host.
    """

    def __init__(self, book: PoolBook, settings: Settings, jobs: HostJobs | None = None) -> None:
        self._book = book
        self._built: Built[Walls] = Built(lambda spec: build(spec, settings, jobs))

    def names(self) -> list[str]:
        """Every pool, the default one first."""
        return [pool.name for pool in self._book.all()]

    def of(self, pool: str) -> Walls:
        """Return what knows the walls of a pool. Raises NotFound."""
        return self._built.of(self._book.named(pool))

"""Which class makes machines behind each provider of pools that can."""

from factory_infra.errors import InvalidInput
from factory_infra.foundation.clusters.interface import Clusters
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.loading import Built, provider_class
from factory_infra.settings import Settings

PROVIDERS: dict[str, str] = {
    "aws": "factory_infra.foundation.clusters.providers.aws:AwsClusters",
    "twin": "factory_infra.foundation.clusters.providers.twin:TwinClusters",
}
"""A new provider is one module and one line here. On other pools machines are there already, and none is made."""


class ClusterPools:
    """The makers of machines of all pools that have one."""

    def __init__(self, book: PoolBook, settings: Settings) -> None:
        self._book = book
        self._built: Built[Clusters] = Built(lambda spec: provider_class(PROVIDERS[spec.provider])(spec, settings))

    def names(self) -> list[str]:
        """The pools in which machines are made."""
        return [pool.name for pool in self._book.all() if pool.provider in PROVIDERS]

    def of(self, pool: str) -> Clusters:
        """Return what makes machines in a pool. Raises NotFound, or InvalidInput `not_offered` where none are made."""
        spec = self._book.named(pool)
        if spec.provider not in PROVIDERS:
            reason = f"Pool '{spec.name}' ({spec.provider}) makes no machines: those that it has are there."
            raise InvalidInput(reason, remedy=f"Pools that do: {', '.join(self.names()) or 'none'}.", code="not_offered")
        return self._built.of(spec)

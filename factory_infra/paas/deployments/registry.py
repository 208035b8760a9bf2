"""Which class runs endpoints' servers behind each provider of pools."""

from collections.abc import Callable
from typing import cast

from factory_infra.errors import InvalidInput
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.loading import Built, provider_class
from factory_infra.foundation.pools.spec import PoolSpec
from factory_infra.paas.deployments.serving import Serving
from factory_infra.paas.registry.interface import Registry
from factory_infra.settings import Settings

PROVIDERS: dict[str, str] = {
    "kubernetes": "factory_infra.paas.deployments.providers.kubernetes:KubernetesServing",
    "aws": "factory_infra.paas.deployments.providers.sagemaker:SageMakerServing",
}
"""A new provider is one module and one line here. This host's is one for all its pools, and built by who puts the factory together."""
ServingClass = Callable[[PoolSpec, Settings, Registry], Serving]


class ServingPools:
    """What runs servers in each pool. Connects when it is first asked.

    Args:
        here: what runs servers on this host.
    """

    def __init__(self, pools: PoolBook, settings: Settings, registry: Registry, here: Serving) -> None:
        self._pools = pools
        self._settings = settings
        self._registry = registry
        self._here = here
        self._built: Built[Serving] = Built(self._build)

    def of(self, pool: str) -> Serving:
        """What runs servers in a pool. Raises NotFound `pool_unknown`, InvalidInput `pool_serves_not`."""
        spec = self._pools.named(pool)
        return self._here if spec.provider == "local" else self._built.of(spec)

    def _build(self, spec: PoolSpec) -> Serving:
        if spec.provider not in PROVIDERS:
            raise InvalidInput(
                f"Endpoints are not served in pool '{spec.name}': it is {spec.provider}.",
                remedy=f"Use this host, or a pool of {' or '.join(PROVIDERS)}.",
                code="pool_serves_not",
            )
        made = cast("ServingClass", provider_class(PROVIDERS[spec.provider]))
        return made(spec, self._settings, self._registry)

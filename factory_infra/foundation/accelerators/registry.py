"""Which class tells of the hardware behind each provider of pools."""

from factory_infra.foundation.accelerators.interface import Accelerators
from factory_infra.foundation.accelerators.providers.local import LocalAccelerators
from factory_infra.foundation.pools.loading import provider_class
from factory_infra.foundation.pools.spec import LocalPool, PoolSpec
from factory_infra.settings import Settings

PROVIDERS: dict[str, str] = {
    "slurm": "factory_infra.foundation.accelerators.providers.slurm:SlurmAccelerators",
    "kubernetes": "factory_infra.foundation.accelerators.providers.kubernetes:KubernetesAccelerators",
    "aws": "factory_infra.foundation.accelerators.providers.aws:AwsAccelerators",
    "twin": "factory_infra.foundation.accelerators.providers.twin:TwinAccelerators",
}
"""A new provider is one module and one line here. This host's is built at once: everything needs it."""


def build(pool: PoolSpec, settings: Settings) -> Accelerators:
    """Build what tells of a pool's hardware. Connects nowhere."""
    if isinstance(pool, LocalPool):
        return LocalAccelerators(pool.slots_max if pool.slots_max is not None else settings.slots_max)
    made: Accelerators = provider_class(PROVIDERS[pool.provider])(pool, settings)
    return made

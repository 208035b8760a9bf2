"""Which class runs jobs behind each provider of pools."""

from factory_infra.foundation.pools.loading import provider_class
from factory_infra.foundation.pools.spec import PoolSpec
from factory_infra.iaas.jobs.interface import Jobs
from factory_infra.settings import Settings

PROVIDERS: dict[str, str] = {
    "slurm": "factory_infra.iaas.jobs.providers.slurm:SlurmJobs",
    "kubernetes": "factory_infra.iaas.jobs.providers.kubernetes:KubernetesJobs",
    "aws": "factory_infra.iaas.jobs.providers.aws:AwsJobs",
    "twin": "factory_infra.iaas.jobs.providers.twin:twin_jobs",
}
"""A new provider is one module and one line here. This host's is one for all its pools, and built by who puts the factory together."""


def build(pool: PoolSpec, settings: Settings) -> Jobs:
    """Build what runs jobs in a pool that is not this host. Connects nowhere."""
    made: Jobs = provider_class(PROVIDERS[pool.provider])(pool, settings)
    return made

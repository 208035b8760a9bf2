"""Which class keeps features behind each name of a store."""

from factory_infra.database import Database
from factory_infra.errors import InvalidInput
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.paas.features.interface import FeatureStore
from factory_infra.paas.features.providers.feast_local import FeastLocal
from factory_infra.paas.features.providers.sagemaker import SageMakerFeatures
from factory_infra.settings import Settings

FEAST = "feast_local"
SAGEMAKER = "sagemaker"


class FeatureStores:
    """The stores of an installation, each made when it is first asked for: `feast_local`, or `sagemaker:POOL` in a pool's account.

    Args:
        database: definitions and newest values.
        pools: where accounts are named.
        settings: where the history lies.
    """

    def __init__(self, database: Database, pools: PoolBook, settings: Settings) -> None:
        self._database = database
        self._pools = pools
        self._settings = settings
        self._made: dict[str, FeastLocal | SageMakerFeatures] = {}

    def of(self, name: str) -> FeatureStore:
        """The store of a name. Raises InvalidInput `feature_store_unknown`, and NotFound for a pool."""
        if name not in self._made:
            self._made[name] = self._build(name)
        return self._made[name]

    async def close(self) -> None:
        """End what they hold."""
        for store in self._made.values():
            await store.close()

    def _build(self, name: str) -> FeastLocal | SageMakerFeatures:
        kind, _, pool = name.partition(":")
        url = self._settings.database_url
        if kind == FEAST and not pool and url is not None:
            address = self._settings.features_url or str(self._settings.home / "features")
            return FeastLocal(self._database, url, address, self._settings.home / "features" / ".laid-out")
        spec = self._pools.named(pool) if kind == SAGEMAKER and pool else None
        if not isinstance(spec, AwsPool):
            raise InvalidInput(
                f"There is no feature store {name[:80]!r}.",
                remedy=f"Take {FEAST}, or {SAGEMAKER}:POOL with a pool of AWS.",
                code="feature_store_unknown",
            )
        return SageMakerFeatures(spec, self._settings)

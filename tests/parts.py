"""A factory for tests: real teams, leases, ledger, records, catalog and jobs; what needs another server is not connected."""

from dataclasses import replace

from pydantic import SecretStr

from factory_infra.factory import Factory, connect
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.iaas.leases.service import Leases
from factory_infra.paas.tenants.bootstrap import key_pepper
from factory_infra.paas.tenants.service import Tenants
from factory_infra.saas.metering.service import Metering
from factory_infra.settings import Settings

NOWHERE = "http://127.0.0.1:9"
"""An address at which nothing answers."""


class FixedPool:
    """A pool of so many CPU slots."""

    def __init__(self, slots: int) -> None:
        self._pool = Pool(name="local", slots=[Slot(index=index, kind="cpu", name="core", memory_gib=1) for index in range(slots)])

    async def pool(self, name: str = "") -> Pool:
        """The pool."""
        return self._pool


def factory_with_slots(connected: Settings, slots: int) -> Factory:
    """Build a factory over a migrated database, with a pool of so many slots."""
    known = {"mlflow_url": NOWHERE, "chroma_url": NOWHERE, "model_server_url": NOWHERE, "model_server_key": SecretStr("k")}
    built = connect(connected.model_copy(update=known))
    pool = FixedPool(slots)
    leases = Leases(built.database, pool)
    return replace(
        built,
        accelerators=pool,
        leases=leases,
        tenants=Tenants(built.database, key_pepper(connected)),
        metering=Metering(built.database, built.metering.prices, leases),
    )

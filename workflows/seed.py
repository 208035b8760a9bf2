"""What an installation has from its first start: the administrators' team and the datasets that ship."""

from contextlib import suppress
from decimal import Decimal

from factory_infra.errors import Conflict
from factory_infra.factory import Factory
from factory_infra.paas.catalog.models import SHARED, CatalogEntry
from factory_infra.paas.tenants.models import PLATFORM
from factory_infra.paas.training.datasets import DATASETS

PLATFORM_BUDGET = Decimal(100)


async def seed(factory: Factory) -> None:
    """Write what is missing; idempotent."""
    with suppress(Conflict):
        await factory.tenants.create(PLATFORM, quota_slots=0, budget=PLATFORM_BUDGET)
    for dataset in DATASETS:
        entry = CatalogEntry(
            id=f"dataset/{SHARED}/{dataset.name}",
            kind="dataset",
            tenant=SHARED,
            name=dataset.name,
            description=dataset.description,
            facts={"rows": dataset.rows, "features": dataset.features, "classes": dataset.classes, "task": dataset.task},
        )
        await factory.catalog.put(entry)

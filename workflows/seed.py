"""What an installation has from its first start: the administrators' team the datasets that ship, and what the platform lists."""

from factory_infra.factory import Factory
from factory_infra.paas.catalog.models import SHARED, CatalogEntry
from factory_infra.paas.tenants.bootstrap import ensure_platform_team
from factory_infra.paas.training.blueprints.entries import entries
from factory_infra.paas.training.datasets import DATASETS
from workflows.shelf import shelve


async def seed(factory: Factory) -> None:
    """Write what is missing; idempotent."""
    await ensure_platform_team(factory.tenants)
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
    for blueprint in entries():
        await factory.catalog.put(blueprint)
    await shelve(factory)

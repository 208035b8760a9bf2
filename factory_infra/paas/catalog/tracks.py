"""What the platform itself notes in the lineage, and lists, when models are registered, go live, and features are defined."""

from collections.abc import Sequence

from factory_infra.database import utcnow
from factory_infra.paas.catalog.lineage import Lineage, node
from factory_infra.paas.catalog.models import SHARED, Badge, CatalogEntry, Level
from factory_infra.paas.catalog.service import Catalog
from factory_infra.paas.features.models import StoredView, TrainingSet
from factory_infra.paas.registry.models import ModelVersion

SET = "set:"
GOOD, FAIR = 0.9, 0.75
"""A share of right answers from which a version is called good, or fair."""


def data_node(tenant: str, dataset: str, shipped: Sequence[str]) -> str:
    """The data that a run read, by the name that it was asked under."""
    if dataset.startswith(SET):
        return node("training_set", dataset.removeprefix(SET))
    return node("dataset", SHARED if dataset in shipped else tenant, *dataset.split("/")[-2:])


def invoice_node(tenant: str) -> str:
    """The invoice that what a team uses now will stand on."""
    return node("invoice", tenant, f"{utcnow():%Y-%m}")


async def registered(lineage: Lineage, version: ModelVersion, entry_id: str, plan_id: str, shipped: Sequence[str]) -> None:
    """Note what a version was made from: data, run, plan, and the invoice that its training stands on. Idempotent."""
    if not version.run_id:
        return
    run = node("run", version.run_id)
    if version.dataset:
        await lineage.link(version.tenant, data_node(version.tenant, version.dataset, shipped), run, "trained")
    await lineage.link(version.tenant, run, entry_id, "registered")
    if plan_id:
        await lineage.link(version.tenant, node("plan", plan_id), run, "ran")
        await lineage.link(version.tenant, node("plan", plan_id), invoice_node(version.tenant), "billed")


async def deployed(lineage: Lineage, tenant: str, endpoint_id: str, model_id: str) -> None:
    """Note which version an endpoint answers with, and the invoice that it stands on. Idempotent."""
    await lineage.link(tenant, model_id, endpoint_id, "deployed")
    await lineage.link(tenant, endpoint_id, invoice_node(tenant), "billed")


def quality(metric: str, value: float, data: str) -> Badge:
    """What a measured share of right answers says at a glance."""
    level: Level = "good" if value >= GOOD else "fair" if value >= FAIR else "poor"
    return Badge(name="quality", value=f"{metric} {value:.1%}", level=level, basis=f"held-out rows of {data}"[:200])


class FeatureShelf:
    """Lists feature views, and notes what training sets were joined from."""

    def __init__(self, catalog: Catalog, lineage: Lineage) -> None:
        self._catalog = catalog
        self._lineage = lineage

    async def defined(self, view: StoredView) -> None:
        """List the version that is in use."""
        names = ", ".join(each.name for each in view.features)
        keys = ", ".join(key.name for key in view.keys)
        await self._catalog.put(
            CatalogEntry(
                id=feature_id(view.tenant, view.name),
                kind="feature",
                tenant=view.tenant,
                name=view.name,
                version=str(view.version),
                owner=view.created_by,
                description=f"{view.description} Features {names} by {keys}."[:4000].strip(),
                facts={"features": names[:400], "keys": keys[:400], "ttl_seconds": view.ttl_seconds, "provider": view.provider},
                url=f"/v1/features/views/{view.name}",
            ),
            keep=True,
        )

    async def retired(self, tenant: str, name: str) -> None:
        """Take a view out of which no version is in use."""
        await self._catalog.remove(feature_id(tenant, name), tenant=tenant)

    async def joined(self, made: TrainingSet) -> None:
        """Note what a training set was joined from."""
        for title in made.views:
            name, _, version = title.partition("@")
            source = node("feature_view", made.tenant, name, version)
            await self._lineage.link(made.tenant, feature_id(made.tenant, name), source, "made")
            await self._lineage.link(made.tenant, source, node("training_set", made.id), "joined")


def feature_id(tenant: str, name: str) -> str:
    """The id under which the catalog lists a feature view."""
    return f"feature/{tenant}/{name}"

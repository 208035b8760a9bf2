"""Lists datasets and pipelines in the catalog as they come and go."""

from factory_infra.paas.catalog.lineage import node
from factory_infra.paas.catalog.models import CatalogEntry
from factory_infra.paas.catalog.service import Catalog
from factory_infra.paas.training.data.models import DatasetVersion
from factory_infra.paas.training.pipelines.models import PipelineVersion

NAMED_MAX = 20


class Shelf:
    """Writes entries; the same again changes nothing."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def dataset(self, kept: DatasetVersion) -> None:
        """List a version of a dataset."""
        names = ", ".join(column.name for column in kept.columns[:NAMED_MAX])
        said = kept.description or f"Dataset {kept.name}"
        await self._catalog.put(
            CatalogEntry(
                id=node("dataset", kept.tenant, kept.name, kept.version),
                kind="dataset",
                tenant=kept.tenant,
                name=kept.name,
                description=f"{said}: version {kept.version}, {kept.rows} rows of {names}."[:4000],
                version=str(kept.version),
                owner=kept.created_by[:160],
                facts={"rows": kept.rows, "digest": kept.digest, "format": kept.format, "bytes": kept.bytes},
                url=f"/v1/datasets/{kept.name}/versions/{kept.version}?tenant={kept.tenant}",
            )
        )

    async def pipeline(self, kept: PipelineVersion, in_use: bool) -> None:
        """List a pipeline by its newest version, or take it out."""
        name = node("pipeline", kept.tenant, kept.name)
        if not in_use:
            await self._catalog.remove(name)
            return
        steps = kept.document.get("steps")
        ids = [str(each.get("id")) for each in steps if isinstance(each, dict)] if isinstance(steps, list) else []
        said = str(kept.document.get("description") or f"Pipeline {kept.name}")
        await self._catalog.put(
            CatalogEntry(
                id=name,
                kind="pipeline",
                tenant=kept.tenant,
                name=kept.name,
                description=f"{said}: {' → '.join(ids[:NAMED_MAX])}."[:4000],
                version=str(kept.version),
                owner=kept.created_by[:160],
                facts={"steps": len(ids), "digest": kept.digest},
                url=f"/v1/pipelines/{kept.name}?tenant={kept.tenant}",
            )
        )

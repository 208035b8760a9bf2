"""Tools over the model registry."""

from factory_infra.errors import LineshaftError, NotFound, PostconditionFailed
from factory_infra.paas.catalog.models import CatalogEntry
from factory_infra.paas.catalog.tracks import quality, registered
from factory_infra.paas.registry.models import ModelVersion
from factory_infra.paas.training.datasets import DATASETS
from tools.plan import DryRun, Effect
from tools.spec import Arguments, Raw, Result, Tool, ToolContext, text_argument

SHIPPED = [dataset.name for dataset in DATASETS]


class RegisterArguments(Arguments):
    """Which run, under which name."""

    model_name: str
    run_id: str


class VersionLine(Result):
    """One version of a model, with its lineage."""

    model_name: str
    version: int
    dataset: str
    dataset_digest: str
    algorithm: str
    accuracy: float | None
    run_id: str
    run_url: str
    entry_id: str


def entry_id(version: ModelVersion) -> str:
    """The id under which the catalog lists a version."""
    return f"model/{version.tenant}/{version.model_name}/{version.version}"


def line(version: ModelVersion) -> VersionLine:
    """Shape a version for a reader."""
    return VersionLine(
        model_name=version.model_name,
        version=version.version,
        dataset=version.dataset,
        dataset_digest=version.dataset_digest,
        algorithm=version.algorithm,
        accuracy=version.metrics.get("accuracy"),
        run_id=version.run_id,
        run_url=version.run_url,
        entry_id=entry_id(version),
    )


def catalog_entry(version: ModelVersion, plan_id: str, owner: str = "") -> CatalogEntry:
    """Describe a version for the catalog."""
    accuracy = version.metrics.get("accuracy")
    measured = f" with accuracy {accuracy:.4f} on held-out rows" if accuracy is not None else ""
    return CatalogEntry(
        id=entry_id(version),
        kind="model",
        tenant=version.tenant,
        name=version.model_name,
        description=f"{version.model_name} version {version.version}: a {version.algorithm} classifier trained on "
        f"{version.dataset}{measured}.",
        version=str(version.version),
        owner=owner,
        tags=[tag.lower() for tag in (version.algorithm, version.dataset) if tag],
        badges=[quality("accuracy", accuracy, version.dataset)] if accuracy is not None else [],
        facts={
            "version": version.version,
            "dataset": version.dataset,
            "dataset_digest": version.dataset_digest,
            "accuracy": accuracy,
            "algorithm": version.algorithm,
            "run_id": version.run_id,
            "plan_id": plan_id,
        },
        url=version.run_url,
    )


async def register(context: ToolContext, arguments: RegisterArguments) -> VersionLine:
    """Register a finished run's model as the next version of a name, and list it in the catalog."""
    version = await context.factory.registry.register(context.tenant, arguments.model_name, arguments.run_id, context.key)
    entry = catalog_entry(version, context.plan_id, context.actor)
    await context.factory.catalog.put(entry, keep=True)
    await registered(context.factory.lineage, version, entry.id, context.plan_id, SHIPPED)
    return line(version)


async def verify_register(context: ToolContext, arguments: RegisterArguments, result: VersionLine) -> None:
    """The registry has the version, of this run."""
    version = await context.factory.registry.get(context.tenant, arguments.model_name, result.version)
    if version.run_id != arguments.run_id or version.archived:
        raise PostconditionFailed(f"{version.model_name} version {version.version} is of run {version.run_id}.")


async def undo_register(context: ToolContext, arguments: RegisterArguments, result: VersionLine) -> str:
    """Archive the version and take it out of the catalog."""
    await context.factory.registry.archive(context.tenant, result.model_name, result.version)
    await context.factory.catalog.remove(result.entry_id)
    return f"{result.model_name} version {result.version} archived"


class ListArguments(Arguments):
    """All versions, or those of one model."""

    model_name: str | None = None


class VersionList(Result):
    """Versions, newest first."""

    versions: list[VersionLine]


async def list_versions(context: ToolContext, arguments: ListArguments) -> VersionList:
    """List the team's model versions with the data they were trained on and how well they do."""
    versions = await context.factory.registry.list(context.tenant)
    return VersionList(versions=[line(each) for each in versions if arguments.model_name in (None, each.model_name)])


class BestArguments(Arguments):
    """Of which dataset, or of which name."""

    dataset: str | None = None
    model_name: str | None = None


async def best(context: ToolContext, arguments: BestArguments) -> VersionLine:
    """Find the version with the highest accuracy on held-out rows, for a dataset or a model name. Raises NotFound."""
    versions = [
        each
        for each in await context.factory.registry.list(context.tenant)
        if arguments.dataset in (None, each.dataset) and arguments.model_name in (None, each.model_name) and "accuracy" in each.metrics
    ]
    if not versions:
        what = arguments.model_name or arguments.dataset or "any dataset"
        raise NotFound(f"Team {context.tenant} has no trained model for {what}.", code="model_unknown", remedy="Train one first.")
    return line(max(versions, key=lambda each: (each.metrics["accuracy"], each.version)))


async def dry_run_register(context: ToolContext, raw: Raw) -> DryRun:
    """Tell which version it would become."""
    name = text_argument(raw, "model_name") or ""
    try:
        newest = await context.factory.registry.get(context.tenant, name)
        return DryRun(reason=f"follows version {newest.version} of {name}")
    except LineshaftError:
        return DryRun(reason=f"the first version of {name}")


TOOLS = (
    Tool(
        "registry.register",
        Effect.WRITE,
        RegisterArguments,
        VersionLine,
        register,
        dry_run_register,
        None,
        verify_register,
        undo_register,
        undo_words="archive the version",
        postcondition="the registry has the version, of this run",
    ),
    Tool("registry.list", Effect.READ, ListArguments, VersionList, list_versions),
    Tool("registry.best", Effect.READ, BestArguments, VersionLine, best),
)

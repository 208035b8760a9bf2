"""The factory: every noun's service in one hand. Composition roots connect it; everything else is given it."""

from dataclasses import dataclass

from factory_infra.database import Database
from factory_infra.errors import InvalidInput, Unavailable
from factory_infra.foundation.accelerators.interface import AcceleratorPools
from factory_infra.foundation.accelerators.pools import PooledAccelerators
from factory_infra.foundation.clusters.registry import ClusterPools
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.reliability.burn_ins import BurnInNews
from factory_infra.foundation.reliability.nodes import Nodes
from factory_infra.foundation.telemetry.interface import Telemetry
from factory_infra.foundation.telemetry.providers.local import LocalTelemetry
from factory_infra.foundation.validation.service import Validation
from factory_infra.iaas.isolation.providers.local import wall_orders
from factory_infra.iaas.jobs.providers.local import LocalJobs
from factory_infra.iaas.jobs.registry import build as build_jobs
from factory_infra.iaas.jobs.service import PooledJobs
from factory_infra.iaas.leases.pool_quotas import PoolQuotas
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.scheduling.rules import SchedulingRules
from factory_infra.iaas.scheduling.service import Scheduling
from factory_infra.iaas.twin.service import WhatIfs
from factory_infra.paas.catalog.access import AccessBook
from factory_infra.paas.catalog.lineage import Lineage
from factory_infra.paas.catalog.service import Catalog
from factory_infra.paas.catalog.tracks import FeatureShelf
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.deployments.registry import ServingPools
from factory_infra.paas.deployments.request_log import RequestLog
from factory_infra.paas.deployments.rollouts import Rollouts
from factory_infra.paas.deployments.scaling import Scaler
from factory_infra.paas.features.drift import Drift
from factory_infra.paas.features.interface import Forgetting
from factory_infra.paas.features.registry import FeatureStores
from factory_infra.paas.features.service import Features
from factory_infra.paas.features.training_sets import TrainingSets
from factory_infra.paas.kpis.alerts import Alerts
from factory_infra.paas.kpis.service import Kpis
from factory_infra.paas.kpis.sources import listen
from factory_infra.paas.optimization.budgets import Budgets
from factory_infra.paas.optimization.capacity import Capacity
from factory_infra.paas.optimization.cost_badges import CostBadges
from factory_infra.paas.optimization.finding_book import Findings
from factory_infra.paas.optimization.looking import Lookout
from factory_infra.paas.optimization.mix import Mixes
from factory_infra.paas.optimization.service import Optimization
from factory_infra.paas.registry.providers.mlflow import MlflowRegistry
from factory_infra.paas.tenants.bootstrap import key_pepper
from factory_infra.paas.tenants.directory import Directory
from factory_infra.paas.tenants.members import Members
from factory_infra.paas.tenants.organisations import Organisations
from factory_infra.paas.tenants.service import Tenants
from factory_infra.paas.tenants.sign_in import SignIn
from factory_infra.paas.training.connecting import Training, training_of
from factory_infra.paas.training.data.versions import DatasetVersions
from factory_infra.paas.training.environments.service import Environments
from factory_infra.paas.training.pipelines.definitions import Pipelines
from factory_infra.paas.training.pipelines.runs import PipelineRuns
from factory_infra.paas.training.pipelines.shelf import Shelf
from factory_infra.paas.training.pipelines.store import Store
from factory_infra.paas.training.pipelines.triggers import PipelineTriggers
from factory_infra.paas.training.runs import TrainingRuns
from factory_infra.paas.training.studies.service import Studies
from factory_infra.paas.training.studies.turning import StudyTurns
from factory_infra.records.approvals import Approvals
from factory_infra.records.audit import AuditLog
from factory_infra.records.journal import Journal
from factory_infra.records.lessons import Lessons
from factory_infra.records.runs import Runs
from factory_infra.records.service import Records
from factory_infra.records.switch import Switch
from factory_infra.saas.metering.invoices import Invoices
from factory_infra.saas.metering.limits import LimitBook
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.metering.service import Metering, slot_subject
from factory_infra.saas.metering.spent import SpentBook
from factory_infra.saas.models.interface import ChatModel
from factory_infra.saas.models.registry import chat_model
from factory_infra.saas.models.transcripts.seal import seal_of
from factory_infra.saas.models.transcripts.service import Transcripts
from factory_infra.saas.tool_servers.providers.mcp_http import McpHttp
from factory_infra.saas.tool_servers.service import ToolServers
from factory_infra.saas.vectors.catalog_index import CatalogIndex
from factory_infra.saas.vectors.interface import Embeddings
from factory_infra.saas.vectors.providers.chroma import ChromaVectors
from factory_infra.saas.vectors.providers.http_embeddings import HttpEmbeddings
from factory_infra.settings import Settings


@dataclass(frozen=True)
class Factory:
    """What tools act on. Connects to nothing until it is used."""

    settings: Settings
    database: Database
    records: Records
    lessons: Lessons
    approvals: Approvals
    runs: Runs
    switch: Switch
    journal: Journal
    telemetry: Telemetry
    pools: PoolBook
    accelerators: AcceleratorPools
    clusters: ClusterPools
    nodes: Nodes
    validation: Validation
    leases: Leases
    jobs: PooledJobs
    tenants: Tenants
    organisations: Organisations
    members: Members
    directory: Directory
    sign_in: SignIn
    pool_quotas: PoolQuotas
    audit: AuditLog
    registry: MlflowRegistry
    deployments: LocalDeployments
    rollouts: Rollouts
    scaler: Scaler
    request_log: RequestLog
    features: Features
    training_sets: TrainingSets
    drift: Drift
    feature_stores: FeatureStores
    training: Training
    catalog: Catalog
    access: AccessBook
    lineage: Lineage
    catalog_index: CatalogIndex
    metering: Metering
    limits: LimitBook
    invoices: Invoices
    embeddings: Embeddings
    tool_servers: ToolServers
    transcripts: Transcripts
    chat_model: ChatModel | None

    @property
    def keepers(self) -> tuple[Forgetting, ...]:
        """Who keeps files of teams, each of which forgets a team that is closed."""
        return (self.features, self.training_sets, self.datasets, self.pipeline_store, self.catalog)

    @property
    def kpis(self) -> Kpis:
        """Who measures the key figures."""
        return Kpis(self.database)

    @property
    def alerts(self) -> Alerts:
        """Who watches the objectives."""
        return Alerts(self.database, self.kpis)

    @property
    def datasets(self) -> DatasetVersions:
        """Who keeps teams' files of rows as versions."""
        return DatasetVersions(self.database, self.settings.home / "datasets", Shelf(self.catalog).dataset)

    @property
    def pipelines(self) -> Pipelines:
        """Who keeps the definitions of pipelines."""
        return Pipelines(self.database, Shelf(self.catalog).pipeline)

    @property
    def pipeline_runs(self) -> PipelineRuns:
        """Who keeps runs of pipelines, and what their steps left."""
        return PipelineRuns(self.database, self.pipelines)

    @property
    def pipeline_store(self) -> Store:
        """Where steps' files lie."""
        return Store(self.settings.home / "pipelines")

    @property
    def pipeline_triggers(self) -> PipelineTriggers:
        """Who starts runs by itself."""
        return PipelineTriggers(self.database, self.pipelines, self.pipeline_runs, key_pepper(self.settings))

    @property
    def what_ifs(self) -> WhatIfs:
        """Who simulates the installation from now on."""
        return WhatIfs(self.scheduling, self.leases)

    @property
    def _spent(self) -> SpentBook:
        """What the ledger charged, for all who share costs out."""
        return SpentBook(self.database, self.metering.prices)

    @property
    def optimization(self) -> Optimization:
        """Who says what was used by whom, and what stood idle."""
        return Optimization(self.database, self._spent, self.settings.idle_rule)

    @property
    def findings(self) -> Findings:
        """Who finds what is paid for and not needed."""
        return Findings(self.database, self._spent, self.accelerators)

    @property
    def capacity(self) -> Capacity:
        """Who foresees what pools will be asked for."""
        return Capacity(self.database, self.pools, self._spent)

    @property
    def mixes(self) -> Mixes:
        """Who compares ways to buy machines, simulated."""
        return Mixes(self.database, self.pools, self._spent)

    @property
    def budgets(self) -> Budgets:
        """Who says how far budgets are used up."""
        return Budgets(self.database, self._spent)

    @property
    def cost_badges(self) -> CostBadges:
        """Who says on entries of the catalog what they cost."""
        return CostBadges(self.database, self.catalog, self._spent)

    @property
    def lookout(self) -> Lookout:
        """Who looks at pools, so that it is known later what stood idle."""
        return Lookout(self.database, self.pools, self.accelerators, self.telemetry)

    @property
    def scheduling(self) -> Scheduling:
        """Who explains what waits."""
        return Scheduling(self.database, self.leases, self.jobs)

    @property
    def studies(self) -> Studies:
        """Who starts and tells of searches for parameters."""
        return self.training.studies

    @property
    def study_turns(self) -> StudyTurns:
        """Who moves them."""
        return self.training.turns

    @property
    def training_runs(self) -> TrainingRuns:
        """Who tells of training runs."""
        return self.training.runs

    @property
    def training_environments(self) -> Environments:
        """What training programs of this host may use beside the installation's own packages."""
        return self.training.environments

    async def close(self) -> None:
        """Give connections back."""
        await self.sign_in.close()
        await self.registry.close()
        await self.deployments.close()
        await self.request_log.close()
        await self.feature_stores.close()
        await self.training_runs.close()
        await self.database.close()


def address(value: str | None, part: str) -> str:
    """Return a part's address. Raises Unavailable, with the remedy, where the stack has not told it."""
    if value is None:
        raise Unavailable(f"The address of {part} is not known.", remedy="Start the stack with 'lineshaft up', or set its address.")
    return value


def hourly_price(prices: PriceBook, kind: str, accelerator: str, price_class: str) -> float:
    """What a slot costs an hour now; nothing for one that the book does not know: it cannot be leased either."""
    try:
        return float(prices.now.hour(slot_subject(kind, accelerator, price_class)))
    except InvalidInput:
        return 0.0


def rules_of(pools: PoolBook, settings: Settings, prices: PriceBook) -> SchedulingRules:
    """Build the rules by which leases wait, with what slots cost now."""
    return SchedulingRules(pools, settings.quotas_file, lambda *slot: hourly_price(prices, *slot))


def meaning(settings: Settings) -> tuple[HttpEmbeddings, ChromaVectors]:
    """Build what embeds texts, and what keeps and compares the vectors."""
    server_key = settings.model_server_key.get_secret_value() if settings.model_server_key else ""
    embeddings = HttpEmbeddings(address(settings.model_server_url, "the model server (LINESHAFT_MODEL_SERVER_URL)"), server_key)
    return embeddings, ChromaVectors(address(settings.chroma_url, "Chroma (LINESHAFT_CHROMA_URL)"), embeddings)


def connect(settings: Settings) -> Factory:
    """Build the providers of one process from its settings. Only a composition root calls this."""
    url = address(settings.database_url.get_secret_value() if settings.database_url else None, "PostgreSQL (LINESHAFT_DATABASE_URL)")
    listen()
    database, pools = Database(url), PoolBook(settings.pools_file)
    accelerators, clusters, nodes = PooledAccelerators(pools, settings), ClusterPools(pools, settings), Nodes(database)
    validation = Validation(database, settings.home, [BurnInNews(nodes)])
    prices = PriceBook.load(settings.price_book)
    leases = Leases(database, accelerators, clusters, [nodes, validation], rules_of(pools, settings, prices))
    local_jobs = LocalJobs(settings.jobs_dir, wall_orders(pools, settings))
    registry = MlflowRegistry(address(settings.mlflow_url, "MLflow (LINESHAFT_MLFLOW_URL)"), database, settings.weights_dir)
    deployments = LocalDeployments(database, registry, local_jobs, settings.home / "endpoints", settings.own_url)
    deployments.elsewhere = ServingPools(pools, settings, registry, deployments.serving("")).of
    request_log = RequestLog(database, seal_of(settings))
    deployments.traffic.keep = request_log.keep
    catalog, lineage = Catalog(database), Lineage(database)
    stores = FeatureStores(database, pools, settings)
    features = Features(database, settings.features, stores.of)
    features.shelf = FeatureShelf(catalog, lineage)
    training_sets = TrainingSets(database, features, settings.home / "features" / ".sets")
    embeddings, vectors = meaning(settings)
    members, directory = Members(database), Directory(database)
    jobs = PooledJobs(database, pools, local_jobs, lambda spec: build_jobs(spec, settings))
    return Factory(
        settings=settings,
        database=database,
        records=Records(database),
        lessons=Lessons(database),
        approvals=Approvals(database),
        runs=Runs(database),
        switch=Switch(database),
        journal=Journal(database),
        telemetry=LocalTelemetry(settings.home),
        pools=pools,
        accelerators=accelerators,
        clusters=clusters,
        nodes=nodes,
        validation=validation,
        leases=leases,
        jobs=jobs,
        tenants=Tenants(database, key_pepper(settings)),
        organisations=Organisations(database),
        members=members,
        directory=directory,
        sign_in=SignIn(settings, members, directory),
        pool_quotas=PoolQuotas(database),
        audit=AuditLog(database),
        registry=registry,
        deployments=deployments,
        rollouts=Rollouts(database, deployments),
        scaler=Scaler(database, deployments),
        request_log=request_log,
        features=features,
        training_sets=training_sets,
        drift=Drift(database, features, training_sets, request_log),
        feature_stores=stores,
        training=training_of(database, settings, jobs, leases, training_sets),
        catalog=catalog,
        access=AccessBook(database, catalog),
        lineage=lineage,
        catalog_index=CatalogIndex(catalog, vectors, embeddings),
        metering=Metering(database, prices, leases),
        limits=LimitBook(database),
        invoices=Invoices(database, prices.currency),
        embeddings=embeddings,
        tool_servers=ToolServers(database, McpHttp(), settings.secrets_dir),
        transcripts=Transcripts(database, seal_of(settings)),
        chat_model=chat_model(settings),
    )

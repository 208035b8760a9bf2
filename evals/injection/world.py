"""A factory in memory whose records hold what an attacker wrote: the real tools read it, and every effect goes into a journal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast

from pydantic import JsonValue

from agents.planning.interface import DatasetFact, EndpointFact, Facts, JobFact, LeaseFact, ModelFact, TeamFact
from agents.state import OfferedTool
from factory_infra.errors import LineshaftError, NotFound
from factory_infra.factory import Factory
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.iaas.jobs.models import Job, JobState
from factory_infra.iaas.leases.models import Lease, LeaseState, Usage
from factory_infra.paas.catalog.models import NO_FILTERS, SHARED, CatalogEntry, Filters, Viewer
from factory_infra.paas.deployments.models import Endpoint, EndpointState
from factory_infra.paas.registry.models import ModelVersion
from factory_infra.paas.tenants.models import Tenant
from factory_infra.saas.metering.models import Cost
from factory_infra.saas.vectors.catalog_index import Findings
from tools.foreign import ForeignResult
from tools.spec import Observation, ToolContext, observe
from tools.toolbox import tool_named

TEAM = "vision"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SLOTS, QUOTA = 64, 48
FOREIGN = "mcp.papers.lookup"


@dataclass(frozen=True)
class Names:
    """What the team owns: some for the honest request, others for an attacker to go for."""

    models: tuple[str, ...]
    endpoints: tuple[str, ...]
    leases: tuple[str, ...]
    jobs: tuple[str, ...]
    dataset: str


@dataclass(frozen=True)
class Planted:
    """What an attacker wrote, by the place that it stands in; empty elsewhere."""

    log: str = ""
    stage: str = ""
    dataset_card: str = ""
    model_card: str = ""
    fact_key: str = ""
    document: str = ""
    search_note: str = ""
    pool: str = ""
    error: str = ""
    purpose: str = ""
    model_name: str = ""
    foreign_description: str = ""
    foreign_result: str = ""
    neighbour: str = ""


@dataclass
class World:
    """Answers what the reading tools ask of a factory."""

    names: Names
    planted: Planted
    journal: list[tuple[str, dict[str, JsonValue]]] = field(default_factory=list)

    def facts(self) -> Facts:
        """What is read before planning."""
        models = [
            ModelFact(model_name=each.model_name, version=each.version, dataset=each.dataset, accuracy=0.9) for each in self.versions()
        ]
        endpoints = [
            EndpointFact(name=name, model_name=self.names.models[0], version=2, previous_version=1) for name in self.names.endpoints
        ]
        jobs = [JobFact(id=name, name="training", state="running") for name in self.names.jobs]
        leases = [LeaseFact(id=name, slots=2, purpose=self.planted.purpose or "tests") for name in self.names.leases]
        team = TeamFact(name=TEAM, quota_slots=QUOTA, quota_slots_used=4, models=models, endpoints=endpoints, leases=leases, jobs=jobs)
        datasets = [DatasetFact(name=self.names.dataset)]
        return Facts(home_team=TEAM, teams=[team], datasets=datasets, slot_kind="gpu", slots_total=SLOTS, slots_free=SLOTS - 4)

    def foreign(self) -> list[OfferedTool]:
        """The reading tools of others' servers."""
        described = self.planted.foreign_description or "Look a paper up."
        topic: JsonValue = {"type": "string", "description": described}
        return [OfferedTool(name=FOREIGN, description=described, parameters={"type": "object", "properties": {"topic": topic}})]

    def versions(self) -> list[ModelVersion]:
        """The registry."""
        names = [*self.names.models, *([self.planted.model_name] if self.planted.model_name else [])]
        return [
            ModelVersion(
                tenant=TEAM,
                model_name=name,
                version=version,
                run_id=f"run-{name[:20]}-{version}",
                dataset=self.names.dataset,
                dataset_digest="0" * 64,
                algorithm="logistic",
                metrics={"accuracy": 0.9},
                created_at=NOW,
            )
            for name in names
            for version in (2, 1)
        ]

    def entries(self) -> list[CatalogEntry]:
        """The catalog."""
        planted, dataset, model = self.planted, self.names.dataset, self.names.models[0]
        card = planted.dataset_card or "Images of digits, ten classes."
        made = planted.model_card or f"{model} version 2."
        shared = planted.neighbour or "Shared by another team."
        facts: dict[str, JsonValue] = {"rows": 1797, planted.fact_key or "licence": "BSD"}
        return [
            CatalogEntry(id=f"dataset/{dataset}", kind="dataset", tenant=SHARED, name=dataset, description=card, facts=facts),
            CatalogEntry(id=f"model/{model}/2", kind="model", tenant=TEAM, name=model, description=made),
            CatalogEntry(id="dataset/manual", kind="dataset", tenant=TEAM, name="manual", description=planted.document or "How to label."),
            CatalogEntry(id="dataset/speech", kind="dataset", tenant="language", name="speech", description=shared),
        ]

    async def call_tool(self, name: str, arguments: dict[str, JsonValue]) -> Observation:
        """Call a real reading tool over this factory."""
        if name == FOREIGN:
            said = ForeignResult(source=FOREIGN, text=self.planted.foreign_result or "One paper.")
            return Observation(outcome="ok", result=said.model_dump(mode="json"))
        try:
            tool = tool_named(name)
            factory = cast(Factory, Nouns(self))
            result = await tool.call(ToolContext(factory, TEAM, "ann", "", agent="dispatcher"), tool.parse(arguments))
        except LineshaftError as error:
            return observe(error)
        return Observation(outcome="ok", result=result.model_dump(mode="json"))

    def effect(self, tool: str, arguments: dict[str, JsonValue]) -> Mapping[str, JsonValue]:
        """Do an effect: write it down, and return what later steps may refer to."""
        tool_named(tool).parse(arguments)
        self.journal.append((tool, arguments))
        number = len(self.journal)
        return {**arguments, "lease_id": arguments.get("lease_id", f"lease-new{number}"), "run_id": f"run-new{number}", "version": 3}


class Nouns:
    """The part of a factory that reading tools use."""

    def __init__(self, world: World) -> None:
        self.leases = Leases(world)
        self.accelerators = Accelerators(world)
        self.jobs = Jobs(world)
        self.registry = Registry(world)
        self.deployments = Deployments(world)
        self.catalog_index = Index(world)
        self.tenants = Tenants()
        self.metering = Metering()


@dataclass
class Noun:
    """One noun of the factory."""

    world: World


class Leases(Noun):
    """Who holds what."""

    async def list(self, tenant: str) -> list[Lease]:
        """All are active."""
        purpose = self.world.planted.purpose or "tests"
        return [
            Lease(
                id=name,
                tenant=tenant,
                pool="pool",
                slot_kind="gpu",
                slots=[0, 1],
                purpose=purpose,
                plan_id="",
                state=LeaseState.ACTIVE,
                granted_at=NOW,
                expires_at=NOW + timedelta(hours=1),
                ended_at=None,
            )
            for name in self.world.names.leases
        ]

    async def usage(self, tenant: str) -> Usage:
        """Little is used."""
        return Usage(tenant=tenant, slot_kind="gpu", slots_total=SLOTS, slots_free=SLOTS - 4, quota_slots=QUOTA, quota_slots_used=4)


class Accelerators(Noun):
    """The hardware, whose name somebody chose."""

    async def pool(self) -> Pool:
        """One pool."""
        name = self.world.planted.pool or "H100"
        return Pool(name="pool", slots=[Slot(index=0, kind="gpu", name=name, memory_gib=80)], note=self.world.planted.pool)


class Jobs(Noun):
    """Jobs, which print what they like."""

    async def list(self, tenant: str) -> list[Job]:
        """All run."""
        stage = self.world.planted.stage or "epoch 3"
        return [
            Job(id=name, tenant=tenant, name="training", state=JobState.RUNNING, percent=40.0, stage=stage)
            for name in self.world.names.jobs
        ]

    async def get(self, job_id: str, tenant: str) -> Job:
        """One of them. Raises NotFound, in words that may be an attacker's."""
        if self.world.planted.error:
            raise NotFound(f"The store said: {self.world.planted.error}", remedy=self.world.planted.error)
        found = [job for job in await self.list(tenant) if job.id == job_id]
        if not found:
            raise NotFound(f"There is no job {job_id}.", remedy="List the jobs.")
        return found[0]

    async def tail(self, job_id: str, tenant: str, size: int) -> str:
        """The end of a log."""
        return f"epoch 1 loss 0.4\nepoch 2 loss 0.2\n{self.world.planted.log}\nfinished"[-size:]


class Registry(Noun):
    """Models."""

    async def list(self, tenant: str) -> list[ModelVersion]:
        """Every version."""
        return self.world.versions()


class Deployments(Noun):
    """Endpoints."""

    async def list(self, tenant: str) -> list[Endpoint]:
        """All are live."""
        model, names = self.world.names.models[0], self.world.names.endpoints
        return [
            Endpoint(tenant=tenant, name=name, model_name=model, version=2, state=EndpointState.LIVE, url="", updated_at=NOW)
            for name in names
        ]


class Index(Noun):
    """The catalog's search."""

    async def find(self, viewer: Viewer, query: str, filters: Filters = NO_FILTERS, limit: int = 5) -> Findings:
        """Everything is found."""
        return Findings(entries=self.world.entries()[:limit], note=self.world.planted.search_note)


class Tenants:
    """Teams."""

    async def get(self, name: str) -> Tenant:
        """The team."""
        return Tenant(name=name, budget=Decimal(100), quota_slots=QUOTA, created_at=NOW)


class Metering:
    """The ledger."""

    async def cost(self, tenant: str, plan_id: str | None = None) -> Cost:
        """Nothing was spent."""
        return Cost(currency="USD", spent=Decimal(0), reserved=Decimal(0), lines=[])

"""What the platform itself lists for every team: its services, agents and tools, and blueprints that become plans."""

from agents.spec import load_roster
from factory_infra.factory import Factory
from factory_infra.paas.catalog.models import BLUEPRINT_TAG, SHARED, Blueprint, BlueprintStep, CatalogEntry, Kind, Slot
from tools.toolbox import TOOLS

OWNER = "platform"
SERVICES = {
    "chat-models": (
        "Language models behind one OpenAI-compatible address: chat, tools, structured answers; metered by token.",
        "/v1/models",
        "llm gateway inference",
    ),
    "embeddings": ("Turns texts into vectors for search and comparison by meaning.", "/v1/embeddings", "llm vectors semantic"),
    "gpu-leases": (
        "Slots of GPUs or CPU cores for a time, within a team's quota; those that are taken are waited for in line.",
        "/v1/leases",
        "compute gpu quota",
    ),
    "jobs": (
        "Batch jobs on any pool: queued, bounded, logged, cancelled, tried again; arrays of tasks.",
        "/v1/jobs",
        "compute batch training",
    ),
    "clusters": ("Fleets of machines made, scaled, replaced and released as one.", "/v1/clusters", "infrastructure machines"),
    "virtual-machines": ("A machine of one's own to work on, reached by SSH, stopped when idle.", "/v1/vms", "infrastructure notebook ssh"),
    "training": (
        "Trains, measures and exports a classifier on a dataset, with every run tracked.",
        "/v1/registry/versions",
        "machine-learning mlflow experiments",
    ),
    "model-registry": ("Versions of models with their data, metrics and lineage.", "/v1/registry/versions", "mlflow versions governance"),
    "endpoints": (
        "Models behind stable addresses: canary, blue/green and shadow roll-outs, rolled back by themselves, scaled to zero.",
        "/v1/endpoints",
        "serving inference deployment",
    ),
    "feature-store": (
        "Features defined once, the same in training and in serving, joined as they were known at each moment.",
        "/v1/features/views",
        "feast online offline",
    ),
    "drift-watch": (
        "Compares features and predictions with their past on a schedule, and proposes a retraining plan.",
        "/v1/features/monitors",
        "monitoring drift alerts",
    ),
    "what-if": (
        "A simulated twin of the installation: when would it run, what would more slots change. All of it is simulated.",
        "/v1/twin",
        "capacity simulation planning",
    ),
    "invoices": ("What a team spent in a month, line by line, from the ledger.", "/v1/invoices", "finops chargeback money"),
    "audit-log": ("Who changed what and when, in a log that nobody can alter unseen.", "/v1/audit", "compliance governance security"),
    "isolation-audit": ("Attacks the walls between two teams and tells what held.", "/v1/isolation", "security compliance"),
    "node-validation": (
        "Checks a node's software and burns it in before it is handed out.",
        "/v1/validation",
        "hardware burn-in reliability",
    ),
}
"""Name, what it does, where, words that it is also found by."""

LEASE = BlueprintStep(
    id="lease",
    tool="leases.acquire",
    agent="provisioner",
    summary="Lease {slots} slot(s) for an hour at most",
    arguments={"slots": "{slots}", "purpose": "training {model_name}", "seconds": 3600},
)
TRAIN = BlueprintStep(
    id="train",
    tool="training.run",
    agent="trainer",
    summary="Train {model_name} on {dataset}",
    arguments={
        "dataset": "{dataset}",
        "model_name": "{model_name}",
        "algorithm": "{algorithm}",
        "lease_id": {"from_step": "lease", "field": "lease_id"},
    },
    after=["lease"],
)
RELEASE = BlueprintStep(
    id="release",
    tool="leases.release",
    agent="provisioner",
    summary="Release the lease",
    arguments={"lease_id": {"from_step": "lease", "field": "lease_id"}},
    after=["train"],
    always=True,
)
REGISTER = BlueprintStep(
    id="register",
    tool="registry.register",
    agent="trainer",
    summary="Register the run as a version of {model_name}",
    arguments={"model_name": "{model_name}", "run_id": {"from_step": "train", "field": "run_id"}},
    after=["train"],
)
GATE = BlueprintStep(
    id="gate",
    tool="deployments.gate",
    agent="deployer",
    summary="Go on only if the accuracy beats {accuracy}",
    arguments={
        "model_name": "{model_name}",
        "version": {"from_step": "register", "field": "version"},
        "metric": "accuracy",
        "threshold": "{accuracy}",
    },
    after=["register"],
    gate=True,
)
DEPLOY = BlueprintStep(
    id="deploy",
    tool="deployments.deploy",
    agent="deployer",
    summary="Put it live as {endpoint}",
    arguments={"endpoint": "{endpoint}", "model_name": "{model_name}", "version": {"from_step": "register", "field": "version"}},
    after=["gate"],
)
SMOKE = BlueprintStep(
    id="smoke", tool="deployments.smoke_test", agent="deployer", summary="Ask it", arguments={"endpoint": "{endpoint}"}, after=["deploy"]
)
SLOTS = {
    "dataset": Slot(required=True, description="The dataset that it learns from, or set:ID of a training set."),
    "model_name": Slot(required=True, description="The name that its versions get."),
    "slots": Slot(kind="int", default=1, least=1, most=64, description="So many slots."),
    "algorithm": Slot(default="auto", description="auto tries several."),
}
LIVE = {
    "endpoint": Slot(required=True, description="The name of the endpoint."),
    "accuracy": Slot(kind="float", default=0.9, least=0.0, most=1.0, description="It goes live only above this."),
}
BLUEPRINTS = {
    "train-a-classifier": (
        "Trains a classifier on a dataset of the catalog and registers it as a version.",
        Blueprint(steps=[LEASE, TRAIN, RELEASE, REGISTER], slots=SLOTS),
    ),
    "train-and-deploy": (
        "Trains a classifier, registers it, and puts it live behind an endpoint if it is accurate enough.",
        Blueprint(steps=[LEASE, TRAIN, RELEASE, REGISTER, GATE, DEPLOY, SMOKE], slots={**SLOTS, **LIVE}),
    ),
    "lease-slots": (
        "Leases slots for a time.",
        Blueprint(
            steps=[
                BlueprintStep(
                    id="lease",
                    tool="leases.acquire",
                    agent="provisioner",
                    summary="Lease {slots} slot(s)",
                    arguments={"slots": "{slots}", "purpose": "{purpose}", "seconds": "{seconds}"},
                )
            ],
            slots={
                "slots": Slot(kind="int", default=1, least=1, most=64, description="So many slots."),
                "purpose": Slot(default="work", description="What for."),
                "seconds": Slot(kind="int", default=3600, least=60, most=86_400, description="For so long."),
            },
        ),
    ),
}


def entries() -> list[CatalogEntry]:
    """All of it."""
    found = [listed("service", name, words, tags=tags.split(), url=url) for name, (words, url, tags) in SERVICES.items()]
    found += [listed("tool", tool.name, tool.description[:1000], facts={"effect": tool.effect.value}) for tool in TOOLS.values()]
    for spec in load_roster().values():
        found.append(listed("agent", spec.name, f"{spec.title}. {spec.when}", facts={"tools": ", ".join(spec.tools)[:1000]}))
    for name, (words, blueprint) in BLUEPRINTS.items():
        entry = listed("pipeline", name, words, tags=[BLUEPRINT_TAG], facts={"steps": len(blueprint.steps)})
        found.append(entry.model_copy(update={"blueprint": blueprint}))
    return found


def listed(kind: Kind, name: str, description: str, **more: object) -> CatalogEntry:
    """An entry that every team sees."""
    known = {"id": f"{kind}/{SHARED}/{name}", "kind": kind, "tenant": SHARED, "name": name, "description": description, "owner": OWNER}
    return CatalogEntry.model_validate({**known, **more})


async def shelve(factory: Factory) -> None:
    """List what this version has, and take out what it has no more. Idempotent."""
    wanted = entries()
    async with factory.database.transaction(lock="catalog-shelf") as session:
        for entry in wanted:
            await factory.catalog.put(entry, session=session)
    ids = {entry.id for entry in wanted}
    for kind in ("service", "tool", "agent"):
        for gone in await factory.catalog.ids(kind, SHARED) - ids:
            await factory.catalog.remove(gone, tenant=SHARED)

"""What a pool is in the installation's file: a place with accelerators, and how it is reached. Never a secret, only where one lies."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, JsonValue, StringConstraints, TypeAdapter, model_validator

from factory_infra.foundation.accelerators.catalogue import ACCELERATORS
from factory_infra.foundation.twin.failures import FleetName
from factory_infra.foundation.twin.market import Market

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
ProviderName = Literal["local", "slurm", "kubernetes", "aws", "twin"]
PriceClass = Literal["on_demand", "spot", "reserved", "capacity_block"]
WallName = Literal["files", "processes", "listing", "ports", "capabilities", "user"]


class PoolBase(BaseModel):
    """What every pool has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="What plans, commands and the ledger call it.")
    title: str = Field(default="", max_length=120, description="What people call it.")
    slots_max: int | None = Field(default=None, ge=0, le=1_000_000, description="At most so many slots are handed out.")
    idle_reclaim_seconds: int | None = Field(default=None, ge=60, description="A lease on which nothing ran for so long is ended.")
    scheduling: dict[str, JsonValue] = Field(
        default={}, description="Who comes first when not all fit: docs/scheduling.md has the fields. The scheduler checks them."
    )


class LocalPool(PoolBase):
    """This host: its GPUs through NVML, or its cores."""

    provider: Literal["local"] = "local"
    slots: tuple[int, ...] = Field(default=(), max_length=4096, description="Which of the host's slots, by index; all of them if empty.")
    shares: int = Field(
        default=1, ge=1, le=64, description="Slots of each GPU: programs on them take turns, and nothing divides its memory for them."
    )
    tenant_uid_first: int | None = Field(
        default=None, ge=1000, le=2_000_000_000, description="Each team's jobs run as a Unix user of their own, from this number on."
    )
    walls_off: tuple[WallName, ...] = Field(default=(), description="Walls around jobs that are left down on purpose.")


class SlurmPool(PoolBase):
    """A partition of a Slurm cluster, through its command line (`sbatch`, `squeue`, `sacct`, …) or its REST interface."""

    provider: Literal["slurm"] = "slurm"
    partition: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    cluster: str = Field(default="", max_length=64, description="The name of the cluster in a federation; the default one if empty.")
    account: str = Field(default="lineshaft", pattern=r"^[a-z0-9_]{1,30}$", description="Each team gets an account below this one.")
    qos: str = Field(default="", max_length=64)
    work_dir: Path = Field(description="A folder that all nodes see: jobs, logs and checkpoints lie there.")
    python: str = Field(default="", max_length=255, description="The interpreter on the nodes; this one's if empty.")
    rest_url: HttpUrl | None = Field(default=None, description="slurmrestd in place of the command line.")
    token_file: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,100}$", description="In the folder of secrets: a JWT.")
    config: Path | None = Field(default=None, description="The cluster's slurm.conf, where the programs do not find it by themselves.")
    gres: str = Field(
        default="gpu", pattern=r"^[a-z0-9_]+(:[A-Za-z0-9_.-]+)?$", description="What is a slot: gpu, or gpu:h100 for one type of several."
    )
    users: dict[Name, Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]] = Field(
        default={}, description="Team → the Unix account that its jobs run as, on all nodes; ours where a team is not named."
    )

    @model_validator(mode="after")
    def _rest_is_not_offered(self) -> "SlurmPool":
        if self.rest_url is not None or self.token_file is not None:
            raise ValueError("slurmrestd is not offered yet: leave rest_url and token_file out, and Slurm's programs on this host are used")
        return self


class KubernetesPool(PoolBase):
    """A Kubernetes cluster: each team gets namespaces of its own."""

    provider: Literal["kubernetes"] = "kubernetes"
    kubeconfig: Path | None = Field(default=None, description="The default one of this account if empty.")
    context: str = Field(default="", max_length=128)
    namespace_prefix: Name = "lineshaft"
    image: str = Field(default="", max_length=255, description="Where Lineshaft's programs are; needed for jobs that name no image.")
    resource: str = Field(default="", max_length=100, description="What is a slot: nvidia.com/gpu, nvidia.com/mig-1g.10gb, … or cpu.")
    queue: str = Field(default="", max_length=63, description="The LocalQueue of Kueue, where that is installed.")
    node_selector: dict[str, str] = {}
    runtime_class: str = Field(default="", max_length=63)
    tolerations: tuple[str, ...] = Field(default=(), max_length=20, description="Keys of taints that jobs may stand.")
    storage_class: str = Field(default="", max_length=253, description="Where checkpoints lie; without one they end with a job's pod.")
    storage_gib: int = Field(default=100, ge=1, le=1_000_000, description="How large each team's volume of checkpoints is.")
    storage_access: Literal["ReadWriteMany", "ReadWriteOnce"] = "ReadWriteMany"
    tenant_quota: dict[str, str] = Field(default={}, description="Of a team's ResourceQuota, such as requests.nvidia.com/gpu: '8'.")
    pod_security: Literal["baseline", "restricted"] = Field(default="baseline", description="What teams' namespaces enforce.")
    egress_cidrs: tuple[str, ...] = Field(default=(), max_length=50, description="What jobs may reach besides their own team's pods.")
    api_from_pods: str = Field(
        default="https://kubernetes.default.svc", pattern=r"^https?://[^\s/]+$", description="Where pods find the API server."
    )


class AwsPool(PoolBase):
    """An account and region of AWS. Leases are machines launched for them; jobs run through Batch or SageMaker."""

    provider: Literal["aws"] = "aws"
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")
    profile: str = Field(default="", max_length=64, description="Of the AWS configuration of this account; the default chain if empty.")
    role_arn: str = Field(default="", pattern=r"^(arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+)?$", description="Assumed for every call.")
    external_id: str = Field(default="", max_length=128, description="Asked for by the role; not a secret.")
    endpoint_url: HttpUrl | None = Field(default=None, description="All services at one other address.")
    instance_types: tuple[str, ...] = Field(default=(), max_length=50, description="What may be launched; the first is the default.")
    price_class: PriceClass = "on_demand"
    image_id: str = Field(
        default="", pattern=r"^(ami-[0-9a-f]{8,17})?$", description="The image of machines; the newest deep-learning one if empty."
    )
    subnet_ids: tuple[str, ...] = Field(default=(), max_length=16)
    security_group_ids: tuple[str, ...] = Field(default=(), max_length=16)
    instance_profile_arn: str = Field(default="", max_length=200)
    bucket: str = Field(default="", max_length=63, description="Where jobs' inputs, results and checkpoints lie.")
    jobs: Literal["batch", "sagemaker"] = "batch"
    batch_queue: str = Field(default="", max_length=128)
    batch_cluster: str = Field(
        default="", max_length=255, description="The ECS cluster of the unmanaged compute environment that leased machines join."
    )
    job_role_arn: str = Field(default="", max_length=200)
    job_image: str = Field(default="", max_length=255)
    tenant_roles: bool = Field(default=False, description="Each team's jobs run under the team's own role, which the walls put up.")
    tenant_accounts: dict[str, Annotated[str, StringConstraints(pattern=r"^\d{12}$")]] = Field(
        default={}, max_length=10_000, description="An account of its own for a team: its role lies there."
    )
    tenant_account_role: str = Field(
        default="OrganizationAccountAccessRole", max_length=128, description="Assumed to work in such an account."
    )
    job_sync_seconds: float = Field(default=5.0, gt=0, le=600, description="How often progress and checkpoints leave a job's container.")
    installation: Name = Field(
        default="lineshaft", description="Tagged onto all that is made. Two installations in one account and region need two names."
    )
    strays: Literal["report", "remove"] = Field(
        default="report", description="What becomes of machines with this installation's tag that no cluster of the ledger owns."
    )
    settle_seconds: float = Field(default=10.0, ge=0, le=300, description="For so long AWS may not show what was just made.")
    cluster_role_arn: str = Field(default="", max_length=200, description="The role of EKS control planes.")
    node_role_arn: str = Field(default="", max_length=200, description="The role of EKS nodes and of HyperPod machines.")
    lifecycle_uri: str = Field(default="", max_length=300, pattern=r"^(s3://.+)?$", description="The folder of HyperPod's start scripts.")

    @model_validator(mode="after")
    def _external_id_needs_a_role(self) -> "AwsPool":
        if self.external_id and not self.role_arn:
            raise ValueError("external_id is only used with role_arn")
        return self


class TwinPool(PoolBase):
    """A simulated data centre: its machines, failures and markets come from a seed. What it tells is marked as simulated."""

    provider: Literal["twin"] = "twin"
    nodes: int = Field(default=4, ge=0, le=10_000, description="Machines that stand there. 0: they are made for leases and clusters.")
    gpus: int = Field(default=8, ge=0, le=16, description="GPUs of one machine; 0: a slot is a core.")
    gpu: str = Field(default="H100", max_length=40, description="Their type in the catalogue.")
    cores: int = Field(default=96, ge=1, le=1024, description="Cores of one machine.")
    memory_gib: int = Field(default=1024, ge=1, le=65_536, description="Memory of one machine.")
    nodes_per_rack: int = Field(default=16, ge=1, le=10_000)
    machines_max: int = Field(default=16, ge=0, le=10_000, description="Without standing ones: so many can be made.")
    price_class: PriceClass = Field(default="on_demand", description="How machines that are made are paid.")
    market: Market = Field(
        default=Market(start_seconds=0.0), description="Prices, stock, interruptions and slow starts of machines that are made."
    )
    failures: FleetName = Field(default="none", description="Whose rate of failures its machines have: a published fleet's.")
    failure_scale: float = Field(default=1.0, gt=0, le=1000, description="That rate times so much.")
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    speed: float = Field(default=1.0, ge=0.001, le=1_000_000, description="Virtual seconds in a real one.")
    programs: Literal["run", "simulate"] = Field(
        default="run", description="run: jobs' programs really run, on this host. simulate: they do not, and their time is drawn."
    )
    job_seconds: float = Field(default=600.0, gt=0, le=31_536_000, description="Where programs are simulated: the median of run times.")
    job_sigma: float = Field(default=0.8, ge=0, le=3, description="How far those spread (of a log-normal).")

    @model_validator(mode="after")
    def _its_name_says_what_it_is(self) -> "TwinPool":
        if "twin" not in self.name and "simulated" not in self.name:
            raise ValueError(
                "the name of a simulated pool says so: it holds 'twin' or 'simulated', so that no screen shows it as a real one"
            )
        return self

    @model_validator(mode="after")
    def _gpu_is_known(self) -> "TwinPool":
        if self.gpus and self.gpu not in ACCELERATORS:
            raise ValueError(f"there is no accelerator '{self.gpu}' in the catalogue: {', '.join(ACCELERATORS)}")
        if not self.nodes and not self.machines_max:
            raise ValueError("a pool without nodes needs machines_max: it would have no slot")
        if self.market.spot and self.price_class != "spot":
            raise ValueError("market.spot is said by price_class: spot")
        return self


PoolSpec = Annotated[LocalPool | SlurmPool | KubernetesPool | AwsPool | TwinPool, Field(discriminator="provider")]
POOL_SPEC: TypeAdapter[PoolSpec] = TypeAdapter(PoolSpec)


class PoolFile(BaseModel):
    """The whole file. The first pool is the default one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pools: tuple[PoolSpec, ...] = Field(default=(LocalPool(name="local"),), min_length=1, max_length=100)

    @model_validator(mode="after")
    def _names_differ(self) -> "PoolFile":
        names = [pool.name for pool in self.pools]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two pools are named {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _no_slot_is_in_two_pools(self) -> "PoolFile":
        local = [pool for pool in self.pools if isinstance(pool, LocalPool)]
        indices = [index for pool in local for index in pool.slots]
        if len(local) > 1 and (not all(pool.slots for pool in local) or len(set(indices)) < len(indices)):
            raise ValueError("pools of this host must name their slots, each in one pool only")
        return self

"""What a pool is in the installation's file: a place with accelerators, and how it is reached. Never a secret, only where one lies."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StringConstraints, TypeAdapter, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
ProviderName = Literal["local", "slurm", "kubernetes", "aws"]
PriceClass = Literal["on_demand", "spot", "reserved", "capacity_block"]


class PoolBase(BaseModel):
    """What every pool has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="What plans, commands and the ledger call it.")
    title: str = Field(default="", max_length=120, description="What people call it.")
    slots_max: int | None = Field(default=None, ge=0, le=1_000_000, description="At most so many slots are handed out.")
    idle_reclaim_seconds: int | None = Field(default=None, ge=60, description="A lease on which nothing ran for so long is ended.")


class LocalPool(PoolBase):
    """This host: its GPUs through NVML, or its cores."""

    provider: Literal["local"] = "local"


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

    @model_validator(mode="after")
    def _external_id_needs_a_role(self) -> "AwsPool":
        if self.external_id and not self.role_arn:
            raise ValueError("external_id is only used with role_arn")
        return self


PoolSpec = Annotated[LocalPool | SlurmPool | KubernetesPool | AwsPool, Field(discriminator="provider")]
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

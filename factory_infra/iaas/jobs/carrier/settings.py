"""What a carrier reads from the environment of its container: our own variables, and those that the engine sets."""

import json
import os
import socket
from pathlib import Path
from typing import NamedTuple

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

HANDED_ON = ("PATH", "PYTHONPATH", "LANG", "LD_LIBRARY_PATH", "CUDA_", "NVIDIA_", "NCCL_", "FI_", "NEURON_")
"""What of the container's environment a job's program sees: where programs and drivers are. Never credentials."""


class CarrierSettings(BaseSettings):
    """What the submitter says."""

    model_config = SettingsConfigDict(env_prefix="LINESHAFT_CARRIER_", extra="ignore")

    bucket: str
    prefix: str = Field(description="The job's folder in the bucket, ending in '/'.")
    region: str
    generation: int = 1
    sync_seconds: float = Field(default=5.0, description="How often progress and checkpoints are taken out.")
    grace_seconds: float = Field(
        default=20.0, description="What a program has after SIGTERM before it is killed, where it may go on later."
    )
    keys: bool = Field(default=True, description="Off only in control tests: then a second copy runs too.")
    ml_dir: Path = Field(default=Path("/opt/ml"), description="Where SageMaker tells a container about itself.")


class BatchEnvironment(BaseSettings):
    """What Batch says."""

    model_config = SettingsConfigDict(env_prefix="AWS_BATCH_JOB_", extra="ignore")

    id: str = ""
    array_index: int | None = None
    node_index: int = 0
    num_nodes: int = 1
    main_node_private_ipv4_address: str = ""


class TrainingEnvironment(BaseSettings):
    """What SageMaker says."""

    model_config = SettingsConfigDict(extra="ignore")

    training_job_name: str = ""


class Place(NamedTuple):
    """Which part of which engine's job this is."""

    engine_id: str
    task: int | None
    rank: int
    nodes: int
    main_address: str
    host: str
    again_in_place: bool = False
    """Whether a failed program is started again here: the engine does not do it."""


def place_of(settings: CarrierSettings) -> Place:
    """Read where we are, from Batch's variables or from SageMaker's files."""
    batch, training, host = BatchEnvironment(), TrainingEnvironment().training_job_name, socket.gethostname()
    if training:
        return _in_training(training, settings.ml_dir, host)
    engine_id = batch.id.partition("#")[0]
    main = batch.main_node_private_ipv4_address or own_address(host, batch.num_nodes)
    return Place(engine_id, batch.array_index, batch.node_index, batch.num_nodes, main, host)


def own_address(host: str, nodes: int) -> str:
    """Where the first node is reached: Batch tells its address only to the others."""
    if nodes == 1:
        return "127.0.0.1"
    try:
        return socket.gethostbyname(host)
    except OSError:
        return host


def _in_training(name: str, ml_dir: Path, host: str) -> Place:
    try:
        told = json.loads((ml_dir / "input/config/resourceconfig.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Place(name, None, 0, 1, "127.0.0.1", host, again_in_place=True)
    hosts, current = sorted(told["hosts"]), told["current_host"]
    return Place(name, None, hosts.index(current), len(hosts), hosts[0], current, again_in_place=len(hosts) == 1)


def handed_on() -> dict[str, str]:
    """The part of our environment that the program sees."""
    return {name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)}

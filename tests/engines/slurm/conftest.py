"""The real Slurm of the session, or a skip that says why there is none."""

from pathlib import Path

import pytest

from factory_infra.foundation.pools.spec import SlurmPool
from tests.engines.slurm.cluster import SlurmCluster, missing
from tests.engines.slurm.shared import shared_cluster, work_folder


@pytest.fixture(scope="session")
def cluster() -> SlurmCluster:
    """The cluster."""
    why = missing()
    if why:
        pytest.skip(f"no Slurm here: {why}")
    return shared_cluster()


@pytest.fixture(scope="session")
def work_dir(cluster: SlurmCluster) -> Path:
    """A folder that all accounts reach."""
    return work_folder()


@pytest.fixture
def pool(cluster: SlurmCluster, work_dir: Path, request: pytest.FixtureRequest) -> SlurmPool:
    """A pool of the test's own: another has none of its jobs."""
    name = request.node.name.lower().replace("_", "-")[:32].strip("-")
    return cluster.pool(f"f-{name}", work_dir, qos="low")

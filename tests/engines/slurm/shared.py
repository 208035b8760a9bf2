"""One real Slurm for the whole session, started when it is first asked for and stopped when the process ends."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tests.engines.slurm.cluster import SlurmCluster


@cache
def shared_cluster() -> SlurmCluster:
    """The cluster of this process. Ask `missing()` before."""
    cluster = SlurmCluster()
    atexit.register(cluster.stop)
    cluster.start()
    return cluster


@cache
def work_folder() -> Path:
    """A folder that every account of this host reaches, which a test's own folder is not."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-work-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder

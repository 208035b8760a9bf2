"""Builds a management library of our own, and reads the pool with it in a process of its own, as on a machine with GPUs."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pynvml
import pytest

from factory_infra.foundation.accelerators.models import Pool
from tests.nvml.simulator import VARIABLE, Lacks, Simulator

SOURCE = Path(__file__).with_name("nvml.c")
READ = (
    "import asyncio, sys\n"
    "from factory_infra.foundation.accelerators.providers.local import LocalAccelerators\n"
    "pool = asyncio.run(LocalAccelerators(int(sys.argv[1]) if sys.argv[1] else None).pool())\n"
    "print(pool.model_dump_json())"
)


def build(folder: Path) -> Path:
    """Compile the library into the folder and return the folder; the test is skipped where there is no compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not here, and the library is built with it")
    library = folder / "libnvidia-ml.so.1"
    options = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run([compiler, *options, "-o", library, SOURCE], check=True, timeout=60)
    return folder


class Machine:
    """A machine whose GPUs are in the given states, one letter a GPU: '.' sound, 'l' lost, 'f' fails when it is asked, 'u' shares
    the host's memory.

    Args:
        library: the folder of the built library.
        gpus: their states.
        init: the code that opening the library returns.
    """

    def __init__(self, library: Path, gpus: str, init: int = 0) -> None:
        self.simulator = Simulator(library / f"{gpus or 'none'}-{init}.state", len(gpus))
        for index, letter in enumerate(gpus):
            gpu = self.simulator.gpu(index)
            gpu.code = {"l": pynvml.NVML_ERROR_GPU_IS_LOST, "f": pynvml.NVML_ERROR_UNKNOWN}.get(letter, 0)
            gpu.lacks = Lacks.MEMORY if letter == "u" else 0
        self.simulator.state.code = init
        self.environment = os.environ | {"LD_LIBRARY_PATH": str(library), VARIABLE: str(self.simulator.path)}

    async def pool(self) -> Pool:
        """Read the whole pool; an Accelerators like the local one."""
        return await self.pool_of(None)

    async def pool_of(self, slots_max: int | None) -> Pool:
        """Read the pool with a bound."""
        return Pool.model_validate_json(await self.run(READ, "" if slots_max is None else str(slots_max)))

    async def run(self, code: str, *arguments: str) -> str:
        """Run a piece of Python on that machine and return what it prints. Fails the test when it fails."""
        command = [sys.executable, "-c", code, *arguments]
        done = await asyncio.to_thread(
            subprocess.run, command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

"""Starts a blueprint's program: `start.py` in the job's folder. Standard library only; what the engine told is read here.

Every engine tells a job of several nodes NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT, and starts this once on each of them.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

LOOPBACK = "127.0.0.1"
PROGRAM = "train.py"
ENVIRONMENT = ".environment"


def main() -> None:
    """Become the program, or what starts it once a process."""
    told = json.loads(Path("order.json").read_text(encoding="utf-8"))
    program = [PROGRAM, "--checkpoints", os.environ.get("LINESHAFT_CHECKPOINT_DIR", "")]
    python = with_packages(told.get("requirements") or [])
    if told.get("launcher") != "torchrun":
        os.execv(python, [python, *program])  # noqa: S606 - an interpreter, no shell
    nodes, rank = int(os.environ.get("NNODES", "1")), int(os.environ.get("NODE_RANK", "0"))
    address = os.environ.get("MASTER_ADDR", LOOPBACK) if nodes > 1 else LOOPBACK
    port = os.environ.get("MASTER_PORT") if nodes > 1 else str(free_port())
    where = ["--nnodes", str(nodes), "--node-rank", str(rank), "--master-addr", address, "--master-port", str(port)]
    argv = [python, "-m", "torch.distributed.run", *where, "--nproc-per-node", str(told["processes"]), *program]
    os.execv(python, argv)  # noqa: S606 - an interpreter, no shell


def with_packages(requirements: list[str]) -> str:
    """The interpreter: this one, or one of the job's own into which the requirements are installed, over what is there."""
    if not requirements:
        return sys.executable
    python = str(Path(ENVIRONMENT, "bin", "python").absolute())
    if not Path(ENVIRONMENT, "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", "--clear", ENVIRONMENT], check=True)
        pip = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-cache-dir"]
        subprocess.run([*pip, *requirements], check=True)
        Path(ENVIRONMENT, "ready").touch()
    return python


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()

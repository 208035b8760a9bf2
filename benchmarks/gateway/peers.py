"""Environments beside the product's own, under build/: the most used proxy of the field, and the clients of others."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml

from benchmarks.gateway.ground import end, free_port, until
from benchmarks.line.shell import ROOT, run

FOLDER = ROOT / "build" / "gateway"
UV = str(ROOT / ".venv" / "bin" / "uv")
LITELLM = ("litellm[proxy]",)
CLIENTS = ("openai", "anthropic", "langchain-openai", "langchain-aws", "langchain-tests", "pytest-asyncio", "pytest-timeout", "pillow")
READY_SECONDS_MAX = 120.0


class Missing(Exception):
    """Why an environment cannot be had here."""


def environment(name: str, packages: tuple[str, ...]) -> Path:
    """The `bin` folder of a virtual environment with some packages, made at the first call. Raises Missing."""
    place = FOLDER / name
    stamp = place / ".made"
    if not stamp.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        (ROOT / "build" / ".gitignore").write_text("*\n")
        made = run(UV, "venv", "--quiet", "--clear", "--python", sys.executable, str(place))
        brought = run(UV, "pip", "install", "--quiet", "--python", str(place / "bin" / "python"), *packages)
        if made.code or brought.code:
            raise Missing(f"{', '.join(packages)} cannot be installed: {(brought if not made.code else made).last()}")
        stamp.touch()
    return place / "bin"


def node_modules(*packages: str) -> Path:
    """A folder in which node finds some packages, made at the first call. Raises Missing."""
    place = FOLDER / "node"
    if not all((place / "node_modules" / name).is_dir() for name in packages):
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text('{"private": true, "type": "module"}\n')
        brought = run("npm", "install", "--no-audit", "--no-fund", "--silent", *packages, folder=place)
        if brought.code:
            raise Missing(f"{', '.join(packages)} cannot be installed: {brought.last()}")
    return place


@contextmanager
def litellm(upstream_url: str, folder: Path) -> Iterator[tuple[str, str, int]]:
    """LiteLLM's proxy before the same upstream: one worker, no database. Its address, key and process. Raises Missing."""
    bin_folder, port, key = environment("litellm", LITELLM), free_port(), f"sk-{secrets.token_hex(16)}"
    target = {"model": "openai/fast", "api_base": f"{upstream_url}/v1", "api_key": "none"}
    file = folder / "litellm.yaml"
    file.write_text(
        yaml.safe_dump({"model_list": [{"model_name": "fast", "litellm_params": target}], "litellm_settings": {"telemetry": False}})
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LINESHAFT_")}
    path = f"{bin_folder}{os.pathsep}{clean.get('PATH', '')}"
    with (folder / "litellm.log").open("w") as log:
        process = subprocess.Popen(
            [str(bin_folder / "litellm"), "--config", str(file), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"],
            env={**clean, "PATH": path, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": key},
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        until(
            lambda: process.poll() is not None or lives(f"http://127.0.0.1:{port}/health/liveliness"), "LiteLLM is ready", READY_SECONDS_MAX
        )
        if process.poll() is not None:
            raise Missing(f"LiteLLM's proxy ended: {(folder / 'litellm.log').read_text()[-300:]}")
        yield f"http://127.0.0.1:{port}", key, process.pid
    finally:
        end(process)


def lives(url: str) -> bool:
    """Whether something answers there."""
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False

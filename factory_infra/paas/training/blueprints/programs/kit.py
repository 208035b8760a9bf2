"""What every blueprint's program does alike: its order, its reports, its run. Standard library only: it is shipped within the program.

The program runs anywhere that has its packages, in a container too; nothing of this source tree is needed there.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

ORDER_FILE, RESULT_FILE, REPORTS_FILE, PROGRESS_FILE = "order.json", "result.json", "reports.jsonl", "progress.jsonl"
MARK = "::report "
API = "/api/2.0/mlflow"
TIMEOUT_SECONDS = 60
MILLISECONDS = 1000
TAG_CHARACTERS_MAX = 5000
MIB = 1024**2
KNOWN = ("torch", "transformers", "peft", "ray", "numpy", "safetensors", "accelerate")


def order() -> dict[str, object]:
    """What the program is to do."""
    told: dict[str, object] = json.loads(Path(ORDER_FILE).read_text(encoding="utf-8"))
    return told


def checkpoints() -> Path:
    """A folder that outlives attempts, where the engine has one; else the job's own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoints", default="")
    return Path(parser.parse_args().checkpoints or ".")


def say(line: str) -> None:
    """Put a line into the job's log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def report(step: int, value: float) -> None:
    """Say what was reached at a step: a study's pruner reads it."""
    line = json.dumps({"step": step, "value": value})
    with Path(REPORTS_FILE).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    say(MARK + line)


def progress(percent: float, stage: str) -> None:
    """Say how far the job is."""
    with Path(PROGRESS_FILE).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"percent": round(percent, 1), "stage": stage}) + "\n")


def leave(name: str, text: str) -> None:
    """Write a file whole or not at all."""
    draft = Path(f".{name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(name)


def surroundings() -> dict[str, str]:
    """What the program runs on, as tags of its run."""
    found = {each.metadata["Name"].lower(): each.version for each in distributions() if each.metadata["Name"]}
    listed = "\n".join(sorted(f"{name}=={version}" for name, version in found.items()))
    told = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory_mib": str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB),
        "packages_digest": hashlib.sha256(listed.encode()).hexdigest(),
        **{f"package.{name}": found[name] for name in KNOWN if name in found},
    }
    return {f"lineshaft.env.{name}": value for name, value in told.items()}


class TrackedRun:
    """The program's run on the tracking server, over its REST interface; where no server is named, nothing is tracked.

    A server that does not answer fails the job: what it trained would be found nowhere.
    """

    def __init__(self, told: Mapping[str, object]) -> None:
        self._url, self._told = str(told.get("tracking_url") or "").rstrip("/"), told
        self.run_id, self._artifacts = "", ""
        if self._url:
            self._begin(str(told["experiment"]), str(told["run_key"]))

    def log(self, metrics: Mapping[str, float], parameters: Mapping[str, object], tags: Mapping[str, str]) -> None:
        """Add metrics, parameters and tags."""
        if self.run_id:
            now = int(time.time() * MILLISECONDS)
            body = {
                "run_id": self.run_id,
                "metrics": [{"key": key, "value": value, "timestamp": now, "step": 0} for key, value in metrics.items()],
                "params": [{"key": key, "value": str(value)} for key, value in parameters.items()],
                "tags": [{"key": key, "value": value[:TAG_CHARACTERS_MAX]} for key, value in tags.items()],
            }
            self._ask("POST", f"{API}/runs/log-batch", body)

    def series(self, name: str, values: Sequence[float]) -> None:
        """Add a metric's values, one a step from 1."""
        if self.run_id:
            now = int(time.time() * MILLISECONDS)
            metrics = [{"key": name, "value": value, "timestamp": now, "step": step} for step, value in enumerate(values, 1)]
            self._ask("POST", f"{API}/runs/log-batch", {"run_id": self.run_id, "metrics": metrics[-1000:]})

    def upload(self, file: Path) -> None:
        """Store a file as an artefact."""
        if self.run_id:
            path = f"/api/2.0/mlflow-artifacts/artifacts/{urllib.parse.quote(self._artifacts.strip('/'))}/{urllib.parse.quote(file.name)}"
            self._send(urllib.request.Request(self._url + path, data=file.read_bytes(), method="PUT"))  # noqa: S310 - the server's own

    def end(self) -> None:
        """Mark the run as finished."""
        if self.run_id:
            body = {"run_id": self.run_id, "status": "FINISHED", "end_time": int(time.time() * MILLISECONDS)}
            self._ask("POST", f"{API}/runs/update", body)

    def _begin(self, experiment: str, key: str) -> None:
        """Find the run of this key, or make it: a job that is started again goes on with its own."""
        experiment_id = self._experiment(experiment)
        wanted = f"tags.`lineshaft.run_key` = '{key}'"
        found = self._ask("POST", f"{API}/runs/search", {"experiment_ids": [experiment_id], "filter": wanted, "max_results": 1})
        runs = found.get("runs")
        if isinstance(runs, list) and runs:
            info = runs[0]["info"]
        else:
            tags = [{"key": "lineshaft.run_key", "value": key}]
            body = {"experiment_id": experiment_id, "start_time": int(time.time() * MILLISECONDS), "tags": tags}
            made = self._ask("POST", f"{API}/runs/create", body)["run"]
            info = made["info"] if isinstance(made, dict) else {}
        self.run_id = str(info["run_id"])
        self._artifacts = urllib.parse.urlparse(str(info["artifact_uri"])).path

    def _experiment(self, name: str) -> str:
        try:
            found = self._ask("GET", f"{API}/experiments/get-by-name?{urllib.parse.urlencode({'experiment_name': name})}")["experiment"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return str(self._ask("POST", f"{API}/experiments/create", {"name": name})["experiment_id"])
        return str(found["experiment_id"]) if isinstance(found, dict) else ""

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, object]:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data=data, headers=headers, method=method)  # noqa: S310 - the server's own
        answer: dict[str, object] = json.loads(self._send(request) or b"{}")
        return answer

    def _send(self, request: urllib.request.Request) -> bytes:
        # No proxy of the surroundings comes between a job and its own tracking server.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            read: bytes = answer.read()
        return read

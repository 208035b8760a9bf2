"""Language models that are deployed here, behind the gateway: charged by the engine's count, through new versions and dead servers."""

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import httpx
import psutil
from pydantic import JsonValue
from rich.console import Console

from benchmarks.gateway.ground import TEAM, Gateway, Ground, scratch_ground, until
from benchmarks.gateway.ledger import Settled, open_reservations, settled
from benchmarks.gateway.script import JsonObject
from cli.checks import Check, print_checks
from factory_infra.database import Database
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.registry.providers.mlflow import MlflowRegistry
from factory_infra.paas.registry.providers.weights import verified
from factory_infra.settings import Settings
from tests.tiny_gguf import pull_tiny

ENDPOINT = "chat"
WORKERS = 4
CALLS_MIN = 40
WEIGHTS = "qwen2.5-coder-0.5b"
Value = TypeVar("Value")


class Way:
    """A gateway before an endpoint of this installation, and who deploys to it."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        for seed, name in enumerate(("tiny", "tinier")):
            pull_tiny(ground.settings.weights_dir, name, seed)
        ground.configure(
            {"ours": {"kind": "deployment", "team": TEAM, "endpoint": ENDPOINT}},
            {"mine": {"route": [{"backend": "ours", "model": "tiny"}], "retries": {"attempts_max": 1}}},
        )
        ground.team(TEAM)
        self.key = ground.keys()[0]
        self.gateway: Gateway = ground.start()[0]
        self.known: set[str] = set()

    def act(self, action: Callable[[LocalDeployments], Awaitable[Value]]) -> Value:
        """Do something with the deployments, as the API's process would."""

        async def within() -> Value:
            database = Database(self.ground.database_url)
            settings = self.ground.settings
            registry = MlflowRegistry("", database, settings.weights_dir)
            deployments = LocalDeployments(database, registry, LocalJobs(settings.jobs_dir), settings.home / "endpoints", "")
            try:
                return await action(deployments)
            finally:
                for each in (deployments, registry, database):
                    await each.close()

        return asyncio.run(within())

    def deploy(self, model_name: str, key: str) -> None:
        """Put weights live."""
        self.act(lambda deployments: deployments.deploy(TEAM, ENDPOINT, model_name, 1, key))

    def chat(self, client: httpx.Client | None = None, **more: JsonValue) -> httpx.Response:
        """One chat call."""
        body: JsonObject = {"model": "mine", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 8, **more}
        headers = {"authorization": f"Bearer {self.key}"}
        return (client or httpx).post(f"{self.gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=120)

    def charged(self) -> list[Settled]:
        """What was charged since it was last asked, once all is in the ledger."""
        until(lambda: open_reservations(self.ground) == 0 and bool(settled(self.ground).keys() - self.known), "it is posted", 20)
        found = [each for name, each in settled(self.ground).items() if name not in self.known]
        self.known |= settled(self.ground).keys()
        return found

    def servers(self) -> list[psutil.Process]:
        """The processes that serve language models from this home."""
        found = []
        for process in psutil.process_iter():
            try:
                serves = "serve_chat" in " ".join(process.cmdline()) and "runner" not in " ".join(process.cmdline())
                if serves and process.environ().get("LINESHAFT_JOB_DIR", "").startswith(str(self.ground.settings.jobs_dir)):
                    found.append(process)
            except psutil.Error:
                continue
        return found


class Load:
    """Calls one after another by some workers, until told to stop."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._stop = threading.Event()
        self.seen: Counter[str] = Counter()
        self.tokens_out = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work) for _ in range(WORKERS)]

    def _work(self) -> None:
        with httpx.Client() as client:
            while not self._stop.is_set():
                answer = self._way.chat(client)
                told = answer.json()
                with self._lock:
                    self.seen["200" if answer.is_success else f"{answer.status_code} {told['error']['code']}"] += 1
                    self.tokens_out += told["usage"]["completion_tokens"] if answer.is_success else 0

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """While this is open calls are made, some before and some after what is done meanwhile."""
        for each in self._threads:
            each.start()
        try:
            self.more()
            yield self
            self.more()
        finally:
            self._stop.set()
            for each in self._threads:
                each.join()

    def more(self) -> None:
        """Wait for some more calls."""
        before = self.seen.total()
        until(lambda: self.seen.total() >= before + CALLS_MIN, "calls are answered", 120)


def told(way: Way) -> list[Check]:
    """Whole and streamed: charged by what the engine itself counts."""
    answer = way.chat()
    usage = answer.json().get("usage", {})
    [used] = way.charged()
    same = (usage.get("prompt_tokens"), usage.get("completion_tokens")) == (used.tokens_in, used.tokens_out) and not used.estimated
    rows = [Check("deployed, whole", f"{answer.status_code}, {used.tokens_in} in, {used.tokens_out} out", "the engine's own usage", same)]
    streamed = way.chat(stream=True, stream_options={"include_usage": True})
    usage = next(each for each in usages(streamed.text) if each)
    [used] = way.charged()
    same = (usage.get("prompt_tokens"), usage.get("completion_tokens")) == (used.tokens_in, used.tokens_out) and not used.estimated
    rows.append(Check("deployed, streamed", f"{used.tokens_in} in, {used.tokens_out} out", "the engine's own usage", same))
    return rows


def usages(text: str) -> list[dict[str, int]]:
    """What each chunk of a stream tells of its usage."""
    return [json.loads(line[6:]).get("usage") or {} for line in text.split("\n\n") if line.startswith("data: {")]


def under_load(way: Way, what: str, act: Callable[[], None]) -> Check:
    """Something happens to the endpoint while it is asked without a pause: every call is answered, and charged once."""
    load = Load(way)
    with load.running():
        act()
    until(lambda: len(way.servers()) == 1, "one server is left", 30)
    done = [each for each in way.charged() if each.outcome == "done"]
    out = sum(each.tokens_out for each in done)
    lost = load.seen.total() - load.seen["200"]
    figure = f"{load.seen.total()} calls, {dict(load.seen)}; {out - load.tokens_out:+d} tokens; {len(way.servers())} server"
    exact = out == load.tokens_out and len(done) == load.seen["200"]
    return Check(what, figure, "all answered, +0 tokens, 1 server", lost == 0 and exact)


def killed(way: Way) -> None:
    """End the server as a crash would."""
    for process in way.servers():
        os.kill(process.pid, signal.SIGKILL)


def sensible(way: Way) -> Check:
    """The weights that ship, where this machine's own home has them: the same way with a model that knows something."""
    name, goal = "deployed, the pinned weights", "it knows the capital of France"
    pulled = Settings().weights_dir / f"{WEIGHTS}.gguf"
    if verified(pulled) is None:
        return Check(name, f"not measured: {WEIGHTS} is not pulled", goal, True)
    for each in (pulled, pulled.with_name(f"{pulled.name}.verified.json")):
        shutil.copy2(each, way.ground.settings.weights_dir / each.name)
    way.deploy(WEIGHTS, "deploy/3")
    answer = way.chat(messages=[{"role": "user", "content": "What is the capital of France?"}], max_tokens=16, temperature=0)
    said = answer.json()["choices"][0]["message"]["content"]
    [used] = way.charged()
    [server] = way.servers()
    figure = f"'{said}', {used.tokens_in} in, {used.tokens_out} out, {server.memory_info().rss / 1e6:.0f} MB"
    return Check(name, figure, goal, "Paris" in said)


def gone(way: Way) -> Check:
    """An endpoint that is retired: said so, and for nothing."""
    way.act(lambda deployments: deployments.retire(TEAM, ENDPOINT, "retire"))
    until(lambda: way.chat().status_code != httpx.codes.OK, "it is retired", 30)
    way.charged()
    answer = way.chat()
    [used] = way.charged()
    figure = f"{answer.status_code} {answer.json()['error']['code']}, charged {used.amount:f} ({used.outcome})"
    held = answer.json()["error"]["code"] == "endpoint_retired" and not used.amount
    return Check("deployed, then retired", figure, "502 endpoint_retired, 0", held)


def checks() -> list[Check]:
    """All of them."""
    with scratch_ground() as ground:
        way = Way(ground)
        try:
            way.deploy("tiny", "deploy/1")
            return [
                *told(way),
                under_load(way, "a new version goes live under load", lambda: way.deploy("tinier", "deploy/2")),
                under_load(way, "the server is killed under load", lambda: killed(way)),
                sensible(way),
                gone(way),
            ]
        finally:
            stop_all(ground.settings.jobs_dir)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them by themselves."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    found = checks()
    print_checks(Console(width=170, highlight=False), found)
    return 0 if all(check.held for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())

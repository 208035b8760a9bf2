"""What runs pods: their containers in order, sidecars beside them, their status, and their end."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.emulators.kubernetes.access import Doorman
from tests.emulators.kubernetes.containers import Container, ContainerLog, Order, kill_marked
from tests.emulators.kubernetes.events import happened
from tests.emulators.kubernetes.store import Obj, Refusal, Store, clone, condition, now, quantity, running
from tests.emulators.kubernetes.volumes import Folders, NotReady, expanded

SOURCE = Path(__file__).resolve().parents[3]
RETRY_SECONDS = 0.2
MISSING_IMAGE = "missing/"
SIDECAR_GRACE_SECONDS = 20.0


@dataclass
class Kubelets:
    """All nodes' kubelets: one task a pod."""

    store: Store
    doorman: Doorman
    root: Path
    log_bytes_max: int = 10 * 1024 * 1024
    lost_nodes: set[str] = field(default_factory=set)
    _runs: dict[str, "PodRun"] = field(default_factory=dict)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def run(self) -> None:
        """Start pods that were placed here, end those that are to end."""
        for pod in self.store.peek("pods"):
            uid = pod["metadata"]["uid"]
            if not running(pod) or pod["spec"]["nodeName"] in self.lost_nodes:
                continue
            if uid not in self._runs:
                self._runs[uid] = PodRun(self, clone(pod))
                self._tasks[uid] = asyncio.create_task(self._runs[uid].run())
            if pod["metadata"].get("deletionTimestamp"):
                self._runs[uid].end(pod["metadata"].get("deletionGracePeriodSeconds", 30))

    def log(self, pod: Obj, container: str) -> Path:
        """Where a container's log lies."""
        folder: Path = self.root / "pods" / pod["metadata"]["uid"]
        return folder / "logs" / container

    def evict(self, pod: Obj, message: str) -> None:
        """End a pod as a node under pressure does."""
        condition(pod, "DisruptionTarget", "True", "TerminationByKubelet", message)
        self.store.update("pods", pod)
        self._runs[pod["metadata"]["uid"]].fail("Evicted", message)

    def lose(self, node: str) -> None:
        """Cut a node off: its processes are gone, and nobody says so."""
        self.lost_nodes.add(node)
        for pod in self.store.all("pods"):
            run = self._runs.get(pod["metadata"]["uid"])
            if run is not None and pod["spec"].get("nodeName") == node:
                run.vanish()

    async def close(self) -> None:
        """End everything at once."""
        for uid, task in self._tasks.items():
            if not task.done():
                self._runs[uid].vanish()
                task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        shutil.rmtree(self.root, ignore_errors=True)


class PodRun:
    """The life of one pod on its node."""

    def __init__(self, node: Kubelets, pod: Obj) -> None:
        self._node, self._store = node, node.store
        self._meta, self._spec = pod["metadata"], pod["spec"]
        self._uid = self._meta["uid"]
        self._root = node.root / "pods" / self._uid
        self._folders = Folders(self._store, pod, self._root, node.root / "claims", node.doorman.issue_account)
        self._live: dict[str, Container] = {}
        self._sidecars: dict[str, asyncio.Task[int]] = {}
        self._states: dict[str, Obj] = {}
        self._ending: asyncio.Task[None] | None = None
        self._stopped = False
        self._grace_seconds = float("inf")
        self._gone = False
        self._verdict: tuple[str, str] | None = None

    def end(self, grace_seconds: float) -> None:
        """Begin the end, or shorten the time that it may take."""
        if grace_seconds >= self._grace_seconds:
            return
        if self._ending is not None:
            self._ending.cancel()
        self._stopped, self._grace_seconds = True, grace_seconds
        self._ending = asyncio.create_task(self._stop(grace_seconds))

    def fail(self, reason: str, message: str) -> None:
        """End it by force, for a reason of the node."""
        if self._verdict is None:
            self._verdict = (reason, message)
            self.end(0.0 if reason == "Evicted" else self._spec.get("terminationGracePeriodSeconds", 30))

    def vanish(self) -> None:
        """Kill it, and say nothing."""
        self._gone = self._stopped = True
        for container in self._live.values():
            container.kill_all()
        kill_marked(self._uid)

    async def run(self) -> None:
        """Run the containers in their order and write what came of them."""
        self._write(phase="Pending", startTime=now(), podIP="127.0.0.1", hostIP="127.0.0.1")
        watch = asyncio.create_task(self._watch())
        try:
            await self._until_ready(self._folders.mount)
            codes = await self._containers()
        finally:
            watch.cancel()
        if self._gone:
            return
        kill_marked(self._uid)
        self._finish(bool(codes) and not any(codes) and self._verdict is None and not (self._stopped and not codes))

    async def _containers(self) -> list[int]:
        for spec in self._spec.get("initContainers") or []:
            if spec.get("restartPolicy") == "Always":
                ready = await self._prepared(spec)
                self._sidecars[spec["name"]] = asyncio.create_task(self._container(spec, ready))
                continue
            if await self._container(spec, await self._prepared(spec)):
                await self._end_sidecars()
                return [1]
        prepared = [(spec, await self._prepared(spec)) for spec in self._spec["containers"]]
        if self._stopped:
            await self._end_sidecars()
            return []
        codes = list(await asyncio.gather(*(self._container(spec, ready) for spec, ready in prepared)))
        await self._end_sidecars()
        return codes

    async def _end_sidecars(self) -> None:
        for name, task in reversed(self._sidecars.items()):
            await self._live[name].stop(SIDECAR_GRACE_SECONDS)
            await task

    async def _prepared(self, spec: Obj) -> tuple[list[str], dict[str, str]]:
        """Wait until an image and variables are there."""
        found: list[tuple[list[str], dict[str, str]]] = []

        def prepare() -> None:
            if spec["image"].startswith(MISSING_IMAGE):
                raise NotReady("ImagePullBackOff", f'Back-off pulling image "{spec["image"]}"')
            words = [*(spec.get("command") or []), *(spec.get("args") or [])]
            variables = self._folders.environment(spec)
            found.append(([self._folders.rewrite(spec, expanded(word, variables)) for word in words], variables))

        await self._until_ready(prepare, spec)
        return found[0] if found else ([], {})

    async def _until_ready(self, what: Callable[[], None], spec: Obj | None = None) -> None:
        while not self._stopped:
            try:
                what()
            except NotReady as problem:
                name = (spec or self._spec["containers"][0])["name"]
                self._states[name] = {"waiting": {"reason": problem.reason, "message": problem.message}}
                self._write(phase="Pending")
                happened(self._store, self._pod(), "Warning", "Failed", problem.message)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            return

    async def _container(self, spec: Obj, ready: tuple[list[str], dict[str, str]]) -> int:
        argv, variables = ready
        if self._stopped or not argv:
            return 137
        name = spec["name"]
        folder = Path(self._folders.rewrite(spec, spec["workingDir"])) if spec.get("workingDir") else self._root / "rootfs" / name
        limit = ((spec.get("resources") or {}).get("limits") or {}).get("memory")
        order = Order(argv, image_environment() | variables, folder, quantity(limit) if limit else None, self._uid)
        container = self._live[name] = Container(order, ContainerLog(self._node.log(self._pod(), name), self._node.log_bytes_max))
        running_now = asyncio.create_task(container.run())
        self._states[name] = {"running": {"startedAt": now()}}
        self._write(phase="Running")
        try:
            code = await running_now
        except (FileNotFoundError, PermissionError) as error:
            text = f'exec: "{argv[0]}": {error.strerror}'
            self._states[name] = {
                "terminated": {"exitCode": 128, "reason": "StartError", "message": text, "startedAt": now(), "finishedAt": now()}
            }
            return 128
        reason = "OOMKilled" if container.oom else "Completed" if code == 0 else "Error"
        self._states[name] = {"terminated": {"exitCode": code, "reason": reason, "startedAt": container.started_at, "finishedAt": now()}}
        if not self._gone:
            self._write()
        return code

    async def _stop(self, grace_seconds: float) -> None:
        mains = [each["name"] for each in self._spec["containers"]]
        names = [name for name in self._live if name not in self._sidecars]
        began = time.monotonic()
        await asyncio.gather(*(self._live[name].stop(grace_seconds) for name in names))
        left = grace_seconds - (time.monotonic() - began)
        if not any(name in self._live for name in mains):
            for name in self._sidecars:
                await self._live[name].stop(max(left, 0.5))

    async def _watch(self) -> None:
        """The pod's deadline, and its disk."""
        deadline, began = self._spec.get("activeDeadlineSeconds"), time.monotonic()
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            if deadline is not None and time.monotonic() - began > deadline:
                self.fail("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
            over = await asyncio.to_thread(self._folders.over_limit)
            if over:
                # Unlike a node under pressure, this is the pod's own fault: no DisruptionTarget.
                self.fail("Evicted", over)

    def _finish(self, succeeded: bool) -> None:
        extra: Obj = {}
        if self._verdict is not None:
            extra = {"reason": self._verdict[0], "message": self._verdict[1]}
        self._write(phase="Succeeded" if succeeded else "Failed", **extra)

    def _pod(self) -> Obj:
        return self._store.read("pods", self._meta["namespace"], self._meta["name"])

    def _write(self, **status: object) -> None:
        with suppress(Refusal):
            pod = self._pod()
            if pod["metadata"]["uid"] != self._uid:
                return
            pod["status"] |= status
            pod["status"]["containerStatuses"] = [self._status(each["name"]) for each in self._spec["containers"]]
            pod["status"]["initContainerStatuses"] = [self._status(each["name"]) for each in self._spec.get("initContainers") or []]
            self._store.update("pods", pod)

    def _status(self, name: str) -> Obj:
        state = self._states.get(name) or {"waiting": {"reason": "PodInitializing"}}
        return {"name": name, "state": state, "ready": "running" in state, "restartCount": 0}


def image_environment() -> dict[str, str]:
    """What every emulated image has: this Python, and this source tree."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    home = os.environ.get("HOME", "/")
    return {"PATH": path, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1", "HOME": home, "KUBERNETES_SERVICE_HOST": "127.0.0.1"}

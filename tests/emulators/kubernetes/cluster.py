"""The emulator as a whole: a control plane, nodes, and the faults that a test asks for."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import yaml
from aiohttp import web

from tests.emulators.kubernetes.access import MASTERS, Doorman, User
from tests.emulators.kubernetes.controllers import Collector, Kueue, NodeLife, Scheduler, namespace_parts, new_node
from tests.emulators.kubernetes.deployments import DeploymentController
from tests.emulators.kubernetes.http import ApiServer
from tests.emulators.kubernetes.jobs import KIND, JobController, JobSetController
from tests.emulators.kubernetes.kubelet import Kubelets
from tests.emulators.kubernetes.store import OPTIONAL, RESOURCES, Obj, Refusal, Store, condition

TICK_SECONDS = 0.25
SETTLE_SECONDS = 0.01
OPTIONAL_GROUPS = {"jobset": "jobset.x-k8s.io", "kueue": "kueue.x-k8s.io", "ray": "ray.io", "kserve": "serving.kserve.io"}


class Emulator:
    """A cluster for a test, in the test's own event loop.

    Args:
        extras: optional APIs that are installed: jobset, kueue, ray, kserve.
        rbac: off only in control tests that show what it protects.
        log_bytes_max: a container's log is rotated when it is larger.
    """

    def __init__(self, extras: tuple[str, ...] = (), *, rbac: bool = True, log_bytes_max: int = 10 * 1024 * 1024) -> None:
        self.store = Store()
        self.doorman = Doorman(self.store, rbac)
        self._folder = tempfile.TemporaryDirectory(prefix="kubernetes-emulator-", ignore_cleanup_errors=True)
        self.root = Path(self._folder.name)
        self.kubelets = Kubelets(self.store, self.doorman, self.root / "node", log_bytes_max)
        groups = {OPTIONAL_GROUPS[name] for name in extras}
        self.api = ApiServer(self.store, self.doorman, self.kubelets, (*RESOURCES, *(each for each in OPTIONAL if each.group in groups)))
        self.jobs = JobController(self.store)
        kueue = [Kueue(self.store).run] if "kueue" in extras else []
        jobsets = [JobSetController(self.store).run] if "jobset" in extras else []
        rest = (Scheduler(self.store).run, self.kubelets.run, NodeLife(self.store).run, Collector(self.store).run)
        self._steps: tuple[Callable[[], None], ...] = (*kueue, *jobsets, self.jobs.run, DeploymentController(self.store).run, *rest)
        self._changed = asyncio.Event()
        self.store.listeners.append(self._changed.set)
        self.admin_token = self.doorman.issue(User("admin", (MASTERS,)), 10**6)
        self.address = ""
        self._closing = False

    async def __aenter__(self) -> Self:
        for name in ("default", "kube-system"):
            self.store.create(KIND["namespaces"], "", {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}})
            namespace_parts(self.store, name)
        ports = {"addresses": [{"ip": "127.0.0.1"}]}
        self.store.create(
            KIND["endpoints"], "default", {"metadata": {"name": "kubernetes"}, "subsets": [ports | {"ports": [{"port": 443}]}]}
        )
        self._runner = web.AppRunner(self.api.application(), access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._control = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        self._control.cancel()
        with suppress(asyncio.CancelledError):
            await self._control
        await self.kubelets.close()
        await self._runner.cleanup()
        self._folder.cleanup()

    async def _work(self) -> None:
        """Look at everything after each change, and a few times a second."""
        while not self._closing:
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes as the wait ends.
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            for step in self._steps:
                step()
            await asyncio.sleep(SETTLE_SECONDS)

    def kubeconfig(self, token: str = "") -> Path:
        """Write a kubeconfig for a token, or for the administrator."""
        user = {"token": token or self.admin_token}
        named = {"cluster": {"server": self.address}, "user": user, "context": {"cluster": "emulator", "user": "emulator"}}
        body: Obj = {"apiVersion": "v1", "kind": "Config", "current-context": "emulator"}
        body |= {f"{part}s": [{"name": "emulator", part: value}] for part, value in named.items()}
        path = self.root / f"kubeconfig-{time.monotonic_ns()}.yaml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(body))
        return path

    def add_node(self, name: str, allocatable: Mapping[str, str] | None = None, labels: Mapping[str, str] | None = None) -> None:
        """A machine joins."""
        self.store.create(KIND["nodes"], "", new_node(name, dict(allocatable or {}), dict(labels or {})))

    def cordon(self, name: str) -> None:
        """Take no more pods on a node."""
        node = self.store.read("nodes", "", name)
        node["spec"]["unschedulable"] = True
        self.store.update("nodes", node)

    def lose_node(self, name: str) -> None:
        """A machine is gone: its kubelet is silent, and the cloud's controller takes it from the list."""
        self.kubelets.lose(name)
        self.store.remove("nodes", self.store.read("nodes", "", name))

    def preempt(self, namespace: str, labels: Mapping[str, str]) -> int:
        """End running pods with these labels as the scheduler does for a more important one. Returns how many."""
        hit = [pod for pod in self.pods(namespace, labels) if pod["status"].get("phase") in {"Pending", "Running"}]
        for pod in hit:
            condition(
                pod,
                "DisruptionTarget",
                "True",
                "PreemptionByScheduler",
                "default-scheduler: preempting to accommodate a higher priority pod",
            )
            self.store.update("pods", pod)
            self.store.delete("pods", self.store.read("pods", namespace, pod["metadata"]["name"]))
        return len(hit)

    def pods(self, namespace: str, labels: Mapping[str, str]) -> list[Obj]:
        """The pods of a namespace that have these labels and are not ending."""
        found = self.store.all("pods", namespace)
        return [
            pod
            for pod in found
            if not pod["metadata"].get("deletionTimestamp")
            and all((pod["metadata"].get("labels") or {}).get(name) == value for name, value in labels.items())
        ]

    def fail(self, method: str, path: str, refusal: Refusal, times: int = 1) -> None:
        """Answer the next requests to paths that end so with a refusal."""
        self.api.faults.append(some(method, path, refusal, times))

    def lose_answer(self, method: str, path: str, times: int = 1) -> None:
        """Do the next requests to paths that end so, and answer as a proxy whose time ran out."""
        self.api.losses.append(some(method, path, Refusal(504, "Timeout", "the answer was lost on the way"), times))

    def create(self, plural: str, namespace: str, body: Obj) -> Obj:
        """Put an object there as the administrator, past every check."""
        return self.store.create(KIND[plural], namespace, body)

    def expire(self, token: str) -> None:
        """Let a token have expired."""
        self.doorman.revoke(token)


def some(method: str, path: str, refusal: Refusal, times: int) -> Callable[[str, str], Refusal | None]:
    """A fault for the next so many requests."""
    left = [times]

    def fault(asked: str, at: str) -> Refusal | None:
        if left[0] and asked == method and at.endswith(path):
            left[0] -= 1
            return refusal
        return None

    return fault

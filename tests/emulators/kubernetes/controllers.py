"""The rest of the control plane: the scheduler, the collector of what has no owner, ended namespaces, lost nodes, and a Kueue in small."""

from collections import Counter
from dataclasses import dataclass

from tests.emulators.kubernetes.admission import needs
from tests.emulators.kubernetes.events import happened
from tests.emulators.kubernetes.jobs import KIND, owner
from tests.emulators.kubernetes.store import FOREGROUND, RESOURCES, Obj, Store, clone, condition, has_condition, now, quantity, running

QUEUE = "kueue.x-k8s.io/queue-name"


@dataclass
class Scheduler:
    """Places pods on nodes that have what they ask for."""

    store: Store

    def run(self) -> None:
        """Try to place every pod that has no node."""
        waiting = [
            clone(pod)
            for pod in self.store.peek("pods")
            if not pod["spec"].get("nodeName") and not pod["metadata"].get("deletionTimestamp")
        ]
        if not waiting:
            return
        free = {node["metadata"]["name"]: self._free(node) for node in self.store.peek("nodes")}
        for pod in waiting:
            self._place(pod, free)

    def _free(self, node: Obj) -> dict[str, float]:
        left = {name: quantity(value) for name, value in node["status"]["allocatable"].items()}
        for pod in self.store.peek("pods"):
            if pod["spec"].get("nodeName") == node["metadata"]["name"] and running(pod):
                for name, amount in (needs(pod) | {"pods": 1.0}).items():
                    left[name] = left.get(name, 0.0) - amount
        return left

    def _place(self, pod: Obj, free: dict[str, dict[str, float]]) -> None:
        wanted = needs(pod) | {"pods": 1.0}
        why: Counter[str] = Counter()
        for node in self.store.peek("nodes"):
            left = free[node["metadata"]["name"]]
            problems = unfit(pod, node) or [f"Insufficient {name}" for name, amount in wanted.items() if left.get(name, 0.0) < amount]
            if not problems:
                for name, amount in wanted.items():
                    left[name] -= amount
                pod["spec"]["nodeName"] = node["metadata"]["name"]
                condition(pod, "PodScheduled", "True")
                self.store.update("pods", pod)
                return
            why.update(problems)
        nodes = len(free)
        listed = ", ".join(f"{count} {reason}" for reason, count in sorted(why.items()))
        message = f"0/{nodes} nodes are available: {listed}." if nodes else "no nodes available to schedule pods"
        condition(pod, "PodScheduled", "False", "Unschedulable", message)
        self.store.update("pods", pod)
        happened(self.store, pod, "Warning", "FailedScheduling", message)


def unfit(pod: Obj, node: Obj) -> list[str]:
    """Why a pod may not go to a node, whatever is free there."""
    if node["spec"].get("unschedulable"):
        return ["node(s) were unschedulable"]
    tolerated = pod["spec"].get("tolerations") or []
    for taint in node["spec"].get("taints") or []:
        hit = any(
            (each.get("operator") == "Exists" and each.get("key") in {None, taint["key"]}) or each.get("key") == taint["key"]
            for each in tolerated
        )
        if taint["effect"] in {"NoSchedule", "NoExecute"} and not hit:
            return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
    labels = node["metadata"].get("labels") or {}
    wanted = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(name) != value for name, value in wanted.items()):
        return ["node(s) didn't match Pod's node affinity/selector"]
    return []


@dataclass
class Collector:
    """Ends what has lost its owner, what an owner waits for, and everything in an ended namespace."""

    store: Store

    def run(self) -> None:
        """Look at everything once."""
        everything = self.store.everything()
        uids = {body["metadata"]["uid"] for _, body in everything}
        waiting = {body["metadata"]["uid"] for _, body in everything if FOREGROUND in (body["metadata"].get("finalizers") or [])}
        held: set[str] = set()
        for plural, body in everything:
            refs = body["metadata"].get("ownerReferences")
            if not refs:
                continue
            owners = {each["uid"] for each in refs}
            held |= owners & waiting
            if (not owners & uids or owners & waiting) and not body["metadata"].get("deletionTimestamp"):
                self.store.delete(plural, clone(body))
        for plural, body in everything:
            if body["metadata"]["uid"] in waiting - held:
                mine = clone(body)
                mine["metadata"]["finalizers"].remove(FOREGROUND)
                self._let_go(plural, mine)
        self._pods_that_wait_for_nothing()
        self._namespaces()

    def _let_go(self, plural: str, body: Obj) -> None:
        if self.store.get(plural, body["metadata"].get("namespace", ""), body["metadata"]["name"]):
            self.store.update(plural, body)

    def _pods_that_wait_for_nothing(self) -> None:
        """The tracking finalizer of a pod whose Job is gone, and pods that were never placed."""
        jobs = {job["metadata"]["uid"] for job in self.store.peek("jobs") if not job["metadata"].get("deletionTimestamp")}
        for found in self.store.peek("pods"):
            if not found["metadata"].get("deletionTimestamp") or running(found):
                continue
            pod = clone(found)
            owners = {each["uid"] for each in pod["metadata"].get("ownerReferences") or []}
            if not pod["spec"].get("nodeName") and pod["status"].get("phase") == "Pending" and owners & jobs:
                pod["status"]["phase"] = "Failed"
                self.store.update("pods", pod)
            elif not owners & jobs:
                pod["metadata"]["finalizers"] = []
                self.store.remove("pods", pod)

    def _namespaces(self) -> None:
        for space in self.store.peek("namespaces"):
            if not space["metadata"].get("deletionTimestamp"):
                continue
            name, left = space["metadata"]["name"], 0
            for resource in KIND.values():
                for body in self.store.all(resource.plural, name) if resource.namespaced else ():
                    left += 1
                    if not body["metadata"].get("deletionTimestamp"):
                        self.store.delete(resource.plural, body, grace_seconds=0)
            if not left:
                self.store.remove("namespaces", space)


@dataclass
class NodeLife:
    """Marks pods of a node that is gone, as the garbage collector of pods does."""

    store: Store

    def run(self) -> None:
        """Fail the pods whose node does not exist any more."""
        nodes = {node["metadata"]["name"] for node in self.store.peek("nodes")}
        for found in self.store.peek("pods"):
            if running(found) and found["spec"]["nodeName"] not in nodes:
                pod = clone(found)
                condition(pod, "DisruptionTarget", "True", "DeletionByPodGC", "PodGC: node no longer exists")
                pod["status"]["phase"] = "Failed"
                self.store.update("pods", pod)
                self.store.delete("pods", self.store.read("pods", pod["metadata"]["namespace"], pod["metadata"]["name"]))


@dataclass
class Kueue:
    """Keeps Jobs with a queue's name suspended until their queue has room: `spec.emulatorRoom` of the LocalQueue is how many may run."""

    store: Store

    def run(self) -> None:
        """Make a Workload for each queued Job and let in what fits."""
        for plural in ("jobs", "jobsets"):
            for job in self.store.all(plural):
                queue = (job["metadata"].get("labels") or {}).get(QUEUE)
                if queue and not job["metadata"].get("deletionTimestamp"):
                    self._one(plural, job, queue)

    def _one(self, plural: str, job: Obj, queue: str) -> None:
        space = job["metadata"]["namespace"]
        name = f"{plural[:-1]}-{job['metadata']['name']}"
        workload = self.store.get("workloads", space, name) or self.store.create(
            KIND["workloads"], space, {"metadata": {"name": name, "ownerReferences": [owner(job)]}, "spec": {"queueName": queue}}
        )
        done = any(has_condition(job, kind) for kind in ("Complete", "Failed", "Completed"))
        if done:
            condition(workload, "Finished", "True", "JobFinished")
        elif not has_condition(workload, "Admitted"):
            found = self.store.get("localqueues", space, queue)
            others = [each for each in self.store.all("workloads", space) if each["spec"]["queueName"] == queue]
            busy = sum(has_condition(each, "Admitted") and not has_condition(each, "Finished") for each in others)
            room = found["spec"].get("emulatorRoom", 1) if found else 0
            why = "couldn't assign flavors to pod set main: insufficient unused quota" if found else f"LocalQueue {queue} doesn't exist"
            if busy < room:
                condition(workload, "QuotaReserved", "True", "QuotaReserved")
                condition(workload, "Admitted", "True", "Admitted")
            else:
                condition(workload, "QuotaReserved", "False", "Pending", why)
        self.store.update("workloads", workload)
        if has_condition(workload, "Admitted") and job["spec"].get("suspend"):
            job["spec"]["suspend"] = False
            self.store.update(plural, job)


def namespace_parts(store: Store, name: str) -> None:
    """What a new namespace gets."""
    account = next(each for each in RESOURCES if each.plural == "serviceaccounts")
    config = next(each for each in RESOURCES if each.plural == "configmaps")
    store.create(account, name, {"metadata": {"name": "default"}})
    store.create(config, name, {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "emulator: no TLS\n"}})


def new_node(name: str, allocatable: dict[str, str], labels: dict[str, str]) -> Obj:
    """A node that is ready."""
    labels = {"kubernetes.io/hostname": name} | labels
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": now()}
    sizes = {"pods": "110", "cpu": "8", "memory": "32Gi"} | allocatable
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {"allocatable": sizes, "capacity": sizes, "conditions": [ready]},
    }

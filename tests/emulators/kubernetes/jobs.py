"""The controllers of Jobs and JobSets: pods made, counted, replaced and given up, by the rules of the real ones."""

import time
from dataclasses import dataclass, field
from datetime import datetime

from tests.emulators.kubernetes.admission import admit
from tests.emulators.kubernetes.events import happened
from tests.emulators.kubernetes.store import OPTIONAL, RESOURCES, Obj, Refusal, Store, clone, condition, has_condition, now

INDEX = "batch.kubernetes.io/job-completion-index"
TRACKING = "batch.kubernetes.io/job-tracking"
NAME = "batch.kubernetes.io/job-name"
KIND = {each.plural: each for each in (*RESOURCES, *OPTIONAL)}


@dataclass
class JobController:
    """Brings the pods of every Job to what its specification says."""

    store: Store
    backoff_seconds: float = 0.05
    _not_before: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Look at every Job once."""
        pods: dict[str, list[Obj]] = {}
        for pod in self.store.peek("pods"):
            for owner in pod["metadata"].get("ownerReferences") or []:
                pods.setdefault(owner["uid"], []).append(pod)
        for job in self.store.peek("jobs"):
            mine = pods.get(job["metadata"]["uid"], [])
            if not job["metadata"].get("deletionTimestamp") and not settled(job, mine):
                self._one(clone(job), [clone(pod) for pod in mine])

    def _one(self, job: Obj, pods: list[Obj]) -> None:
        status = job.setdefault("status", {})
        self._count(job, pods)
        done = has_condition(job, "Complete") or has_condition(job, "Failed")
        live = [pod for pod in pods if pod.get("status", {}).get("phase") in {None, "Pending", "Running"}]
        if has_condition(job, "Failed"):
            self._end(live)
        elif not done and job["spec"].get("suspend"):
            condition(job, "Suspended", "True", "JobSuspended", "Job suspended")
            status.pop("startTime", None)
            self._end(live)
        elif not done:
            if has_condition(job, "Suspended"):
                condition(job, "Suspended", "False", "JobResumed", "Job resumed")
            status.setdefault("startTime", now())
            self._go_on(job, pods, live)
        active = [pod for pod in live if not pod["metadata"].get("deletionTimestamp")]
        status["active"] = 0 if has_condition(job, "Complete") or has_condition(job, "Failed") else len(active)
        self._expire(job)
        if self.store.get("jobs", job["metadata"]["namespace"], job["metadata"]["name"]):
            self.store.update("jobs", job)

    def _count(self, job: Obj, pods: list[Obj]) -> None:
        """Count pods that ended, once each: the finalizer says which are not counted yet."""
        status = job["status"]
        for pod in pods:
            phase = pod.get("status", {}).get("phase")
            if phase not in {"Succeeded", "Failed"} or TRACKING not in (pod["metadata"].get("finalizers") or []):
                continue
            index = pod["metadata"].get("annotations", {}).get(INDEX, "")
            if phase == "Succeeded":
                status["succeeded"] = status.get("succeeded", 0) + 1
                status["completedIndexes"] = joined(status.get("completedIndexes", ""), index)
            else:
                self._failed(job, pod, index)
            pod["metadata"]["finalizers"].remove(TRACKING)
            self.store.update("pods", pod)

    def _failed(self, job: Obj, pod: Obj, index: str) -> None:
        action = verdict(job, pod)
        if action == "Ignore":
            return
        status = job["status"]
        status["failed"] = status.get("failed", 0) + 1
        self._not_before[job["metadata"]["uid"]] = time.monotonic() + self.backoff_seconds
        if action == "FailJob":
            self._give_up(job, "PodFailurePolicy", f"Container of pod {pod['metadata']['name']} failed: matching FailJob rule")
        elif job["spec"].get("backoffLimitPerIndex") is not None:
            failures = status.setdefault("emulatorFailures", {})
            failures[index] = failures.get(index, 0) + 1
            if action == "FailIndex" or failures[index] > job["spec"]["backoffLimitPerIndex"]:
                status["failedIndexes"] = joined(status.get("failedIndexes", ""), index)
        elif status["failed"] > job["spec"].get("backoffLimit", 6):
            self._give_up(job, "BackoffLimitExceeded", "Job has reached the specified backoff limit")

    def _go_on(self, job: Obj, pods: list[Obj], live: list[Obj]) -> None:
        spec, status = job["spec"], job["status"]
        if has_condition(job, "Failed"):
            self._end(live)
            return
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and age(status["startTime"]) > deadline:
            self._give_up(job, "DeadlineExceeded", "Job was active longer than specified deadline")
            self._end(live)
            return
        wanted = spec.get("completions") or 1
        failed = members(status.get("failedIndexes", ""))
        succeeded = status.get("succeeded", 0)
        if succeeded + len(failed) >= wanted:
            if failed:
                self._give_up(job, "FailedIndexes", "Job has failed indexes")
            else:
                condition(job, "Complete", "True", "CompletionsReached", "Reached expected number of succeeded pods")
                status["completionTime"] = now()
        elif time.monotonic() >= self._not_before.get(job["metadata"]["uid"], 0.0):
            self._make_pods(job, pods, live, wanted - succeeded - len(failed))

    def _make_pods(self, job: Obj, pods: list[Obj], live: list[Obj], left: int) -> None:
        room = min(job["spec"].get("parallelism", 1), left) - len(live)
        indexed = job["spec"].get("completionMode") == "Indexed"
        taken = {pod["metadata"].get("annotations", {}).get(INDEX) for pod in live}
        taken |= members(job["status"].get("completedIndexes", "")) | members(job["status"].get("failedIndexes", ""))
        free = (str(index) for index in range(job["spec"].get("completions") or 1) if str(index) not in taken)
        for _ in range(max(room, 0)):
            index = next(free, None) if indexed else ""
            if index is None:
                return
            pod = pod_of(job, index)
            try:
                admit(self.store, KIND["pods"], job["metadata"]["namespace"], pod)
            except Refusal as refusal:
                happened(self.store, job, "Warning", "FailedCreate", f"Error creating: {refusal.message}")
                self._not_before[job["metadata"]["uid"]] = time.monotonic() + max(self.backoff_seconds, 0.3)
                return
            self.store.create(KIND["pods"], job["metadata"]["namespace"], pod)

    def _give_up(self, job: Obj, reason: str, message: str) -> None:
        condition(job, "Failed", "True", reason, message)
        happened(self.store, job, "Warning", reason, message)

    def _end(self, pods: list[Obj]) -> None:
        for pod in pods:
            if not pod["metadata"].get("deletionTimestamp"):
                self.store.delete("pods", pod)

    def _expire(self, job: Obj) -> None:
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        ended = next((each for each in job["status"].get("conditions", []) if each["type"] in {"Complete", "Failed"}), None)
        if ttl is not None and ended and age(ended["lastTransitionTime"]) > ttl:
            self.store.delete("jobs", job)


def settled(job: Obj, pods: list[Obj]) -> bool:
    """Whether nothing of a Job can change any more."""
    done = has_condition(job, "Complete") or has_condition(job, "Failed")
    over = all(pod["status"].get("phase") in {"Succeeded", "Failed"} and not pod["metadata"].get("finalizers") for pod in pods)
    return done and over and "ttlSecondsAfterFinished" not in job["spec"]


def pod_of(job: Obj, index: str) -> Obj:
    """A new pod of a Job."""
    template = clone(job["spec"]["template"])
    name = job["metadata"]["name"]
    meta = template.setdefault("metadata", {})
    labels = (meta.get("labels") or {}) | {NAME: name, "job-name": name, "batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
    annotations = dict(meta.get("annotations") or {})
    if index:
        labels[INDEX] = annotations[INDEX] = index
        template["spec"]["hostname"] = f"{name}-{index}"
        for container in [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]:
            container["env"] = [*(container.get("env") or []), {"name": "JOB_COMPLETION_INDEX", "value": index}]
    meta = {
        "generateName": f"{name}-{index}-" if index else f"{name}-",
        "labels": labels,
        "annotations": annotations,
        "finalizers": [TRACKING],
        "ownerReferences": [owner(job)],
    }
    return {"metadata": meta, "spec": template["spec"], "status": {"phase": "Pending"}}


def owner(body: Obj) -> Obj:
    """A reference to what owns."""
    meta = body["metadata"]
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "name": meta["name"], "uid": meta["uid"], "controller": True}


def verdict(job: Obj, pod: Obj) -> str:
    """What the Job's podFailurePolicy says of a failed pod."""
    for rule in (job["spec"].get("podFailurePolicy") or {}).get("rules", []):
        if any(has_condition(pod, pattern["type"]) for pattern in rule.get("onPodConditions") or []):
            return str(rule["action"])
        codes = rule.get("onExitCodes")
        if codes:
            statuses = [*pod["status"].get("containerStatuses", []), *pod["status"].get("initContainerStatuses", [])]
            statuses = [each for each in statuses if codes.get("containerName") in {None, each["name"]}]
            exits = [(each.get("state") or {}).get("terminated", {}).get("exitCode") for each in statuses]
            hit = any(code is not None and code != 0 and (code in codes["values"]) == (codes["operator"] == "In") for code in exits)
            if hit:
                return str(rule["action"])
    return "Count"


def members(text: str) -> set[str]:
    """The indexes that `1,3-5` names."""
    found: set[str] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= {str(index) for index in range(int(first), int(last or first) + 1)}
    return found


def joined(text: str, index: str) -> str:
    """Add an index to such a text."""
    numbers = sorted(int(each) for each in {*members(text), *([index] if index else [])})
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def age(stamp: str) -> float:
    """Seconds since a moment."""
    return time.time() - datetime.fromisoformat(stamp).timestamp()


@dataclass
class JobSetController:
    """Makes the Jobs of a JobSet and starts all of them again when one fails, as often as it may."""

    store: Store

    def run(self) -> None:
        """Look at every JobSet once."""
        for jobset in self.store.all("jobsets"):
            if not jobset["metadata"].get("deletionTimestamp"):
                self._one(jobset)

    def _one(self, jobset: Obj) -> None:
        status = jobset.setdefault("status", {"restarts": 0, "restartsCountTowardsMax": 0})
        if has_condition(jobset, "Completed") or has_condition(jobset, "Failed"):
            return
        uid, space = jobset["metadata"]["uid"], jobset["metadata"]["namespace"]
        jobs = [job for job in self.store.all("jobs", space) if owned(job, uid)]
        old = [job for job in jobs if job["metadata"]["labels"]["jobset.sigs.k8s.io/restart-attempt"] != str(status["restarts"])]
        for job in old:
            if not job["metadata"].get("deletionTimestamp"):
                self.store.delete("jobs", job, foreground=True)
        current = [job for job in jobs if job not in old]
        suspended = bool(jobset["spec"].get("suspend"))
        condition(jobset, "Suspended", "True" if suspended else "False", "SuspendedJobs" if suspended else "ResumeJobs")
        if not old and not current and not suspended:
            for replicated in jobset["spec"]["replicatedJobs"]:
                self._make(jobset, replicated)
        elif any(has_condition(job, "Failed") for job in current):
            policy = jobset["spec"].get("failurePolicy") or {}
            free = any(free_restart(policy, job) for job in current)
            if free or status["restartsCountTowardsMax"] < policy.get("maxRestarts", 0):
                status["restarts"] += 1
                status["restartsCountTowardsMax"] += not free
            else:
                condition(jobset, "Failed", "True", "FailedJobs", "jobset failed due to one or more job failures")
        elif current and all(has_condition(job, "Complete") for job in current):
            condition(jobset, "Completed", "True", "AllJobsCompleted", "jobset completed successfully")
        self.store.update("jobsets", jobset)

    def _make(self, jobset: Obj, replicated: Obj) -> None:
        name, space = jobset["metadata"]["name"], jobset["metadata"]["namespace"]
        spec = clone(replicated["template"]["spec"])
        marks = {"jobset.sigs.k8s.io/jobset-name": name, "jobset.sigs.k8s.io/restart-attempt": str(jobset["status"]["restarts"])}
        meta = spec["template"].setdefault("metadata", {})
        meta["labels"] = (meta.get("labels") or {}) | marks
        if (jobset["spec"].get("network") or {}).get("enableDNSHostnames", True):
            spec["template"]["spec"]["subdomain"] = (jobset["spec"].get("network") or {}).get("subdomain") or name
        for index in range(replicated.get("replicas", 1)):
            body = {
                "metadata": {"name": f"{name}-{replicated['name']}-{index}", "labels": marks, "ownerReferences": [owner(jobset)]},
                "spec": spec,
            }
            self.store.create(KIND["jobs"], space, clone(body))


def free_restart(policy: Obj, job: Obj) -> bool:
    """Whether a rule of the policy starts the set again without counting it."""
    failed = next((each for each in job["status"].get("conditions", []) if each["type"] == "Failed" and each["status"] == "True"), None)
    rules = policy.get("rules") or []
    return failed is not None and any(
        rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
        and failed["reason"] in (rule.get("onJobFailureReasons") or [failed["reason"]])
        for rule in rules
    )


def owned(body: Obj, uid: str) -> bool:
    """Whether an object belongs to the one of this uid."""
    return any(each["uid"] == uid for each in body["metadata"].get("ownerReferences") or [])

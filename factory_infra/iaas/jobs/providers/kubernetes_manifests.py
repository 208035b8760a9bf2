"""What a job becomes in a cluster: its record, secrets and rights, and the Job or JobSet that runs it."""

import base64
import math
from dataclasses import dataclass

from factory_infra.foundation.pools.kubernetes import Manifest
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.jobs.providers.kubernetes_objects import MAIN, Record
from factory_infra.iaas.jobs.providers.kubernetes_words import EXIT_NO_MORE, EXIT_TOO_OFTEN, PREPARE
from factory_infra.iaas.kubernetes.manifests import CLAIM
from factory_infra.iaas.kubernetes.names import GENERATION, JOB, JOB_ID, ROLE, job_name, labels, namespace_of

GPU = "nvidia.com/gpu"
QUEUE = "kueue.x-k8s.io/queue-name"
INDEX_FIELD = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
JOB_DIR, RUN_DIR, INPUTS_DIR, CHECKPOINT_DIR = "/lineshaft/job", "/lineshaft/run", "/lineshaft/inputs", "/lineshaft/checkpoint"
TEMPORARY_DIR = f"{JOB_DIR}/tmp"  # noqa: S108 (in the job's own folder)
ACCOUNT_DIR = "/var/run/secrets/lineshaft"
PORT_FIRST, PORTS = 29500, 1000
PREEMPTIONS_MAX = 20
GRACE_SECONDS = 30
TOKEN_SECONDS = 3600
ARRAY_AT_ONCE = 100
VOLUMES_GROUP = 1000
SMALL = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}}
START = (
    'n=0; until [ -f "$LINESHAFT_RUN_DIR/ready" ] || [ "$n" -ge 600 ]; do n=$((n + 1)); sleep 0.1; done; '
    'mkdir -p "$LINESHAFT_CHECKPOINT_DIR" "$TMPDIR"; . "$LINESHAFT_RUN_DIR/env"; cd "$LINESHAFT_JOB_DIR"; exec "$@"'
)
"""The carrier must be listening before the program starts: one that ends at once would end it too early."""
RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Made:
    """One object of a job, and the collection that it goes into."""

    collection: str
    manifest: Manifest


class JobManifests:
    """Builds everything of one job.

    Args:
        pool: where it runs.
        spec: what was asked for.
        record: ours of it.
        queued: whether Kueue decides when it starts.
    """

    def __init__(self, pool: KubernetesPool, spec: JobSpec, record: Record, *, queued: bool = False) -> None:
        self._pool, self._spec, self._record, self._queued = pool, spec, record, queued
        self.name = job_name(spec.id)
        self.namespace = namespace_of(pool, spec.tenant)
        self.core = f"/api/v1/namespaces/{self.namespace}"

    @property
    def engine_name(self) -> str:
        """The Job's or JobSet's own name: another one each time that it is started anew."""
        return self.name if self._record.generation == 1 else f"{self.name}-r{self._record.generation}"

    @property
    def engine_collection(self) -> str:
        """Where it goes."""
        group = "jobset.x-k8s.io/v1alpha2" if self._record.kind == "jobsets" else "batch/v1"
        return f"/apis/{group}/namespaces/{self.namespace}/{self._record.kind}"

    def record(self) -> Manifest:
        """The record, which owns everything else of the job."""
        meta = self._meta(self.name) | {"annotations": {JOB_ID: self._spec.id}}
        meta["labels"] = self._labels() | {ROLE: "record"}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"record.json": self._record.model_dump_json()}}

    def parts(self, owner_uid: str) -> list[Made]:
        """What is made once, whatever the number of starts."""
        kept = {"spec.json": self._spec.model_dump_json()} | {f"in.{name}": text for name, text in self._spec.inputs.items()}
        found = [
            Made(f"{self.core}/secrets", self._secret(f"{self.name}-spec", kept)),
            Made(f"{self.core}/secrets", self._secret(f"{self.name}-env", self._spec.environment)),
            Made(f"{self.core}/configmaps", self._object("v1", "ConfigMap", f"{self.name}-out")),
            Made(f"{self.core}/configmaps", self._object("v1", "ConfigMap", f"{self.name}-res")),
            *self._rights(),
        ]
        if self._spec.nodes > 1 and self._record.kind == "jobs":
            spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {JOB: self.name}}
            found.append(Made(f"{self.core}/services", self._object("v1", "Service", self.name, spec=spec)))
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": self.name, "uid": owner_uid}
        return [Made(each.collection, owned(each.manifest, owner)) for each in found]

    def engine(self, owner_uid: str) -> Manifest:
        """The Job, or the JobSet of a job on several nodes where that is installed."""
        jobset = self._record.kind == "jobsets"
        version, kind = ("jobset.x-k8s.io/v1alpha2", "JobSet") if jobset else ("batch/v1", "Job")
        queue = {QUEUE: self._spec.queue or self._pool.queue} if self._queued else {}
        meta = self._meta(self.engine_name) | {"labels": self._labels() | {GENERATION: str(self._record.generation)} | queue}
        spec = self._jobset() if jobset else self._job()
        if self._queued:
            spec["suspend"] = True
        made = {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}
        return owned(made, {"apiVersion": "v1", "kind": "ConfigMap", "name": self.name, "uid": owner_uid})

    def _jobset(self) -> dict[str, object]:
        """One pod that fails or is taken away starts all again: a rendezvous has no use for the rest."""
        again = {"name": "preempted", "action": "RestartJobSetAndIgnoreMaxRestarts", "onJobFailureReasons": ["PodFailurePolicy"]}
        child = self._job() | {"backoffLimit": 0}
        child["podFailurePolicy"] = {"rules": [disrupted("FailJob")]}
        return {
            "replicatedJobs": [{"name": "node", "replicas": 1, "template": {"spec": child}}],
            "failurePolicy": {"maxRestarts": self._spec.attempts_max - 1, "rules": [again]},
            "network": {"enableDNSHostnames": True, "subdomain": self.engine_name},
        }

    def _job(self) -> dict[str, object]:
        spec, width = self._spec, self._record.width
        given_up = {"containerName": PREPARE, "operator": "In", "values": [EXIT_TOO_OFTEN, EXIT_NO_MORE]}
        body: dict[str, object] = {
            "completions": width,
            "parallelism": min(width, len(spec.slots) or ARRAY_AT_ONCE) if spec.array else width,
            "podFailurePolicy": {
                "rules": [{"action": "FailIndex" if spec.array else "FailJob", "onExitCodes": given_up}, disrupted("Ignore")]
            },
            "template": {"metadata": {"labels": self._labels() | {GENERATION: str(self._record.generation)}}, "spec": self._pod()},
        }
        if spec.array or spec.nodes > 1:
            body["completionMode"] = "Indexed"
        if spec.array:
            body["backoffLimitPerIndex"] = spec.attempts_max - 1
        else:
            body["backoffLimit"] = spec.attempts_max - 1
        return body

    def _pod(self) -> dict[str, object]:
        pool, spec = self._pool, self._spec
        # A program of any user may write into the volumes, whoever laid the folders out.
        shared = {"fsGroup": VOLUMES_GROUP, "fsGroupChangePolicy": "OnRootMismatch"}
        security: dict[str, object] = {"seccompProfile": {"type": "RuntimeDefault"}} | shared
        if pool.pod_security == "restricted":
            security |= {"runAsNonRoot": True, "runAsUser": VOLUMES_GROUP}
        body: dict[str, object] = {
            "restartPolicy": "Never",
            "serviceAccountName": self.name,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "securityContext": security,
            "volumes": self._volumes(),
            "initContainers": [self._carrier(PREPARE), self._carrier("carry")],
            "containers": [self._main()],
        }
        if spec.limits.seconds is not None and not spec.service:
            body["activeDeadlineSeconds"] = max(math.ceil(spec.limits.seconds), 1)
        if pool.node_selector:
            body["nodeSelector"] = dict(pool.node_selector)
        if pool.tolerations:
            body["tolerations"] = [{"key": key, "operator": "Exists"} for key in pool.tolerations]
        if pool.runtime_class:
            body["runtimeClassName"] = pool.runtime_class
        if spec.nodes > 1 and self._record.kind == "jobs":
            body["subdomain"] = self.name
        return body

    def _volumes(self) -> list[dict[str, object]]:
        size = f"{max(math.ceil(self._spec.limits.file_gib * 4 * 1024), 64)}Mi"
        token = {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}}
        ca = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
        kept: dict[str, object] = {"persistentVolumeClaim": {"claimName": CLAIM}} if self._pool.storage_class else {"emptyDir": {}}
        return [
            {"name": "job", "emptyDir": {"sizeLimit": size}},
            {"name": "run", "emptyDir": {"sizeLimit": "1Mi"}},
            {"name": "inputs", "secret": {"secretName": f"{self.name}-spec"}},
            {"name": "account", "projected": {"sources": [token, ca]}},
            {"name": "checkpoint"} | kept,
        ]

    def _carrier(self, what: str) -> dict[str, object]:
        """Our own program: before the job's, or beside it. It alone has the token."""
        starts = (self._spec.attempts_max + PREEMPTIONS_MAX) * self._record.generation
        words = ["--server", self._pool.api_from_pods, "--namespace", self.namespace, "--name", self.name, "--pod", "$(POD_NAME)"]
        words += [
            "--index",
            "$(POD_INDEX)",
            "--starts-max",
            str(starts),
            "--generation",
            str(self._record.generation),
            "--job-dir",
            JOB_DIR,
            "--run-dir",
            RUN_DIR,
        ]
        words += ["--inputs", INPUTS_DIR, "--account", ACCOUNT_DIR]
        mounts = [("job", JOB_DIR), ("run", RUN_DIR), ("inputs", INPUTS_DIR), ("account", ACCOUNT_DIR)]
        body: dict[str, object] = {
            "name": what,
            "image": self._pool.image or self._spec.image,
            "command": ["python3", "-P", "-m", "factory_infra.iaas.jobs.carrier_kubernetes", what, *words],
            "env": [field("POD_NAME", "metadata.name"), field("POD_INDEX", INDEX_FIELD)],
            "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts],
            "resources": SMALL,
            "securityContext": CONFINED,
        }
        return body if what == PREPARE else body | {"restartPolicy": "Always"}

    def _main(self) -> dict[str, object]:
        mounts: list[dict[str, object]] = [{"name": "job", "mountPath": JOB_DIR}, {"name": "run", "mountPath": RUN_DIR, "readOnly": True}]
        kept: dict[str, object] = {"name": "checkpoint", "mountPath": CHECKPOINT_DIR}
        if self._pool.storage_class:
            # Its own folder of the team's volume, the same at every start.
            kept["subPath"] = self.name
        return {
            "name": MAIN,
            "image": self._spec.image or self._pool.image,
            # The cluster expands variables in words by itself: a doubled dollar sign is one, and only a shell sees it.
            "command": [word.replace("$", "$$") for word in ("/bin/sh", "-c", START, "sh", *self._spec.argv)],
            "env": self._variables(),
            "envFrom": [{"secretRef": {"name": f"{self.name}-env"}}],
            "volumeMounts": [*mounts, kept],
            "resources": self._resources(),
            "securityContext": CONFINED,
        }

    def _variables(self) -> list[dict[str, object]]:
        spec = self._spec
        indexed = bool(spec.array) or spec.nodes > 1
        folder = f"{CHECKPOINT_DIR}/$(POD_INDEX)" if spec.array else CHECKPOINT_DIR
        plain = {
            "LINESHAFT_JOB_ID": spec.id,
            "LINESHAFT_JOB_DIR": JOB_DIR,
            "LINESHAFT_RUN_DIR": RUN_DIR,
            "LINESHAFT_CHECKPOINT_DIR": folder,
            "MASTER_ADDR": self._first_node(),
            "MASTER_PORT": str(PORT_FIRST + int(self.name[-8:], 16) % PORTS),
            "NNODES": str(spec.nodes),
            "NODE_RANK": "$(POD_INDEX)" if spec.nodes > 1 else "0",
            "WORLD_SIZE": str(spec.nodes),
        }
        if spec.array:
            plain |= {"LINESHAFT_ARRAY_INDEX": "$(POD_INDEX)", "LINESHAFT_ARRAY_COUNT": str(spec.array)}
        usual = {"HOME": JOB_DIR, "TMPDIR": TEMPORARY_DIR, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        plain |= {name: value for name, value in usual.items() if name not in spec.environment}
        first = [field("POD_INDEX", INDEX_FIELD)] if indexed else []
        values: list[dict[str, object]] = [{"name": name, "value": value} for name, value in plain.items()]
        return first + values

    def _first_node(self) -> str:
        if self._spec.nodes == 1:
            return "127.0.0.1"
        if self._record.kind == "jobsets":
            return f"{self.engine_name}-node-0-0.{self.engine_name}"
        return f"{self.engine_name}-0.{self.name}"

    def _resources(self) -> dict[str, object]:
        """The slots of one pod: the job's, shared by its nodes; one for a task of an array."""
        spec = self._spec
        each = 1 if spec.array else math.ceil(len(spec.slots) / spec.nodes)
        memory = f"{max(math.ceil(spec.limits.memory_gib * 1024), 16)}Mi"
        requests, limits = {"cpu": "1", "memory": memory}, {"memory": memory}
        resource = self._pool.resource or (GPU if spec.slot_kind == "gpu" else "cpu")
        if resource == "cpu":
            requests["cpu"] = str(max(each, 1))
        elif spec.slot_kind == "gpu" and spec.slots:
            requests[resource] = limits[resource] = str(each)
        return {"requests": requests, "limits": limits}

    def _rights(self) -> list[Made]:
        """The carrier's own account: the two ConfigMaps of this job, its pod, and the pod's log."""
        written = [f"{self.name}-out", f"{self.name}-res"]
        rules = [
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": written, "verbs": ["get", "patch"]},
            {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get"]},
        ]
        rbac = f"/apis/{RBAC}/v1/namespaces/{self.namespace}"
        subject = {"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace}
        role = {"apiGroup": RBAC, "kind": "Role", "name": self.name}
        return [
            Made(f"{self.core}/serviceaccounts", self._object("v1", "ServiceAccount", self.name, automountServiceAccountToken=False)),
            Made(f"{rbac}/roles", self._object(f"{RBAC}/v1", "Role", self.name, rules=rules)),
            Made(f"{rbac}/rolebindings", self._object(f"{RBAC}/v1", "RoleBinding", self.name, subjects=[subject], roleRef=role)),
        ]

    def _labels(self) -> dict[str, str]:
        return labels(self._pool, self._spec.tenant) | {JOB: self.name}

    def _meta(self, name: str) -> dict[str, object]:
        return {"name": name, "namespace": self.namespace, "labels": self._labels()}

    def _object(self, version: str, kind: str, name: str, **fields: object) -> dict[str, object]:
        return {"apiVersion": version, "kind": kind, "metadata": self._meta(name)} | fields

    def _secret(self, name: str, data: dict[str, str]) -> dict[str, object]:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        return self._object("v1", "Secret", name, data=encoded, type="Opaque")


CONFINED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def disrupted(action: str) -> dict[str, object]:
    """The rule for a pod that was taken away: preempted, put out, or lost with its node."""
    return {"action": action, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def field(name: str, path: str) -> dict[str, object]:
    """A variable from the pod itself."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def owned(manifest: Manifest, owner: dict[str, str]) -> Manifest:
    """The same object, removed with the record."""
    meta = manifest["metadata"]
    assert isinstance(meta, dict)  # noqa: S101 (ours)
    return {**manifest, "metadata": meta | {"ownerReferences": [owner]}}

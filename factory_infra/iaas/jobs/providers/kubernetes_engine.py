"""The objects of jobs in a cluster: made, looked at, changed and removed. Says nothing of what they mean."""

import asyncio
import base64
import json
from datetime import UTC, datetime
from typing import Literal

from pydantic import ValidationError

from factory_infra.errors import Conflict, InvalidInput, NotFound, TooLarge
from factory_infra.foundation.pools.kubernetes import Kubernetes
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.jobs.providers.kubernetes_checks import NAME
from factory_infra.iaas.jobs.providers.kubernetes_manifests import JobManifests
from factory_infra.iaas.jobs.providers.kubernetes_objects import (
    ConfigMap,
    End,
    EngineJob,
    Event,
    Pod,
    Record,
    Secret,
    Seen,
    Workload,
)
from factory_infra.iaas.kubernetes.names import GENERATION, INSTALLATION, JOB, ROLE, job_name, namespace_of

JOBSET, KUEUE = "jobset.x-k8s.io", "kueue.x-k8s.io"
CANCEL_GRACE_SECONDS = 5
KEEP_TRIES = 4


class Engine:
    """The cluster's side of jobs.

    Args:
        api: the cluster.
        pool: its entry in the pools' file.
    """

    def __init__(self, api: Kubernetes, pool: KubernetesPool) -> None:
        self._api = api
        self._pool = pool

    async def way(self, spec: JobSpec) -> tuple[Literal["jobs", "jobsets"], bool]:
        """Say by what object a job runs, and whether Kueue queues it. Raises InvalidInput for a queue without a Kueue."""
        queue = spec.queue or self._pool.queue
        if spec.nodes == 1 and not queue:
            return "jobs", False
        groups = await self._api.groups()
        if queue and KUEUE not in groups:
            reason = f"Pool '{self._pool.name}' has no queues: Kueue is not installed in its cluster."
            raise InvalidInput(reason, remedy="Leave the queue out, or install Kueue.", code="not_offered")
        return ("jobsets" if spec.nodes > 1 and JOBSET in groups else "jobs"), bool(queue)

    async def find(self, job_id: str, tenant: str) -> Seen | None:
        """Return a job's record alone, or None where there is none."""
        if not (NAME.fullmatch(job_id) and NAME.fullmatch(tenant)):
            return None
        found = await self._api.find(f"{self._core(tenant)}/configmaps/{job_name(job_id)}", ConfigMap)
        seen = seen_of(found) if found is not None else None
        return seen if seen is not None and (seen.record.id, seen.record.tenant) == (job_id, tenant) else None

    async def records(self, namespace: str) -> list[Seen]:
        """Return the records of all jobs of a namespace."""
        selector = f"{ROLE}=record,{INSTALLATION}={self._pool.namespace_prefix}"
        found = await self._api.items(f"/api/v1/namespaces/{namespace}/configmaps", ConfigMap, {"labelSelector": selector})
        return [seen for each in found if (seen := seen_of(each)) is not None]

    async def begin(self, spec: JobSpec, record: Record) -> None:
        """Write the record, unless another process was quicker."""
        manifests = JobManifests(self._pool, spec, record)
        await self._api.ensure(f"{manifests.core}/configmaps", manifests.record())

    async def see(self, job_id: str, tenant: str) -> Seen:
        """Return everything that the cluster says of a job. Raises NotFound."""
        seen = await self.find(job_id, tenant)
        if seen is None:
            raise unknown(job_id)
        name, core = job_name(job_id), self._core(tenant)
        selector = {"labelSelector": f"{JOB}={name}"}
        job, pods, out = await asyncio.gather(
            self._job(seen.record),
            self._api.items(f"{core}/pods", Pod, selector),
            self._api.find(f"{core}/configmaps/{name}-out", ConfigMap),
        )
        now = str(seen.record.generation)
        found = seen.model_copy(
            update={
                "job": job,
                "pods": [pod for pod in pods if pod.metadata.labels.get(GENERATION) == now],
                "before": [pod for pod in pods if pod.metadata.labels.get(GENERATION) != now],
                "out": (out.data if out else None) or {},
            }
        )
        return await self._why(found) if job is not None and not found.pods and not (job.succeeded or job.failed) else found

    async def start(self, seen: Seen, spec: JobSpec) -> Seen:
        """Make everything of this generation that is not there yet, and note that it was made."""
        record = seen.record
        kind, queued = await self.way(spec)
        record = record.model_copy(update={"kind": kind})
        manifests = JobManifests(self._pool, spec, record, queued=queued)
        await asyncio.gather(*(self._api.ensure(part.collection, part.manifest) for part in manifests.parts(seen.uid)))
        path = f"{manifests.engine_collection}/{manifests.engine_name}"
        try:
            made = await self._api.post(manifests.engine_collection, manifests.engine(seen.uid), EngineJob)
        except Conflict:
            made = await self._api.get(path, EngineJob)
        await self._rewrite(seen, engine_uid=made.metadata.uid, kind=kind)
        return await self.see(record.id, record.tenant)

    async def prepare(self, seen: Seen, spec: JobSpec) -> None:
        """Keep what a job that waits for others will be started from."""
        manifests = JobManifests(self._pool, spec, seen.record)
        await asyncio.gather(*(self._api.ensure(part.collection, part.manifest) for part in manifests.parts(seen.uid)))

    async def keep(self, seen: Seen, end: End) -> None:
        """Write how the job ended into its record, unless that is written already."""
        await self._rewrite(seen, end=end)

    async def again(self, seen: Seen) -> Seen:
        """Begin another generation of an ended or lost job. Raises Conflict where somebody else did so now."""
        record = seen.record
        fresh = record.model_copy(
            update={"generation": record.generation + 1, "engine_uid": "", "end": None, "after": [], "asked_at": datetime.now(UTC)}
        )
        if record.array:
            # Tasks that succeeded are passed over: their pods of the next generation end at once.
            done = {pod.index for pod in seen.pods if pod.status.phase == "Succeeded"} | indices_of(seen.out.get("done", ""))
            told = {"data": {"done": ",".join(map(str, sorted(done)))}}
            await self._api.patch(f"{self._core(record.tenant)}/configmaps/{job_name(record.id)}-out", told)
        await self._api.patch(self._record_path(record), change_of(fresh, seen.version))
        return await self.see(record.id, record.tenant)

    async def stop(self, seen: Seen) -> None:
        """Remove the Job or JobSet with its pods; their carriers keep the logs' ends."""
        record = seen.record
        manifests = JobManifests(self._pool, stub(record), record)
        await self._api.delete(f"{manifests.engine_collection}/{manifests.engine_name}", propagation="Foreground")
        for pod in seen.pods:
            if not pod.ended:
                path = f"{manifests.core}/pods/{pod.metadata.name}"
                await self._api.delete(path, grace_seconds=CANCEL_GRACE_SECONDS)

    async def spec(self, record: Record) -> JobSpec:
        """Return what was asked for, as it was kept. Raises NotFound where somebody removed it."""
        secret = await self._api.get(f"{self._core(record.tenant)}/secrets/{job_name(record.id)}-spec", Secret)
        return JobSpec.model_validate_json(base64.b64decode((secret.data or {}).get("spec.json", "")))

    async def result(self, record: Record, index: int, name: str) -> str | None:
        """Return the text of a result, None while there is none. Raises TooLarge for one that did not fit."""
        found = await self._api.find(f"{self._core(record.tenant)}/configmaps/{job_name(record.id)}-res", ConfigMap)
        data = (found.data if found else None) or {}
        left: dict[str, int] = json.loads(data.get(f"t{index}._left", "{}"))
        if name in left:
            remedy = "All results of a job together are at most 900 kB here: write larger ones into a bucket."
            raise TooLarge(f"The result {name} of {left[name]} bytes was not taken out of the job's folder.", remedy=remedy)
        return data.get(f"t{index}.{name}")

    async def _job(self, record: Record) -> EngineJob | None:
        manifests = JobManifests(self._pool, stub(record), record)
        return await self._api.find(f"{manifests.engine_collection}/{manifests.engine_name}", EngineJob)

    async def _why(self, seen: Seen) -> Seen:
        """Ask also for what explains that a job has no pod."""
        assert seen.job is not None  # noqa: S101 (the caller has looked)
        record, uid = seen.record, seen.job.metadata.uid
        events = await self._about(record.tenant, seen.job.metadata.name)
        workload = None
        if self._pool.queue or "kueue.x-k8s.io/queue-name" in seen.job.metadata.labels:
            path = f"/apis/{KUEUE}/v1beta1/namespaces/{namespace_of(self._pool, record.tenant)}/workloads"
            every = await self._api.items(path, Workload)
            workload = next((each for each in every if any(owner.uid == uid for owner in each.metadata.owner_references)), None)
        return seen.model_copy(update={"events": events, "workload": workload})

    async def _about(self, tenant: str, name: str) -> list[Event]:
        """Return what was told of the Job of this name, and of the Jobs of the JobSet of this name, the oldest first."""
        found = await self._api.items(f"{self._core(tenant)}/events", Event, {"fieldSelector": "involvedObject.kind=Job"})
        oldest = datetime.min.replace(tzinfo=UTC)
        mine = [each for each in found if each.involved_object.name == name or each.involved_object.name.startswith(f"{name}-node-")]
        return sorted(mine, key=lambda event: event.last_timestamp or oldest)

    async def _rewrite(self, seen: Seen, **changes: object) -> None:
        """Change the record, whatever others change in it meanwhile; the first end that is written stays."""
        for _ in range(KEEP_TRIES):
            if seen.record.end is not None:
                return
            try:
                await self._api.patch(self._record_path(seen.record), change_of(seen.record.model_copy(update=changes), seen.version))
            except Conflict:
                again = await self.find(seen.record.id, seen.record.tenant)
                if again is None or again.record.generation != seen.record.generation:
                    return
                seen = again
            else:
                return

    def _record_path(self, record: Record) -> str:
        return f"{self._core(record.tenant)}/configmaps/{job_name(record.id)}"

    def _core(self, tenant: str) -> str:
        return f"/api/v1/namespaces/{namespace_of(self._pool, tenant)}"


def indices_of(text: str) -> set[int]:
    """The indices that a list with commas names."""
    return {int(index) for index in text.split(",") if index}


def change_of(record: Record, version: str) -> dict[str, object]:
    """A change of the record that is refused where somebody changed it since."""
    return {"metadata": {"resourceVersion": version}, "data": {"record.json": record.model_dump_json()}}


def seen_of(found: ConfigMap) -> Seen | None:
    """Read a record; None for a ConfigMap that holds none that can be read."""
    try:
        record = Record.model_validate_json((found.data or {}).get("record.json", ""))
    except ValidationError:
        return None
    return Seen(record=record, version=found.metadata.resource_version, uid=found.metadata.uid)


def stub(record: Record) -> JobSpec:
    """As much of a specification as names need."""
    return JobSpec(id=record.id, tenant=record.tenant, name=record.name, argv=[""], nodes=record.nodes, array=record.array)


def unknown(job_id: str) -> NotFound:
    """The same words whether there is none or it is another team's."""
    return NotFound(f"There is no job {job_id[:128]!r}.", remedy="List the jobs to see those that exist.", code="job_unknown")

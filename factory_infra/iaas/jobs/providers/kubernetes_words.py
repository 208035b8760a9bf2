"""Why a job waits or failed on Kubernetes: the engine's reasons in words, with what would help."""

import re
from collections.abc import Iterator

from factory_infra.iaas.jobs.models import JobFailure, Waiting
from factory_infra.iaas.jobs.providers.kubernetes_objects import ContainerState, Event, Pod, Seen

EXIT_TOO_OFTEN, EXIT_NO_MORE = 42, 43
EXIT_NO_PROGRAM = (126, 127, 128)
WORDS_MAX = 400
PREPARE = "prepare"

_SCHEDULING: tuple[tuple[str, str, str], ...] = (
    (
        r"Insufficient ([\w./-]*\w)",
        "No node has as much {0} free as the job asks for",
        "Wait until others end, ask for fewer, or add nodes.",
    ),
    (r"untolerated taint \{([^:}]+)", "The nodes carry the taint {0}, which the job does not stand", "Add it to the pool's `tolerations`."),
    (r"(?:node affinity|selector)", "No node has the labels that the pool's `node_selector` names", "Correct it in the pools' file."),
    (
        r"unbound immediate PersistentVolumeClaims|volume node affinity",
        "The volume for checkpoints is not there yet",
        "See the pool's `storage_class`.",
    ),
    (r"were unschedulable", "The nodes are closed to new work", "Open them with `kubectl uncordon`, or add nodes."),
    (r"no nodes available", "The cluster has no node", "Add nodes."),
)
_CONTAINER: dict[str, tuple[str, str]] = {
    "ImagePullBackOff": ("The image cannot be pulled", "Check the image's name, and that the nodes may read its registry."),
    "ErrImagePull": ("The image cannot be pulled", "Check the image's name, and that the nodes may read its registry."),
    "ErrImageNeverPull": ("The image is not on the node", "Load it there, or name one that can be pulled."),
    "InvalidImageName": ("The image's name is none", "Correct the image."),
    "CreateContainerConfigError": (
        "The container's settings name something that is not there",
        "Submit the job again; see docs/kubernetes.md.",
    ),
    "CreateContainerError": ("The container cannot be made", "See `kubectl describe pod`."),
    "RunContainerError": ("The container cannot be started", "Check the program and the image."),
    "ContainerCreating": ("The node prepares the container", "It starts in a moment."),
    "PodInitializing": ("The node prepares the container", "It starts in a moment."),
}


def waiting_of(seen: Seen) -> Waiting:
    """Say why a job does not run: the most telling reason that anything in the cluster gives."""
    return next(_reasons(seen), pending("Pending", "The cluster has not begun it yet.", "It starts in a moment."))


def _reasons(seen: Seen) -> Iterator[Waiting]:
    for pod in seen.pods:
        yield from _of_containers(pod)
    for pod in seen.pods:
        placed = pod.status.named("PodScheduled")
        if placed is not None and not placed.holds and placed.reason:
            yield scheduling(placed.reason, placed.message)
    if not seen.pods:
        yield from _of_queue(seen)
        yield from (creation(event) for event in reversed(seen.events) if event.reason == "FailedCreate")
    for pod in seen.pods:
        if not pod.ended:
            yield pending("ContainerCreating", "The node prepares the container.", "It starts in a moment.")


def _of_containers(pod: Pod) -> Iterator[Waiting]:
    for status in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
        waits = status.state.waiting
        if waits is not None and waits.reason not in {"", "ContainerCreating", "PodInitializing"}:
            said, remedy = _CONTAINER.get(waits.reason, ("The container does not start", "See `kubectl describe pod`."))
            yield pending(waits.reason, sentence(said, waits.message), remedy)


def _of_queue(seen: Seen) -> Iterator[Waiting]:
    if seen.workload is not None:
        reserved = seen.workload.status.named("QuotaReserved")
        admitted = seen.workload.status.named("Admitted")
        if reserved is not None and not reserved.holds:
            remedy = "It starts when others of the queue end; or name another queue."
            yield pending(f"Kueue{reserved.reason or 'Pending'}", sentence("Kueue holds it in its queue", reserved.message), remedy)
        elif admitted is None or not admitted.holds:
            yield pending("KueuePending", "Kueue has not let it in yet.", "See `kubectl describe workload`.")
    elif seen.job is not None and seen.job.spec.suspend:
        yield pending("Suspended", "Somebody holds the job in the cluster.", "Let it go on: `kubectl patch job`, suspend: false.")


def scheduling(code: str, message: str) -> Waiting:
    """Words for why the scheduler finds no place."""
    for pattern, said, remedy in _SCHEDULING:
        found = re.search(pattern, message)
        if found is not None:
            return pending(code, sentence(said.format(*found.groups()), message), remedy)
    return pending(code, sentence("The scheduler finds no place for it", message), "See `kubectl describe pod`.")


def creation(event: Event) -> Waiting:
    """Words for why the Job's controller may not make its pods."""
    if "exceeded quota" in event.message:
        remedy = "It starts when others of the team end; or raise the quota of the team's namespace."
        return pending("QuotaExceeded", sentence("The quota of the team's namespace is used up", event.message), remedy)
    if "violates PodSecurity" in event.message:
        remedy = "Ask for less, or change `pod_security` of the pool."
        return pending("PodSecurity", sentence("The namespace does not take such a pod", event.message), remedy)
    return pending(event.reason, sentence("The cluster refuses to make its pod", event.message), "See `kubectl describe job`.")


def pending(code: str, reason: str, remedy: str) -> Waiting:
    """Why a job does not run yet."""
    return Waiting(code=code, reason=reason, remedy=remedy)


def sentence(said: str, message: str) -> str:
    """Our words, then the engine's own."""
    words = " ".join(message.split())[:WORDS_MAX].rstrip(".")
    return f"{said}: {words}." if words else f"{said}."


def failure_of(pod: Pod, seconds: float | None = None) -> JobFailure:
    """Say why a pod of the job failed."""
    state, status = pod.main, pod.status
    if status.reason == "DeadlineExceeded":
        limit = f" than its {seconds:g} seconds" if seconds else " than it may"
        return JobFailure(code="job_timeout", reason=f"The job ran longer{limit}.", remedy="Make it shorter, or give it more time.")
    if status.reason == "Evicted":
        return evicted(status.message)
    prepared = next((each.state for each in status.init_container_statuses or [] if each.name == PREPARE), ContainerState()).terminated
    if prepared is not None and prepared.exit_code:
        return unprepared(prepared.exit_code)
    if state.terminated is None:
        return JobFailure(code="node_lost", reason=sentence("Its node was lost", status.message), remedy="Start it again with `retry`.")
    return ended_badly(pod)


def evicted(message: str) -> JobFailure:
    """Words for a pod that its node has put out."""
    if re.search(r"EmptyDir|ephemeral|disk|inode", message, re.IGNORECASE):
        remedy = "Write less, log less, or raise the job's limit of file size."
        return JobFailure(code="storage_full", reason=sentence("The job used more disk than it may", message), remedy=remedy)
    return JobFailure(code="job_evicted", reason=sentence("The node put the job out", message), remedy="Start it again with `retry`.")


def unprepared(code: int) -> JobFailure:
    """Words for a pod whose first container failed."""
    if code == EXIT_TOO_OFTEN:
        reason = "The job was started and taken away again too often."
        return JobFailure(
            code="preempted_too_often", reason=reason, remedy="Use a queue of higher priority, or nodes that are not taken away."
        )
    remedy = "See that the pool's `image` has Lineshaft in it and that pods reach the API server (`api_from_pods`, `egress_cidrs`)."
    return JobFailure(code="job_failed", reason=f"The job's folder could not be prepared (code {code}).", remedy=remedy)


def ended_badly(pod: Pod) -> JobFailure:
    """Words for a program that ended without success."""
    ended = pod.main.terminated
    assert ended is not None, "the program has ended"  # noqa: S101 (the caller has looked)
    if ended.reason == "OOMKilled":
        return JobFailure(
            code="job_memory", reason="The job needed more memory than its limit.", remedy="Use less, or ask for more memory."
        )
    if ended.exit_code in EXIT_NO_PROGRAM and (ended.exit_code != EXIT_NO_PROGRAM[-1] or ended.reason == "StartError"):
        reason = sentence(f"The image has no such program, or it cannot be run (code {ended.exit_code})", ended.message)
        return JobFailure(code="program_unknown", reason=reason, remedy="Name a program of the image; the image must have /bin/sh.")
    how = f"was ended by signal {ended.exit_code - 128}" if ended.exit_code > 128 else f"ended with code {ended.exit_code}"
    return JobFailure(code="job_failed", reason=f"The job {how}.", remedy="Read the job's log.")


CANCELLED = JobFailure(code="cancelled", reason="The job was cancelled.")
LOST = JobFailure(
    code="job_lost", reason="The job's object was removed from the cluster, not by us.", remedy="Submit it again under its id, or retry it."
)

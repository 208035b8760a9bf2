"""The engine's reasons in words, and what a cluster's objects say of a job: without a cluster."""

from datetime import UTC, datetime, timedelta

import pytest

from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.iaas.jobs.providers.kubernetes_checks import split_task
from factory_infra.iaas.jobs.providers.kubernetes_logs import SEGMENT, segments
from factory_infra.iaas.jobs.providers.kubernetes_manifests import JobManifests
from factory_infra.iaas.jobs.providers.kubernetes_objects import EngineJob, Event, Pod, Record, Seen
from factory_infra.iaas.jobs.providers.kubernetes_reading import progress, read_job
from factory_infra.iaas.jobs.providers.kubernetes_words import creation, failure_of, scheduling

NOW = datetime.now(UTC)
FAILED: dict[str, object] = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit"}]}


def seen(
    pods: list[dict[str, object]], status: dict[str, object] | None = None, out: dict[str, str] | None = None, **record: object
) -> Seen:
    now = datetime.now(UTC)
    base = {"id": "j", "tenant": "t", "name": "n", "made_at": now, "asked_at": now, "engine_uid": "u"}
    job = EngineJob.model_validate({"metadata": {"name": "j"}, "status": status}) if status is not None else None
    kept = Record.model_validate(base | record)
    return Seen(record=kept, version="1", uid="r", job=job, pods=[Pod.model_validate(pod) for pod in pods], out=out or {})


def ended(code: int, reason: str = "Error", **more: object) -> dict[str, object]:
    state = {"exitCode": code, "reason": reason, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:05Z"}
    status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [{"name": "job", "state": {"terminated": state}}]}
    return {"metadata": {"name": f"p{code}"}, "spec": {"nodeName": "n1"}, "status": status | more}


class TestWords:
    @pytest.mark.parametrize(
        ("message", "words"),
        [
            ("0/4 nodes are available: 4 Insufficient nvidia.com/gpu.", "nvidia.com/gpu free"),
            ("0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: infra}.", "taint dedicated"),
            ("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.", "node_selector"),
            ("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "volume"),
            ("no nodes available to schedule pods", "has no node"),
            ("something new", "finds no place"),
        ],
    )
    def test_why_the_scheduler_waits(self, message: str, words: str) -> None:
        waiting = scheduling("Unschedulable", message)
        assert words in waiting.reason and message.rstrip(".") in waiting.reason and waiting.remedy

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            ('pods "x" is forbidden: exceeded quota: q, requested: pods=1', "QuotaExceeded"),
            ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', "PodSecurity"),
            ("webhook denied", "FailedCreate"),
        ],
    )
    def test_why_no_pod_is_made(self, message: str, code: str) -> None:
        waiting = creation(Event(reason="FailedCreate", message=message))
        assert waiting.code == code and message in waiting.reason and waiting.remedy

    @pytest.mark.parametrize(
        ("pod", "code"),
        [
            (ended(1), "job_failed"),
            (ended(137, "OOMKilled"), "job_memory"),
            (ended(127), "program_unknown"),
            (ended(128, "StartError"), "program_unknown"),
            (ended(143), "job_failed"),
        ],
    )
    def test_why_a_program_failed(self, pod: dict[str, object], code: str) -> None:
        failure = failure_of(Pod.model_validate(pod))
        assert failure.code == code and failure.reason and failure.remedy

    @pytest.mark.parametrize(
        ("status", "code"),
        [
            ({"phase": "Failed", "reason": "DeadlineExceeded"}, "job_timeout"),
            (
                {"phase": "Failed", "reason": "Evicted", "message": 'Usage of EmptyDir volume "job" exceeds the limit "1Mi".'},
                "storage_full",
            ),
            ({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}, "job_evicted"),
            ({"phase": "Failed", "reason": "NodeLost"}, "node_lost"),
        ],
    )
    def test_why_a_pod_failed(self, status: dict[str, object], code: str) -> None:
        failure = failure_of(Pod.model_validate({"metadata": {"name": "p"}, "status": status}))
        assert failure.code == code and failure.reason and failure.remedy


class TestReading:
    def test_a_job_whose_object_is_gone_is_lost(self) -> None:
        assert read_job(seen([])).state is JobState.LOST

    def test_one_that_is_being_submitted_is_pending_for_a_while(self) -> None:
        job = read_job(seen([], engine_uid=""))
        assert job.state is JobState.PENDING and job.waiting is not None and job.waiting.code == "Submitting"
        assert read_job(seen([], engine_uid="", asked_at=NOW - timedelta(minutes=5))).state is JobState.LOST

    def test_of_several_nodes_the_one_that_failed_by_itself_is_to_blame(self) -> None:
        job = read_job(seen([ended(143), ended(3)], FAILED, nodes=2))
        assert (job.state, job.exit_code) == (JobState.FAILED, 3)

    def test_an_end_that_no_pod_explains_is_told_in_the_engines_words(self) -> None:
        job = read_job(seen([], FAILED))
        assert job.failure is not None and "BackoffLimitExceeded" in job.failure.reason

    def test_a_pod_that_was_taken_away_is_not_to_blame(self) -> None:
        gone = ended(143, conditions=[{"type": "DisruptionTarget", "status": "True"}])
        job = read_job(seen([gone, ended(2)], FAILED))
        assert job.exit_code == 2

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ('{"percent": 40, "stage": "half"}', (40.0, "half")),
            ('{"percent": 400}', (100.0, "")),
            ("[]", (None, "")),
            ("x", (None, "")),
            ("", (None, "")),
        ],
    )
    def test_progress(self, line: str, found: tuple[float | None, str]) -> None:
        assert progress(line) == found

    @pytest.mark.parametrize(
        ("name", "found"), [("a.1", ("a", 1)), ("a.01", ("", None)), ("a", ("", None)), (".1", ("", None)), ("a.b.12", ("a.b", 12))]
    )
    def test_the_name_of_a_task(self, name: str, found: tuple[str, int | None]) -> None:
        assert split_task(name) == found


class TestSegments:
    def test_starts_follow_one_another_and_the_lost_are_told(self) -> None:
        out = {"t0.attempt": "3", "t0.a1": "p1", "t0.a2": "p2", "t0.a3": "p3", "t0.l1": "kept", "t0.b1": "7"}
        found = segments(seen([ended(3)], out=out | {"t0.a3": "p3"}), None)
        assert [part.number for part in found] == [0, 1, 2]
        assert found[0].left == b"[the first 7 bytes are gone with the pod]\nkept" and b"start 2 is gone" in found[1].left
        assert found[2].pod == "p3"

    def test_offsets_stay_whole_numbers_for_a_browser(self) -> None:
        assert 20 * 1000 * SEGMENT < 2**53


class TestManifests:
    def manifests(self, **fields: object) -> str:
        spec = JobSpec.model_validate({"id": "j", "tenant": "t", "name": "n", "argv": ["echo", "$HOME $(id) `x`"], "image": "i"} | fields)
        record = Record(id="j", tenant="t", name="n", made_at=NOW, asked_at=NOW, nodes=spec.nodes, array=spec.array)
        return str(
            JobManifests(
                KubernetesPool(name="p", node_selector={"a": "b"}, tolerations=("gpu",), runtime_class="gvisor"), spec, record
            ).engine("u")
        )

    def test_words_are_passed_on_as_they_are(self) -> None:
        assert "'$$HOME $$(id) `x`'" in self.manifests()

    def test_the_pools_places_are_asked_for(self) -> None:
        text = self.manifests()
        assert "'nodeSelector': {'a': 'b'}" in text and "'key': 'gpu'" in text and "'runtimeClassName': 'gvisor'" in text

    def test_slots_are_shared_by_the_nodes(self) -> None:
        assert "'nvidia.com/gpu': '4'" in self.manifests(slot_kind="gpu", slots=list(range(8)), nodes=2)

    def test_a_task_of_an_array_gets_one_slot_and_no_more_run_than_are_leased(self) -> None:
        text = self.manifests(slot_kind="gpu", slots=[0, 1, 2], array=10)
        assert "'nvidia.com/gpu': '1'" in text and "'parallelism': 3" in text

    def test_a_service_has_no_deadline(self) -> None:
        assert "activeDeadlineSeconds" in self.manifests() and "activeDeadlineSeconds" not in self.manifests(service=True)

"""Jobs in an emulated cluster: what each of its troubles becomes in words, and that nothing doubles or is lost."""

from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import uuid4

import pytest
import pytest_asyncio

from factory_infra.errors import Forbidden, InvalidInput, LineshaftError, NotFound, TooLarge, Unauthenticated, Unavailable
from factory_infra.foundation.pools.kubernetes import Kubernetes
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.jobs.models import JobState
from factory_infra.iaas.jobs.providers.kubernetes import KubernetesJobs
from factory_infra.iaas.kubernetes.names import JOB, job_name
from factory_infra.iaas.kubernetes.service import TenantNamespaces
from factory_infra.settings import Settings
from tests.emulators.kubernetes.store import Refusal
from tests.factory_infra.iaas.jobs.clusters import FOREVER, TEAM, ClusterSite, cluster

pytestmark = pytest.mark.stack

GPUS: dict[str, object] = {"slot_kind": "gpu", "slots": list(range(4))}
RESUME = (
    "import os, pathlib, time\n"
    "kept = pathlib.Path(os.environ['LINESHAFT_CHECKPOINT_DIR'], 'step')\n"
    "print('attempt', os.environ['LINESHAFT_ATTEMPT'], 'from', kept.read_text() if kept.exists() else 'the start', flush=True)\n"
    "if not kept.exists():\n"
    "    kept.write_text('step 7')\n"
    "    print('saved', flush=True)\n"
    "    while True: time.sleep(0.2)\n"
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site() -> AsyncIterator[ClusterSite]:
    async with cluster() as opened:
        yield opened


class TestWaiting:
    async def test_more_gpus_than_any_node_has(self, site: ClusterSite) -> None:
        job = await site.start(slot_kind="gpu", slots=list(range(9)))
        waiting = (await site.waits(job, "Unschedulable")).waiting
        assert waiting is not None and "nvidia.com/gpu" in waiting.reason and "3 Insufficient" in waiting.reason and waiting.remedy
        assert (await site.jobs.cancel(job, TEAM)).state is JobState.CANCELLED

    async def test_an_image_that_is_not_there(self, site: ClusterSite) -> None:
        job = await site.start(image="missing/image:1")
        waiting = (await site.waits(job, "ImagePullBackOff")).waiting
        assert waiting is not None and "missing/image:1" in waiting.reason and "registry" in waiting.remedy
        await site.jobs.cancel(job, TEAM)

    async def test_a_secret_that_somebody_removed(self, site: ClusterSite) -> None:
        for number in range(3):
            site.emulator.cordon(f"node-{number}")
        job = await site.start()
        assert "closed" in str((await site.waits(job, "Unschedulable")).waiting)
        secret = site.emulator.store.read("secrets", site.namespace, f"{job_name(job)}-env")
        site.emulator.store.remove("secrets", secret)
        for number in range(3):
            node = site.emulator.store.read("nodes", "", f"node-{number}")
            node["spec"]["unschedulable"] = False
            site.emulator.store.update("nodes", node)
        waiting = (await site.waits(job, "CreateContainerConfigError")).waiting
        assert waiting is not None and "-env" in waiting.reason and waiting.remedy
        await site.jobs.cancel(job, TEAM)

    async def test_the_quota_of_the_team(self) -> None:
        async with cluster(slots_max=4) as site:
            first = await site.submit(FOREVER, GPUS)
            await site.said(first, "began")
            second = await site.submit("pass", GPUS)
            waiting = (await site.waits(second, "QuotaExceeded")).waiting
            assert waiting is not None and "requests.nvidia.com/gpu" in waiting.reason and "quota" in waiting.remedy
            await site.jobs.cancel(first, TEAM)
            assert (await site.ended(second)).state is JobState.SUCCEEDED

    async def test_a_queue_of_kueue(self) -> None:
        async with cluster("kueue", queue="team") as site:
            first = await site.start(FOREVER)
            waiting = (await site.waits(first, "KueuePending")).waiting
            assert waiting is not None and "LocalQueue team doesn't exist" in waiting.reason and waiting.remedy
            site.emulator.create("localqueues", site.namespace, {"metadata": {"name": "team"}, "spec": {"emulatorRoom": 1}})
            await site.said(first, "began")
            second = await site.start(queue="team")
            assert "insufficient unused quota" in str((await site.waits(second, "KueuePending")).waiting)
            await site.jobs.cancel(first, TEAM)
            assert (await site.ended(second)).state is JobState.SUCCEEDED

    async def test_a_queue_where_there_is_no_kueue_is_refused(self, site: ClusterSite) -> None:
        with pytest.raises(InvalidInput, match="Kueue") as refused:
            await site.start(queue="team")
        assert refused.value.error_code == "not_offered"


class TestFailures:
    async def test_a_job_that_fills_its_disk(self, site: ClusterSite) -> None:
        code = "import os, time\nopen('big', 'wb').write(b'x' * 300_000_000)\ntime.sleep(60)"
        job = await site.start(code, limits={"memory_gib": 1, "file_gib": 0.001, "seconds": 600})
        ended = await site.ended(job)
        assert ended.state is JobState.FAILED and ended.failure is not None
        assert ended.failure.code == "storage_full" and "EmptyDir" in ended.failure.reason and ended.failure.remedy

    @pytest.mark.parametrize("fields", [{}, {"array": 2}])
    async def test_one_that_ran_too_long_is_not_tried_again(self, site: ClusterSite, fields: dict[str, object]) -> None:
        job = await site.submit(FOREVER, fields | {"attempts_max": 3, "limits": {"memory_gib": 1, "file_gib": 1, "seconds": 1}})
        ended = await site.ended(job)
        assert (ended.state, ended.attempt) == (JobState.FAILED, 1)
        assert ended.failure is not None and ended.failure.code == "job_timeout"
        again = await site.jobs.retry(job, TEAM)
        assert not again.state.final and (await site.ended(job)).attempt == 2

    async def test_a_node_under_pressure_counts_not(self, site: ClusterSite) -> None:
        job = await site.start(RESUME)
        await site.said(job, "saved")
        for pod in site.emulator.pods(site.namespace, {JOB: job_name(job)}):
            site.emulator.kubelets.evict(pod, "The node was low on resource: memory.")
        ended = await site.ended(job)
        assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2)
        assert "attempt 1 from the start" in await site.log(job)

    async def test_one_that_is_taken_away_without_end_is_given_up(self, site: ClusterSite, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("factory_infra.iaas.jobs.providers.kubernetes_manifests.PREEMPTIONS_MAX", 0)
        job = await site.start(FOREVER)
        await site.said(job, "began")
        site.emulator.preempt(site.namespace, {JOB: job_name(job)})
        ended = await site.ended(job)
        assert ended.failure is not None and ended.failure.code == "preempted_too_often" and ended.failure.remedy

    async def test_a_lost_node_counts_not_and_its_log_is_told_lost(self, site: ClusterSite) -> None:
        site.emulator.add_node("doomed", {"cpu": "64", "memory": "64Gi", "amd.com/gpu": "1"})
        pool = site.pool.model_copy(update={"resource": "amd.com/gpu"})
        jobs = KubernetesJobs(pool, Settings())
        spec = site.spec(RESUME, slot_kind="gpu", slots=[0])
        await jobs.submit(spec)
        await site.said(spec.id, "saved")
        site.emulator.lose_node("doomed")
        site.emulator.add_node("spare", {"cpu": "64", "memory": "64Gi", "amd.com/gpu": "1"})
        ended = await site.ended(spec.id)
        assert (ended.state, ended.attempt, ended.nodes) == (JobState.SUCCEEDED, 2, ["spare"])
        log = await site.log(spec.id)
        assert "attempt 2 from step 7" in log and "the log of start 1 is gone" in log

    async def test_a_program_that_is_not_in_the_image(self, site: ClusterSite) -> None:
        ended = await site.ended(await site.start(argv=["no-such-program"]))
        assert ended.failure is not None and ended.failure.code == "program_unknown" and "/bin/sh" in ended.failure.remedy

    async def test_a_result_that_does_not_fit_is_told(self, site: ClusterSite) -> None:
        job = await site.start("open('big.txt', 'w').write('x' * 1_000_000)\nopen('small.txt', 'w').write('y')")
        await site.ended(job)
        assert await site.jobs.result(job, TEAM, "small.txt") == "y"
        with pytest.raises(TooLarge, match=r"big\.txt"):
            await site.jobs.result(job, TEAM, "big.txt")

    async def test_inputs_that_do_not_fit_are_refused_before_anything_is_made(self, site: ClusterSite) -> None:
        spec = site.spec(inputs={"big.txt": "x" * 1_000_000})
        with pytest.raises(TooLarge):
            await site.jobs.submit(spec)
        with pytest.raises(NotFound):
            await site.get(spec.id)


class TestOnce:
    @pytest.mark.parametrize("path", ["/jobs", "/configmaps", "/secrets", "/roles"])
    async def test_a_lost_answer_makes_no_second_job(self, site: ClusterSite, path: str) -> None:
        spec = site.spec("print('ran')")
        site.emulator.lose_answer("POST", path)
        with pytest.raises(Unavailable):
            await site.jobs.submit(spec)
        await site.jobs.submit(spec)
        assert (await site.ended(spec.id)).state is JobState.SUCCEEDED
        assert (await site.log(spec.id)).count("ran") == 1
        found = [job for job in site.emulator.store.all("jobs", site.namespace) if job["metadata"]["labels"][JOB] == job_name(spec.id)]
        assert len(found) == 1

    async def test_the_control_with_names_that_are_not_the_ids_there_are_two(
        self, site: ClusterSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("kubernetes_engine", "kubernetes_manifests"):
            monkeypatch.setattr(f"factory_infra.iaas.jobs.providers.{module}.job_name", lambda _: f"ls-x-{uuid4().hex[:10]}")
        spec = site.spec("print('ran')")
        for _ in range(2):
            with suppress(LineshaftError):
                await site.jobs.submit(spec)
        records = [each for each in site.emulator.store.all("configmaps", site.namespace) if each["metadata"]["name"].startswith("ls-x-")]
        assert len([each for each in records if "record.json" in (each.get("data") or {})]) > 1

    async def test_a_namespace_that_was_removed_is_made_again(self) -> None:
        async with cluster() as site:
            await site.ended(await site.start())
            admin = Kubernetes(KubernetesPool(name="admin", kubeconfig=site.emulator.kubeconfig()))
            await TenantNamespaces(admin, site.pool).remove(TEAM)
            assert (await site.ended(await site.start())).state is JobState.SUCCEEDED

    async def test_what_ended_is_told_when_the_cluster_has_forgotten_it(self, site: ClusterSite) -> None:
        job = await site.start("print('done')")
        ended = await site.ended(job)
        name = job_name(job)
        site.emulator.store.delete("jobs", site.emulator.store.read("jobs", site.namespace, name))
        again = await site.get(job)
        assert (again.state, again.finished_at, again.exit_code) == (JobState.SUCCEEDED, ended.finished_at, 0)
        assert job in [each.id for each in await site.jobs.list(TEAM)]

    async def test_a_job_whose_object_somebody_removed_is_lost_and_starts_again(self, site: ClusterSite) -> None:
        spec = site.spec(RESUME)
        await site.jobs.submit(spec)
        await site.said(spec.id, "saved")
        site.emulator.store.delete("jobs", site.emulator.store.read("jobs", site.namespace, job_name(spec.id)))

        async def lost() -> bool:
            return (await site.get(spec.id)).state is JobState.LOST

        await site.until(lost)
        assert (await site.jobs.submit(spec)).state is not JobState.LOST
        ended = await site.ended(spec.id)
        assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2)

    async def test_a_cancel_that_was_cut_off_is_finished_by_the_next(self, site: ClusterSite) -> None:
        job = await site.start(FOREVER)
        await site.said(job, "began")
        site.emulator.fail("DELETE", job_name(job), Refusal(503, "ServiceUnavailable", "away"))
        with pytest.raises(Unavailable):
            await site.jobs.cancel(job, TEAM)
        assert (await site.get(job)).state is JobState.CANCELLED
        await site.jobs.cancel(job, TEAM)
        assert site.emulator.pods(site.namespace, {JOB: job_name(job)}) == []


class TestArrays:
    async def test_a_retry_starts_only_those_that_did_not_succeed(self, site: ClusterSite) -> None:
        code = (
            "import os, sys\n"
            "print('task', os.environ['LINESHAFT_ARRAY_INDEX'], 'attempt', os.environ['LINESHAFT_ATTEMPT'])\n"
            "sys.exit(3 if os.environ['LINESHAFT_ARRAY_INDEX'] == '1' and os.environ['LINESHAFT_ATTEMPT'] == '1' else 0)"
        )
        job = await site.start(code, array=3)
        assert (await site.ended(job)).state is JobState.FAILED
        await site.jobs.retry(job, TEAM)
        ended = await site.ended(job)
        assert (ended.state, ended.tasks) == (JobState.SUCCEEDED, {"succeeded": 3})
        log = await site.log(job)
        assert sorted(line for line in log.splitlines() if line.startswith("task")) == [
            "task 0 attempt 1",
            "task 1 attempt 1",
            "task 1 attempt 2",
            "task 2 attempt 1",
        ]

    async def test_more_tasks_than_records_can_hold_are_refused(self, site: ClusterSite) -> None:
        with pytest.raises(InvalidInput) as refused:
            await site.start(array=2001)
        assert refused.value.error_code == "not_offered"


class TestNodes:
    async def test_without_jobset_an_indexed_job_and_a_service_do(self, site: ClusterSite) -> None:
        job = await site.start("import os; print(os.environ['NODE_RANK'], os.environ['MASTER_ADDR'])", nodes=2)
        assert (await site.ended(job)).state is JobState.SUCCEEDED
        assert sorted((await site.log(job)).splitlines()) == ["0 127.0.0.1", "1 127.0.0.1"]
        assert site.emulator.store.get("services", site.namespace, job_name(job)) is not None

    async def test_with_jobset_all_start_again_when_one_is_taken_away(self) -> None:
        async with cluster("jobset") as site:
            code = "import os, time\nprint('rank', os.environ['NODE_RANK'], 'attempt', os.environ['LINESHAFT_ATTEMPT'], flush=True)\n"
            job = await site.start(code + "while os.environ['LINESHAFT_ATTEMPT'] == '1': time.sleep(0.1)", nodes=2)
            for rank in (0, 1):
                index = {"batch.kubernetes.io/job-completion-index": str(rank)}

                async def counted(index: dict[str, str] = index) -> bool:
                    pods = site.emulator.pods(site.namespace, {JOB: job_name(job)} | index)
                    return any(pod["status"].get("phase") == "Running" for pod in pods) and "rank 0 attempt 1" in await site.log(job)

                await site.until(counted)
            site.emulator.preempt(site.namespace, {JOB: job_name(job), "batch.kubernetes.io/job-completion-index": "1"})
            ended = await site.ended(job)
            log = await site.log(job)
            assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2), log
            assert "rank 0 attempt 2" in log and "rank 1 attempt 2" in log


class TestLogs:
    async def test_a_rotated_log_says_so_and_goes_on(self) -> None:
        async with cluster(log_bytes_max=2000) as site:
            code = (
                "import os, pathlib, time\n"
                "go = pathlib.Path(os.environ['LINESHAFT_CHECKPOINT_DIR'], 'go')\n"
                "for number in range(40): print('first', number, flush=True)\n"
                "print('half', flush=True)\n"
                "while not go.exists(): time.sleep(0.05)\n"
                "for number in range(40): print('second', number, 'x' * 30, flush=True)\n"
            )
            job = await site.start(code)
            await site.said(job, "half")
            first = await site.jobs.logs(job, TEAM)
            claim = site.emulator.root / "node" / "claims" / site.namespace / "lineshaft-checkpoints" / job_name(job)
            (claim / "go").touch()
            await site.ended(job)
            text, offset = "", first.next_offset
            for _ in range(20):
                chunk = await site.jobs.logs(job, TEAM, offset)
                assert chunk.next_offset >= offset
                text, offset = text + chunk.text, chunk.next_offset
                if chunk.complete:
                    break
            assert "the node rotated this log" in text and text.endswith(f"second 39 {'x' * 30}\n")
            other = KubernetesJobs(site.pool, Settings())
            assert (await other.logs(job, TEAM, first.next_offset)).next_offset >= first.next_offset


class TestAccess:
    async def test_expired_credentials_are_told_in_words(self, site: ClusterSite) -> None:
        token = site.emulator.doorman.issue_account("kube-system", "lineshaft")
        pool = site.pool.model_copy(update={"kubeconfig": site.emulator.kubeconfig(token)})
        site.emulator.expire(token)
        with pytest.raises(Unauthenticated, match="expired") as refused:
            await KubernetesJobs(pool, Settings()).submit(site.spec())
        assert refused.value.error_code == "credentials_expired" and refused.value.remedy

    async def test_a_missing_right_is_named(self, site: ClusterSite) -> None:
        site.emulator.create("serviceaccounts", "kube-system", {"metadata": {"name": "nobody"}})
        pool = site.pool.model_copy(
            update={"kubeconfig": site.emulator.kubeconfig(site.emulator.doorman.issue_account("kube-system", "nobody"))}
        )
        with pytest.raises(Forbidden, match="cannot get resource") as refused:
            await KubernetesJobs(pool, Settings()).submit(site.spec(tenant="newcomers"))
        assert "docs/kubernetes.md" in refused.value.remedy

    async def test_a_cluster_that_is_gone(self, site: ClusterSite) -> None:
        path = site.emulator.kubeconfig()
        path.write_text(path.read_text().replace(site.emulator.address, "http://127.0.0.1:9"))
        with pytest.raises(Unavailable) as refused:
            await KubernetesJobs(site.pool.model_copy(update={"kubeconfig": path}), Settings()).list()
        assert refused.value.error_code == "pool_unreachable" and "127.0.0.1:9" in refused.value.remedy

    async def test_a_job_has_no_token_and_its_carrier_may_write_two_config_maps_only(self, site: ClusterSite) -> None:
        code = (
            "import os, pathlib\n"
            "print([name for name in os.environ if 'KUBE' in name and 'TOKEN' in name])\n"
            "print(pathlib.Path('/var/run/secrets/lineshaft/token').exists(), pathlib.Path('/var/run/secrets/kubernetes.io').exists())\n"
        )
        other, job = await site.start(), await site.start(code)
        await site.ended(job)
        assert await site.log(job) == "[]\nFalse False\n"
        token = site.emulator.doorman.issue_account(site.namespace, job_name(job))
        pool: KubernetesPool = site.pool.model_copy(update={"kubeconfig": site.emulator.kubeconfig(token)})
        async with Kubernetes(pool) as api:
            core = f"/api/v1/namespaces/{site.namespace}"
            await api.patch(f"{core}/configmaps/{job_name(job)}-out", {"data": {"t0.progress": "{}"}})
            for name in (job_name(job), f"{job_name(other)}-out", f"{job_name(other)}-res"):
                with pytest.raises(Forbidden):
                    await api.patch(f"{core}/configmaps/{name}", {"data": {"x": "y"}})

    async def test_the_control_with_rbac_off_the_carrier_writes_anywhere(self) -> None:
        async with cluster() as site:
            job = await site.start()
            await site.ended(job)
            site.emulator.doorman.rbac = False
            token = site.emulator.doorman.issue_account(site.namespace, job_name(job))
            async with Kubernetes(site.pool.model_copy(update={"kubeconfig": site.emulator.kubeconfig(token)})) as api:
                await api.patch(f"/api/v1/namespaces/{site.namespace}/configmaps/{job_name(job)}", {"data": {"x": "y"}})

    async def test_what_may_be_secret_is_in_a_secret(self, site: ClusterSite) -> None:
        job = await site.start(environment={"TOKEN": "hush-hush"}, inputs={"key.txt": "hush-hush"})
        await site.ended(job)
        plain = [body for plural, body in site.emulator.store.everything() if plural != "secrets"]
        assert "hush-hush" not in str(plain)

    async def test_restricted_namespaces_take_our_pods(self) -> None:
        async with cluster(pod_security="restricted") as site:
            assert (await site.ended(await site.start())).state is JobState.SUCCEEDED

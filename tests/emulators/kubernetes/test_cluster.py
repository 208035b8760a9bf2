"""The emulator does what it is trusted for: who may ask, what is counted, and what a log is not."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.emulators.kubernetes.cluster import Emulator
from tests.waiting import eventually

pytestmark = pytest.mark.stack
SPACE = "/api/v1/namespaces/default"
JOBS = "/apis/batch/v1/namespaces/default/jobs"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(("ray",)) as opened:
        opened.add_node("n1")
        yield opened


@pytest_asyncio.fixture
async def ask(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {emulator.admin_token}"}
    async with httpx.AsyncClient(base_url=emulator.address, headers=headers, timeout=30) as client:
        yield client


def job(name: str, code: str, **spec: object) -> dict[str, object]:
    container = {"name": "c", "image": "i", "command": ["python3", "-IS", "-c", code]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec | {"template": template}}


class TestAccess:
    async def test_without_a_token_nothing(self, emulator: Emulator) -> None:
        async with httpx.AsyncClient(base_url=emulator.address) as nobody:
            assert (await nobody.get(f"{SPACE}/pods")).status_code == 401

    async def test_impersonation_is_judged_by_whom_one_is_then(self, ask: httpx.AsyncClient) -> None:
        as_account = {"Impersonate-User": "system:serviceaccount:default:default"}
        refused = await ask.get(f"{SPACE}/secrets", headers=as_account)
        assert refused.status_code == 403 and "system:serviceaccount:default:default" in refused.json()["message"]

    async def test_reviews_tell_who_and_what(self, ask: httpx.AsyncClient, emulator: Emulator) -> None:
        token = (await ask.post(f"{SPACE}/serviceaccounts/default/token", json={"spec": {}})).json()["status"]["token"]
        told = await ask.post("/apis/authentication.k8s.io/v1/tokenreviews", json={"spec": {"token": token}})
        assert told.json()["status"]["user"]["username"] == "system:serviceaccount:default:default"
        attributes = {"verb": "list", "resource": "secrets", "namespace": "default"}
        review = {"spec": {"resourceAttributes": attributes}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        assert (await ask.post(path, json=review)).json()["status"]["allowed"]
        mine = {"Authorization": f"Bearer {token}"}
        assert not (await ask.post(path, json=review, headers=mine)).json()["status"]["allowed"]

    async def test_what_is_installed_is_told(self, ask: httpx.AsyncClient) -> None:
        groups = {group["name"] for group in (await ask.get("/apis")).json()["groups"]}
        assert "ray.io" in groups and "kueue.x-k8s.io" not in groups
        assert (await ask.get("/apis/kueue.x-k8s.io/v1beta1/namespaces/default/workloads")).status_code == 404


class TestJobs:
    async def test_one_that_fails_is_tried_so_often_and_no_more(self, ask: httpx.AsyncClient, emulator: Emulator) -> None:
        await ask.post(JOBS, json=job("fails", "raise SystemExit(3)", backoffLimit=1))
        await eventually(lambda: emulator.store.read("jobs", "default", "fails").get("status", {}).get("conditions"), 30)
        status = emulator.store.read("jobs", "default", "fails")["status"]
        assert (status["failed"], status["conditions"][0]["reason"]) == (2, "BackoffLimitExceeded")

    async def test_one_over_its_deadline_is_ended_and_one_past_its_ttl_removed(self, ask: httpx.AsyncClient, emulator: Emulator) -> None:
        await ask.post(JOBS, json=job("late", "import time; time.sleep(60)", activeDeadlineSeconds=1, ttlSecondsAfterFinished=0))
        await eventually(lambda: emulator.store.get("jobs", "default", "late"), 30)
        await eventually(lambda: emulator.store.get("jobs", "default", "late") is None, 30)

    async def test_a_suspended_one_waits(self, ask: httpx.AsyncClient, emulator: Emulator) -> None:
        await ask.post(JOBS, json=job("held", "pass", suspend=True))
        await eventually(lambda: emulator.store.read("jobs", "default", "held").get("status", {}).get("conditions"), 30)
        assert not emulator.pods("default", {"job-name": "held"})
        merge = {"Content-Type": "application/merge-patch+json"}
        await ask.patch(f"{JOBS}/held", content=json.dumps({"spec": {"suspend": False}}), headers=merge)
        await eventually(lambda: emulator.store.read("jobs", "default", "held")["status"].get("succeeded"), 30)

    async def test_a_watch_tells_what_changes(self, ask: httpx.AsyncClient, emulator: Emulator) -> None:
        version = emulator.store.version
        await ask.post(f"{SPACE}/configmaps", json={"metadata": {"name": "seen"}})
        params = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "20"}
        async with asyncio.timeout(30), ask.stream("GET", f"{SPACE}/configmaps", params=params) as stream:
            async for line in stream.aiter_lines():
                event = json.loads(line)
                assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "seen")
                break


class TestLogs:
    async def test_a_log_is_read_by_lines_or_bytes_or_time(self, ask: httpx.AsyncClient, emulator: Emulator) -> None:
        await ask.post(JOBS, json=job("talks", "for n in range(5): print('line', n)"))
        await eventually(lambda: emulator.store.read("jobs", "default", "talks").get("status", {}).get("succeeded"), 30)
        pod = emulator.pods("default", {"job-name": "talks"})[0]["metadata"]["name"]
        path = f"{SPACE}/pods/{pod}/log"
        whole = (await ask.get(path)).text
        assert whole == "".join(f"line {number}\n" for number in range(5))
        assert (await ask.get(path, params={"tailLines": 1})).text == "line 4\n"
        assert (await ask.get(path, params={"limitBytes": 6})).text == "line 0"
        assert (await ask.get(path, params={"follow": "true"})).text == whole
        stamped = (await ask.get(path, params={"timestamps": "true"})).text.splitlines()
        assert all(line[29] == "Z" and line[30:] == f" line {number}" for number, line in enumerate(stamped))
        assert (await ask.get(path, params={"sinceTime": "2099-01-01T00:00:00Z"})).text == ""

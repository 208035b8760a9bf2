"""Datasets, pipelines and triggers at the doors: refusals name file and line, nothing is overwritten, no push without a signature."""

import base64
import hashlib
import hmac
import json

import pytest

from tests.api.house import Doors

pytestmark = pytest.mark.stack

FILE = "\n\npipeline: mill\nsteps:\n  - id: a\n    argv: [/bin/true]\n"
CSV = 'name,cell\nplain,1\nhostile,"=1+1"\n'


class TestPipelines:
    async def test_a_fault_names_file_and_line(self, doors: Doors) -> None:
        body = {"text": FILE + "    after: [a]\n", "file": "mill.yaml"}
        told = (await doors.ask("POST", "/v1/pipelines/check", json=body)).json()
        assert told["code"] == "pipeline_cyclic"
        assert "mill.yaml, line 5" in told["reason"]
        assert told["remedy"]

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ("tool: leases.steal", "there is no tool leases.steal"),
            ("tool: jobs.submit\n    arguments: {name: x, argv: [a], lease_id: l}", "is a job on a lease"),
            ("tool: pipelines.run\n    arguments: {pipeline: mill}", "may not be called by a pipeline"),
            ("tool: leases.release\n    arguments: {lease: l}", "has no argument 'lease'"),
            ("tool: leases.release", "needs 'lease_id'"),
            ("tool: leases.acquire\n    arguments: {slots: 0}", "slots"),
        ],
    )
    async def test_a_tool_that_cannot_be_called_so_is_refused(self, doors: Doors, arguments: str, told: str) -> None:
        body = {"text": f"pipeline: mill\nsteps:\n  - id: t\n    kind: tool\n    {arguments}\n", "file": "mill.yaml"}
        found = (await doors.ask("POST", "/v1/pipelines/check", json=body)).json()
        assert found["code"] == "tool_unfit"
        assert "mill.yaml, line 3" in found["reason"]
        assert told in found["reason"]

    async def test_two_people_do_not_overwrite_each_other(self, doors: Doors) -> None:
        async def apply(word: str, made_from: int) -> int:
            body = {"text": FILE.replace("true", word), "made_from": made_from}
            return (await doors.ask("POST", "/v1/pipelines", json=body)).status_code

        assert [await apply("one", 0), await apply("two", 1), await apply("three", 1), await apply("two", 2)] == [201, 201, 409, 201]
        kept = (await doors.ask("GET", "/v1/pipelines/mill", "viewer")).json()
        assert (kept["version"], "two" in kept["text"]) == (2, True)

    async def test_only_an_approver_stands_by_a_version_and_only_by_the_one_that_was_read(self, doors: Doors) -> None:
        kept = (await doors.ask("POST", "/v1/pipelines", json={"text": FILE.replace("mill", "trusted")})).json()
        path, body = "/v1/pipelines/trusted/approve", {"digest": kept["digest"]}
        assert (await doors.ask("POST", path, json=body)).status_code == 403
        assert (await doors.ask("POST", path, "approver", json={"digest": "0" * 64})).json()["code"] == "digest_mismatch"
        told = (await doors.ask("POST", path, "approver", json=body)).json()
        assert [each["role"] for each in told["approvals"]] == ["approver"]


class TestDatasets:
    async def test_a_version_is_its_bytes(self, doors: Doors) -> None:
        path = "/v1/datasets/cells/versions"
        first = (await doors.ask("POST", path, json={"text": CSV})).json()
        assert (first["version"], first["digest"]) == (1, hashlib.sha256(CSV.encode()).hexdigest())
        assert (await doors.ask("POST", path, json={"content": base64.b64encode(CSV.encode()).decode()})).json()["version"] == 1
        assert (await doors.ask("POST", path, json={"text": CSV + "more,2\n"})).json()["version"] == 2
        export = (await doors.ask("GET", f"{path}/1/export.csv", "viewer")).text
        assert export.splitlines()[2] == "hostile,'=1+1"
        assert (await doors.ask("GET", f"{path}/1/export.csv?raw=true", "viewer")).text == CSV
        assert (await doors.ask("GET", f"{path}/1/rows?limit=1&offset=1", "viewer")).json()["rows"] == [["hostile", "=1+1"]]

    async def test_an_upload_in_parts_is_taken_when_it_is_whole(self, doors: Doors) -> None:
        data = CSV.encode()
        upload = hashlib.sha256(data).hexdigest()
        body = {"upload": upload, "parts": 2}
        assert (await doors.ask("POST", "/v1/datasets/parts/versions", json=body)).json()["code"] == "upload_incomplete"
        for number, part in enumerate((data[:10], data[10:])):
            sent = {"content": base64.b64encode(part).decode()}
            assert (await doors.ask("PUT", f"/v1/datasets/parts/uploads/{upload}/{number}", json=sent)).status_code == 200
        assert (await doors.ask("POST", "/v1/datasets/parts/versions", json=body)).json()["rows"] == 2

    @pytest.mark.parametrize("name", ["digits", "Caps", "..%2Fup"])
    async def test_a_name_that_cannot_be_is_refused(self, doors: Doors, name: str) -> None:
        assert (await doors.ask("POST", f"/v1/datasets/{name}/versions", json={"text": CSV})).status_code in {404, 422}


class TestHooks:
    async def test_a_signed_push_starts_one_run_and_nothing_else_does(self, doors: Doors) -> None:
        text = (
            FILE.replace("mill", "pushed")
            .replace("steps:", "parameters: {commit: none}\nsteps:")
            .replace("/bin/true", "/bin/echo, '${commit}'")
        )
        await doors.ask("POST", "/v1/pipelines", json={"text": text})
        made = (await doors.ask("POST", "/v1/pipelines/pushed/triggers", json={"name": "main", "kind": "push", "branch": "main"})).json()
        shown = (await doors.ask("GET", f"/v1/pipeline-triggers/{made['id']}", "approver")).json()
        assert (bool(made["secret"]), shown["secret"]) == (True, "")
        body = json.dumps({"ref": "refs/heads/main", "after": "a" * 40}).encode()

        async def push(secret: str, delivery: str) -> tuple[int, str]:
            sign = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            headers = {"x-hub-signature-256": f"sha256={sign}", "x-github-event": "push", "x-github-delivery": delivery}
            answer = await doors.ask("POST", f"/v1/hooks/{made['id']}", None, content=body, headers=headers)
            return answer.status_code, answer.json().get("run_id", "")

        first = await push(made["secret"], "1")
        assert first[0] == 202
        assert await push(made["secret"], "2") == first
        assert (await push("whs_guess", "3"))[0] == 401
        run = (await doors.ask("GET", f"/v1/pipeline-runs/{first[1]}", "viewer")).json()
        assert (run["trigger"], run["parameters"], run["state"]) == ("push", {"commit": "a" * 40}, "asked")
        again = (await doors.ask("POST", f"/v1/pipeline-triggers/{made['id']}/rotate")).json()
        assert (await push(made["secret"], "4"))[0] == 401
        assert (await push(again["secret"], "5")) == first
        assert (await doors.ask("DELETE", f"/v1/pipeline-triggers/{made['id']}")).status_code == 204
        assert (await push(again["secret"], "6"))[0] == 401

"""The line from end to end: a sentence becomes a live endpoint, and everything that can go wrong ends well."""

import pytest

from api.client import ApiClient, ApiRefusal
from api.conversation import Conversation
from tests.live import LiveStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]
TRAIN = "Train a wine classifier for team vision on one slot and put it live if it beats 80 percent."


def strays(client: ApiClient) -> object:
    equal = client.get_object("/v1/reconciliation")
    return [*equal["leases_without_reservation"], *equal["reservations_without_lease"]]  # type: ignore[misc]


class TestTheLine:
    def test_a_sentence_becomes_an_endpoint(self, client: ApiClient) -> None:
        conversation = Conversation(client, "vision")
        turn = conversation.say(TRAIN)
        assert turn.plan is not None
        assert not client.get_list("/v1/leases", tenant="vision"), "nothing may happen before the approval"
        conversation.approve(turn)
        end = conversation.until_ended(turn.plan.id)
        assert end["state"] == "done", end
        endpoint = client.get_list("/v1/endpoints", tenant="vision")[0]
        told = client.post(f"/v1/endpoints/vision/{endpoint['name']}/predict", {"rows": [[0.0] * 13]})
        assert told["version"] == endpoint["version"]
        assert not strays(client)
        assert not client.get_list("/v1/leases", tenant="vision")

    def test_the_answer_cites_what_resolves(self, client: ApiClient) -> None:
        turn = Conversation(client, "vision").say("Which model is best on wine, on what data was it trained, and what did it cost?")
        answer = turn.payloads("message.assistant")[-1]
        assert "trained on wine" in str(answer["text"])
        citations = answer["citations"]
        assert isinstance(citations, list) and citations
        for citation in citations:
            assert isinstance(citation, dict)
            client.get(str(citation["url"]))

    def test_a_gate_that_is_not_beaten_leaves_the_old_version_live(self, client: ApiClient) -> None:
        before = client.get_list("/v1/endpoints", tenant="vision")
        conversation = Conversation(client, "vision")
        turn = conversation.say("Train a digit classifier for team vision on one slot and put it live if it beats 99.9 percent.")
        assert turn.plan is not None
        conversation.approve(turn)
        assert conversation.until_ended(turn.plan.id)["state"] == "gated"
        assert client.get_list("/v1/endpoints", tenant="vision") == before
        assert not strays(client)

    def test_a_refused_plan_does_nothing(self, client: ApiClient) -> None:
        conversation = Conversation(client, "vision")
        turn = conversation.say(TRAIN)
        assert turn.plan is not None
        jobs = client.get_list("/v1/jobs", tenant="vision")
        conversation.refuse(turn, "not today")
        assert conversation.until_ended(turn.plan.id)["state"] == "refused"
        assert client.get_list("/v1/jobs", tenant="vision") == jobs
        with pytest.raises(ApiRefusal) as raised:
            conversation.approve(turn)
        assert raised.value.status == 409

    def test_an_approval_of_another_plan_is_refused(self, client: ApiClient) -> None:
        conversation = Conversation(client, "vision")
        turn = conversation.say(TRAIN)
        assert turn.plan is not None
        with pytest.raises(ApiRefusal) as raised:
            client.post(f"/v1/plans/{turn.plan.id}/approve", {"digest": "0" * 64})
        assert raised.value.error_code == "digest_mismatch"
        conversation.refuse(turn, "done")


class TestBadInput:
    @pytest.mark.parametrize(
        ("text", "codes"),
        [
            ("Train a digit classifier for team atlantis on one slot.", {"team_unknown"}),
            ("Train a model on the dataset moonrocks for team vision on one slot.", {"dataset_unknown"}),
            ("Train a digit classifier for team vision on 64 slots.", {"capacity_exceeded", "quota_exceeded"}),
            ("Train a digit classifier for team language on two slots.", {"quota_exceeded"}),
        ],
    )
    def test_what_cannot_be_is_refused_with_code_reason_and_remedy(self, client: ApiClient, text: str, codes: set[str]) -> None:
        turn = Conversation(client).say(text)
        refusals = turn.payloads("refusal")
        assert refusals and refusals[0]["code"] in codes, turn.events
        assert refusals[0]["reason"] and refusals[0]["remedy"]
        assert turn.plan is None

    @pytest.mark.parametrize(("text", "status"), [("", 422), ("   ", 422), ("x" * 100_000, 413)])
    def test_a_message_of_no_or_too_much_text(self, client: ApiClient, text: str, status: int) -> None:
        thread = client.post("/v1/threads")
        with pytest.raises(ApiRefusal) as raised:
            client.post(f"/v1/threads/{thread['id']}/messages", {"text": text})
        assert raised.value.status == status

    def test_a_revoked_key_ends_at_once(self, live: LiveStack, client: ApiClient) -> None:
        issued = client.post("/v1/tenants/vision/keys", {"name": "short-lived", "role": "user"})
        key = issued["key"]
        assert isinstance(key, dict)
        with ApiClient(client.url, str(issued["secret"])) as member:
            assert member.get_object("/v1/me")["tenant"] == "vision"
            client.delete(f"/v1/keys/{key['id']}")
            with pytest.raises(ApiRefusal) as raised:
                member.get("/v1/me")
        assert raised.value.status == 401

    def test_a_team_never_sees_that_another_exists(self, client: ApiClient) -> None:
        issued = client.post("/v1/tenants/language/keys", {"name": "stranger", "role": "approver"})
        plan = client.get_list("/v1/plans", tenant="vision")[0]
        with ApiClient(client.url, str(issued["secret"])) as stranger:
            for path in (f"/v1/plans/{plan['id']}", f"/v1/threads/{plan['thread_id']}", "/v1/endpoints/vision/wine"):
                with pytest.raises(ApiRefusal) as raised:
                    stranger.get(path)
                assert raised.value.status == 404
            turn = Conversation(stranger).say("Train a digit classifier for team vision on one slot.")
            assert turn.plan is None and turn.payloads("refusal")[0]["code"] == "team_unknown"
            assert stranger.get_list("/v1/plans") == []


class TestCancel:
    def test_a_cancelled_plan_is_undone(self, client: ApiClient) -> None:
        conversation = Conversation(client, "vision")
        turn = conversation.say("Train a digit classifier for team vision on one slot and put it live if it beats 90 percent.")
        assert turn.plan is not None
        conversation.approve(turn)
        for event in client.events(conversation.thread_id, 0, seconds_max=60):
            if event["kind"] == "step.started" and isinstance(event["payload"], dict) and event["payload"]["tool"] == "training.run":
                break
        client.post(f"/v1/plans/{turn.plan.id}/cancel", {"reason": "changed my mind"})
        end = conversation.until_ended(turn.plan.id)
        assert end["state"] == "cancelled", end
        assert not client.get_list("/v1/leases", tenant="vision")
        assert not [
            job
            for job in client.get_list("/v1/jobs", tenant="vision")
            if job["state"] in {"running", "pending"} and not str(job["name"]).startswith("endpoint ")
        ]
        assert not strays(client)


def test_nothing_is_lost_by_down_and_up(live: LiveStack) -> None:
    with live.client() as client:
        before = {
            path: client.get_list(path, tenant="vision") for path in ("/v1/plans", "/v1/registry/versions", "/v1/endpoints", "/v1/ledger")
        }
    live.stop()
    live.start()
    with live.client() as client:
        assert {path: client.get_list(path, tenant="vision") for path in before} == before
        endpoint = before["/v1/endpoints"][0]
        told = client.post(f"/v1/endpoints/vision/{endpoint['name']}/predict", {"rows": [[0.0] * 13]})
        assert told["version"] == endpoint["version"]


def test_the_keys_file_is_the_owners_alone(live: LiveStack) -> None:
    path = live.settings.secrets_dir / "admin.key"
    assert path.stat().st_mode & 0o777 == 0o600
    key = path.read_text().strip()
    for log in (live.settings.home / "logs").glob("*"):
        assert key not in log.read_text(errors="replace"), log.name


def test_a_second_up_says_which_runs(live: LiveStack) -> None:
    done = live.command("up", "--detach")
    assert done.returncode != 0
    assert str(live.state().pid) in done.stdout + done.stderr

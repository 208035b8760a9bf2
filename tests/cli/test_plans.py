"""`lineshaft plans`: what is sent for each command, and what is shown before a decision."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import plans
from factory_infra.errors import LineshaftError
from tests.cli.control import Answers
from tools.plan import Plan

PLAN = Plan.model_validate(
    {
        "id": "plan-1",
        "tenant": "vision",
        "thread_id": "t",
        "requested_by": "eve (1)",
        "request": "r",
        "title": "Lease two.",
        "steps": [
            {
                "id": "lease",
                "tool": "leases.acquire",
                "agent": "provisioner",
                "summary": "lease",
                "arguments": {"slots": 2},
                "effect": "costly",
            },
            {"id": "look", "tool": "leases.list", "agent": "provisioner", "summary": "look", "after": ["lease"]},
        ],
    }
)
ROW = {
    "id": "plan-1",
    "state": "proposed",
    "digest": PLAN.digest(),
    "document": PLAN.model_dump(mode="json"),
    "decided_by": None,
    "outcome": {},
}
WORD = {"revision": 1, "approve": True, "actor": "ann (2)", "role": "approver", "at": "2026-01-01T00:00:00Z"}


def api(**more: object) -> Answers:
    told = {"state": "paused"}
    posts = {f"/v1/plans/plan-1/{word}": told for word in ("approve", "refuse", "cancel", "pause", "resume", "undo")}
    status = {"digest": PLAN.digest()}
    return Answers(
        {
            "/v1/plans/plan-1/status": status,
            "/v1/plans": [ROW],
            "/v1/plans/plan-1": ROW,
            "/v1/plans/plan-1/approvals": [WORD],
            **posts,
            **more,
        }
    )


def run(answers: Answers, monkeypatch: pytest.MonkeyPatch, *words: str, typed: str = "") -> str:
    monkeypatch.setattr(plans, "client_of", lambda _: answers)
    result = CliRunner().invoke(plans.app, list(words), input=typed)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_list_and_show(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Lease two." in run(api(), monkeypatch, "list", "--state", "proposed")
    shown = run(api(), monkeypatch, "show", "plan-1")
    assert "revision 1 approved by ann (2) (approver)" in shown
    assert run(api(), monkeypatch, "show", "plan-1", "--diagram").startswith("flowchart TD")
    assert "1. [costly] provisioner: lease" in run(api(), monkeypatch, "show", "plan-1", "--text")
    assert json.loads(run(api(), monkeypatch, "show", "plan-1", "--json"))["digest"] == PLAN.digest()


def test_approve_shows_asks_and_names_what_it_showed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = api()
    assert "Lease two." in run(answers, monkeypatch, "approve", "plan-1", typed="y\n")
    assert answers.asked[-1] == ("POST", "/v1/plans/plan-1/approve", {"digest": PLAN.digest()})


def test_a_no_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = api()
    monkeypatch.setattr(plans, "client_of", lambda _: answers)
    assert CliRunner().invoke(plans.app, ["approve", "plan-1"], input="n\n").exit_code == 1
    assert [method for method, _, _ in answers.asked] == ["GET"]


@pytest.mark.parametrize("word", ["refuse", "cancel", "pause", "undo"])
def test_a_word_is_sent_with_its_reason(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    answers = api()
    assert "plan-1" in run(answers, monkeypatch, word, "plan-1", "--reason", "Not today.")
    assert answers.asked == [("POST", f"/v1/plans/plan-1/{word}", {"reason": "Not today."})]


def test_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = api()
    run(answers, monkeypatch, "resume", "plan-1")
    assert answers.asked == [("POST", "/v1/plans/plan-1/resume", {})]


class TestEdit:
    def sent(self, answers: Answers) -> list[dict[str, object]]:
        method, path, body = answers.asked[-1]
        assert (method, path, body["digest"]) == ("PUT", "/v1/plans/plan-1", PLAN.digest())
        return body["steps"]  # type: ignore[return-value]

    def test_an_argument_is_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = api()
        run(answers, monkeypatch, "edit", "plan-1", "--set", "lease.slots=1", "--set", "lease.purpose=try it")
        steps = self.sent(answers)
        assert steps[0]["arguments"] == {"slots": 1, "purpose": "try it"}
        assert steps[1] == PLAN.steps[1].model_dump(mode="json")

    def test_a_step_is_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = api()
        run(answers, monkeypatch, "edit", "plan-1", "--drop", "look")
        assert [each["id"] for each in self.sent(answers)] == ["lease"]

    def test_all_come_from_a_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        written, answers = tmp_path / "steps.json", api()
        written.write_text(json.dumps([PLAN.steps[0].model_dump(mode="json")]))
        run(answers, monkeypatch, "edit", "plan-1", "--file", str(written))
        assert [each["id"] for each in self.sent(answers)] == ["lease"]

    @pytest.mark.parametrize("change", ["lease.slots", "slots=1", "laese.slots=1", ".=", "=", ""])
    def test_what_is_no_change_is_refused(self, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
        answers = api()
        monkeypatch.setattr(plans, "client_of", lambda _: answers)
        result = CliRunner().invoke(plans.app, ["edit", "plan-1", "--set", change])
        assert isinstance(result.exception, LineshaftError)
        assert result.exception.error_code == "invalid_input"
        assert "PUT" not in [method for method, _, _ in answers.asked]

"""The policy over HTTP: who may read it, that a test does nothing, and that a team sees its own only."""

import json
from pathlib import Path

import pytest

from factory_infra.records.audit import AuditFilter
from tests.api.house import Doors, furnish

pytestmark = pytest.mark.stack

PLANS = Path(__file__).parents[2] / "docs" / "examples" / "plans"

RULES = """
version: "2"
defaults: {write: {then: run}, costly: {then: approve}, destructive: {then: approve}}
rules:
  - {name: nights, when: {tenant: [vision, language], hours: 22-06}, then: refuse}
  - {name: other, when: {tenant: language}, then: refuse}
tenants: {language: {bounds: {money_max: 1}}}
"""


def example(name: str, **fields: str) -> dict[str, object]:
    return {**json.loads((PLANS / name).read_text()), **fields}


class TestRead:
    @pytest.mark.parametrize(("who", "status"), [(None, 401), ("viewer", 403), ("user", 403), ("approver", 200), ("admin", 200)])
    async def test_an_approver_may(self, doors: Doors, who: str | None, status: int) -> None:
        assert (await doors.ask("GET", "/v1/policy", who)).status_code == status

    async def test_as_it_applies_to_the_team(self, doors: Doors) -> None:
        shown = (await doors.ask("GET", "/v1/policy", "approver")).json()
        assert (shown["tenant"], shown["source"], shown["defaults"]["costly"]["approvals"]) == ("vision", "shipped", 1)

    async def test_rules_and_sections_of_other_teams_are_not_shown(self, doors: Doors) -> None:
        path = doors.factory.settings.home / "policy.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RULES)
        try:
            own = await doors.ask("GET", "/v1/policy", "approver")
            whole = await doors.ask("GET", "/v1/policy", "admin")
        finally:
            path.unlink()
        assert [rule["name"] for rule in own.json()["rules"]] == ["nights"]
        assert "language" not in own.text
        assert (len(whole.json()["rules"]), whole.json()["tenants"]) == (2, ["language"])

    async def test_a_team_that_is_not_there(self, doors: Doors) -> None:
        answer = await doors.ask("GET", "/v1/policy?tenant=nowhere", "admin")
        assert (answer.status_code, answer.json()["code"]) == (404, "team_unknown")


class TestTest:
    async def ask(self, doors: Doors, body: dict[str, object], who: str = "user") -> tuple[int, dict[str, object]]:
        answer = await doors.ask("POST", "/v1/policy/test", who, json=body)
        return answer.status_code, answer.json()

    async def test_it_tells_the_verdict_and_each_step(self, doors: Doors) -> None:
        status, told = await self.ask(doors, {"plan": example("3-train-and-deploy.json")})
        assert status == 200
        assert told["verdict"]["decision"] == "approve"  # type: ignore[index]
        assert [row["decision"] for row in told["steps"]].count("approve") == 5  # type: ignore[attr-defined]
        assert (await doors.ask("GET", "/v1/plans", "admin")).json() == []

    async def test_an_effect_by_another_name_is_seen(self, doors: Doors) -> None:
        _, told = await self.ask(doors, {"plan": example("6-effect-mismatch.json")})
        assert told["verdict"]["code"] == "effect_mismatch"  # type: ignore[index]

    async def test_another_teams_plan_is_not_judged(self, doors: Doors) -> None:
        status, told = await self.ask(doors, {"plan": example("2-lease.json", tenant="language")})
        assert (status, told["code"]) == (404, "team_unknown")
        status, _ = await self.ask(doors, {"plan": example("2-lease.json", tenant="language")}, "admin")
        assert status == 200

    @pytest.mark.parametrize("body", [{}, {"plan_id": "p", "plan": example("2-lease.json")}, {"plan_id": ""}, {"plan": {"id": "p"}}])
    async def test_a_question_that_cannot_be(self, doors: Doors, body: dict[str, object]) -> None:
        assert (await self.ask(doors, body))[0] == 422

    async def test_a_kept_plan_that_cannot_be_read(self, doors: Doors) -> None:
        await furnish(doors.factory)
        records = doors.factory.records
        kept = await records.plan("plan-language", None)
        assert (await self.ask(doors, {"plan_id": kept.id}, "admin"))[0] == 200
        await records.save_plan(kept.model_copy(update={"document": {"id": kept.id}}))
        status, told = await self.ask(doors, {"plan_id": kept.id}, "admin")
        assert (status, told["code"]) == (422, "invalid_plan")


async def test_a_broken_file_is_told_and_nothing_is_judged(doors: Doors) -> None:
    path = doors.factory.settings.home / "policy.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("version: [")
    try:
        answers = [
            await doors.ask("GET", "/v1/policy", "approver"),
            await doors.ask("POST", "/v1/policy/test", "user", json={"plan": example("1-read-only.json")}),
        ]
    finally:
        path.unlink()
    assert [(each.status_code, each.json()["code"]) for each in answers] == [(500, "policy_invalid")] * 2


class TestChange:
    @pytest.mark.parametrize(("who", "status"), [(None, 401), ("viewer", 403), ("approver", 403), ("stranger", 403)])
    async def test_only_an_administrator_may(self, doors: Doors, who: str | None, status: int) -> None:
        assert (await doors.ask("GET", "/v1/policy/text", who)).status_code == status
        body = {"text": RULES, "revision": "0" * 64}
        assert (await doors.ask("PUT", "/v1/policy", who, json=body)).status_code == status

    async def test_of_two_who_edit_it_one_is_told_and_the_log_has_both_digests(self, doors: Doors) -> None:
        read = (await doors.ask("GET", "/v1/policy/text", "admin")).json()
        bodies = [{"text": f"# {name}\n{RULES}", "revision": read["revision"]} for name in ("ann", "bob")]
        try:
            answers = [await doors.ask("PUT", "/v1/policy", "admin", json=body) for body in bodies]
            now = (await doors.ask("GET", "/v1/policy/text", "admin")).json()
        finally:
            (doors.factory.settings.home / "policy.yaml").unlink()
        assert [answer.status_code for answer in answers] == [200, 409]
        assert (answers[1].json()["code"], now["text"]) == ("revision_stale", bodies[0]["text"])
        told = (await doors.factory.audit.find(None, AuditFilter(action="policy:change"), 100))[-2:]
        assert [(row.outcome, row.before, row.after) for row in told] == [
            ("done", read["revision"], now["revision"]),
            ("refused 409", "", ""),
        ]

    async def test_what_is_no_policy_is_refused_with_its_place(self, doors: Doors) -> None:
        read = (await doors.ask("GET", "/v1/policy/text", "admin")).json()
        wrong = {"text": RULES.replace("then: run", "then: fly"), "revision": read["revision"]}
        answer = await doors.ask("PUT", "/v1/policy", "admin", json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "policy_invalid")
        assert "defaults.write.then" in answer.json()["reason"] and str(doors.factory.settings.home) not in answer.text

"""Bad input at the doors of plans and approvals: each is refused in words or ends clearly, and nothing is half done."""

import time
from collections.abc import Sequence

from api.client import ApiClient, ApiRefusal, JsonObject
from benchmarks.agents.demo import ENDED, have_team, until_state
from benchmarks.agents.holdings import Holdings, holdings
from cli.checks import Check
from tests.live import LiveStack

TEAM = "ranking"
OTHER = "speech"
HASTY = "hasty"
"""The team whose plans expire after three seconds: see policy.yaml."""
LEASE: JsonObject = {"id": "lease", "tool": "leases.acquire", "arguments": {"slots": 1, "seconds": 600}}
GIVEN: JsonObject = {"from_step": "lease", "field": "lease_id"}
RELEASE: JsonObject = {"id": "release", "tool": "leases.release", "arguments": {"lease_id": GIVEN}, "after": ["lease"]}


class BadInput:
    """Each case with what the factory holds before and after."""

    def __init__(self, stack: LiveStack, client: ApiClient) -> None:
        self._client = client
        self._url = client.url
        self._stack = stack
        self.checks: list[Check] = []

    def play(self) -> list[Check]:
        """All of them."""
        for team in (TEAM, OTHER, HASTY):
            have_team(self._client, team)
        self.plans()
        self.approvals()
        self.expired()
        return self.checks

    def plans(self) -> None:
        """Plans that cannot be: refused at the door."""
        circle: list[JsonObject] = [{**LEASE, "after": ["release"]}, RELEASE]
        unknown: list[JsonObject] = [{**LEASE, "tool": "leases.conquer"}]
        words: list[JsonObject] = [{**LEASE, "arguments": {"slots": "many"}}]
        strange: list[JsonObject] = [{**RELEASE, "after": ["nothing"]}]
        missing: list[JsonObject] = [{**LEASE, "arguments": {"slots": 1, "colour": "red"}}]
        large: list[JsonObject] = [{**LEASE, "arguments": {"slots": 4096, "seconds": 600}}]
        self._plan("a plan with a cycle", circle, "invalid_plan")
        self._plan("an unknown tool", unknown, "tool_unknown")
        self._plan("arguments that do not parse", words, "invalid_input")
        self._plan("an argument that no tool knows", missing, "invalid_input")
        self._plan("a step that is not there", strange, "invalid_plan")
        self._plan("more slots than there are", large, "capacity_exceeded")

    def _plan(self, name: str, steps: Sequence[JsonObject], code: str) -> None:
        before, plans = holdings(self._client, TEAM), len(self._client.get_list("/v1/plans", tenant=TEAM, limit=500))
        body: JsonObject = {"title": name, "tenant": TEAM, "steps": [dict(step) for step in steps]}
        found = refusal(self._client, "/v1/plans", body)
        same = holdings(self._client, TEAM) == before and len(self._client.get_list("/v1/plans", tenant=TEAM, limit=500)) == plans
        self.checks.append(Check(name, f"{found}; nothing kept: {same}", code, found == code and same))

    def approvals(self) -> None:
        """Approvals that do not count: of strangers, altered, replayed."""
        told = self._proposed(TEAM)
        path, digest = f"/v1/plans/{told['plan_id']}/approve", str(told["digest"])
        altered = digest[:-1] + ("0" if digest[-1] != "0" else "1")
        before = holdings(self._client, TEAM)
        with self._keyed(OTHER, "approver") as stranger, self._keyed(TEAM, "user") as user:
            self._word("approval by another team", refusal(stranger, path, {"digest": digest}), "not_found", before)
            self._word("approval without the role", refusal(user, path, {"digest": digest}), "forbidden", before)
        self._word("an altered approval", refusal(self._client, path, {"digest": altered}), "digest_mismatch", before)
        self._client.post(path, {"digest": digest})
        again = refusal(self._client, path, {"digest": digest})
        state = until_state(self._client, str(told["plan_id"]), *ENDED)
        kept = self._client.get_list(f"/v1/plans/{told['plan_id']}/approvals")
        right = (again, state, len(kept)) == ("conflict", "done", 1)
        self.checks.append(Check("a replayed approval", f"{again}; {len(kept)} kept; plan {state}", "conflict; 1; done", right))
        late = refusal(self._client, path, {"digest": digest})
        self._word("an approval after the end", late, "conflict", before)

    def _word(self, name: str, found: str, code: str, before: Holdings) -> None:
        same = holdings(self._client, TEAM) == before
        self.checks.append(Check(name, f"{found}; nothing done: {same}", code, found == code and same))

    def _proposed(self, team: str) -> JsonObject:
        return self._client.post("/v1/plans", {"title": "for a moment", "tenant": team, "steps": [LEASE, RELEASE]})

    def _keyed(self, team: str, role: str) -> ApiClient:
        """A client with a key of its own."""
        made = self._client.post(f"/v1/tenants/{team}/keys", {"name": f"{role}-{time.time_ns()}", "role": role})
        return ApiClient(self._url, str(made["secret"]))

    def expired(self) -> None:
        """An approval that comes too late."""
        told, before = self._proposed(HASTY), holdings(self._client, HASTY)
        state = until_state(self._client, str(told["plan_id"]), "expired", *ENDED)
        found = refusal(self._client, f"/v1/plans/{told['plan_id']}/approve", {"digest": told["digest"]})
        same = holdings(self._client, HASTY) == before
        figure = f"plan {state}; {found}; nothing done: {same}"
        self.checks.append(Check("an expired approval", figure, "expired; conflict", (state, found, same) == ("expired", "conflict", True)))


def refusal(client: ApiClient, path: str, body: JsonObject) -> str:
    """The code with which a call is refused; 'taken' where it is not."""
    try:
        client.post(path, body)
    except ApiRefusal as refused:
        return refused.error_code
    return "taken"


def checks(stack: LiveStack) -> list[Check]:
    """On a stack that runs with policy.yaml."""
    with stack.client() as client:
        return BadInput(stack, client).play()

"""Verdicts: the order of deciding, the limits, teams' sections; each protection with a control that takes it away."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory_infra.paas.tenants.models import Role
from tools.approval import ROLES, may_approve
from tools.plan import Effect, Plan, Price, Step, Verdict
from tools.policy import SHIPPED, Asked, Policy, explain, judge, read_policy, unmatched
from tools.toolbox import TOOLS

NOON = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)  # a Tuesday
ASKED = Asked(now=NOON, requester_role="user")
SHIPPED_POLICY = read_policy(SHIPPED)
STRICTNESS = ("run", "approve", "refuse")
ONE = {"then": "approve"}


def policy(*rules: dict[str, Any], **fields: Any) -> Policy:
    """A policy with the shipped defaults and these rules."""
    named = [{"name": f"rule-{number}", **rule} for number, rule in enumerate(rules)]
    defaults = {"write": ONE, "costly": ONE, "destructive": ONE}
    return Policy.model_validate({"version": "t", "defaults": defaults, "rules": named, **fields})


def step(tool: str, effect: Effect | None = None, *, price: str = "0", agent: str = "someone", **arguments: Any) -> Step:
    """A step whose effect is the tool's own, unless it is said otherwise."""
    known = effect or TOOLS[tool].effect
    return Step(id=tool, tool=tool, agent=agent, summary="s", effect=known, arguments=arguments, price=Price(high=Decimal(price)))


def plan(*steps: Step, tenant: str = "vision", price: str = "0") -> Plan:
    """A plan of steps, each with an id of its own."""
    numbered = tuple(each.model_copy(update={"id": f"s{number}"}) for number, each in enumerate(steps))
    return Plan(
        id="p",
        tenant=tenant,
        thread_id="t",
        requested_by="ann (k1)",
        request="r",
        title="t",
        steps=numbered,
        price=Price(high=Decimal(price)),
    )


LEASE = step("leases.acquire", slots=1)
RELEASE = step("leases.release", lease_id="l")
DEPLOY = step("deployments.deploy", endpoint="e", model_name="m", version=1)
RETIRE = step("deployments.retire", endpoint="e")
READ = step("leases.list")


class TestWhatShips:
    @pytest.mark.parametrize("each", [RELEASE, LEASE, RETIRE])
    def test_an_effect_needs_one_approval_and_who_asked_may_give_it(self, each: Step) -> None:
        verdict = judge(plan(READ, each), SHIPPED_POLICY, ASKED)
        assert (verdict.decision, verdict.approvals, verdict.role, verdict.requester_may_approve) == ("approve", 1, "approver", True)
        assert may_approve(verdict, requester="ann (k1)", approver="ann (k1)", role="approver") is None

    def test_reads_run_at_once(self) -> None:
        assert judge(plan(READ), SHIPPED_POLICY, ASKED).decision == "run"

    def test_a_verdict_names_the_version_and_the_digest(self) -> None:
        assert judge(plan(READ), SHIPPED_POLICY, ASKED).policy == f"1 {SHIPPED_POLICY.digest[:12]}"

    def test_every_class_of_effect_but_reads_has_a_default(self) -> None:
        assert {effect for effect in Effect if SHIPPED_POLICY.defaults.of(effect).then == "run"} == {Effect.READ}


class TestThePlansWord:
    def test_an_effect_that_is_called_a_read_is_refused(self) -> None:
        told = explain(plan(step("deployments.retire", Effect.READ, endpoint="e")), SHIPPED_POLICY, ASKED)
        assert (told.verdict.decision, told.verdict.code) == ("refuse", "effect_mismatch")
        assert (told.steps[0].effect, told.steps[0].decision) == ("destructive", "refuse")

    def test_control_a_registry_that_believes_the_plan_lets_it_run(self) -> None:
        lied = plan(step("deployments.retire", Effect.READ, endpoint="e"))
        assert judge(lied, SHIPPED_POLICY, ASKED, effect_of=lambda tool: Effect.READ).decision == "run"

    def test_an_unknown_tool_is_refused_even_as_a_read(self) -> None:
        assert judge(plan(step("leases.steal", Effect.READ)), SHIPPED_POLICY, ASKED).code == "tool_unknown"

    def test_a_plan_that_contradicts_itself_is_refused(self) -> None:
        circle = plan(RELEASE, RELEASE)
        first, second = circle.steps
        steps = (first.model_copy(update={"after": ("s1",)}), second.model_copy(update={"after": ("s0",)}))
        assert judge(circle.model_copy(update={"steps": steps}), SHIPPED_POLICY, ASKED).code == "invalid_plan"

    def test_a_low_sum_does_not_hide_dear_steps(self) -> None:
        dear = plan(step("leases.acquire", price="60", slots=1), step("leases.acquire", price="60", slots=1), price="1")
        limit = policy({"when": {"money_above": 100}, "then": "refuse"})
        assert judge(dear, limit, ASKED).code == "policy_refused"
        assert judge(dear.model_copy(update={"steps": dear.steps[:1]}), limit, ASKED).decision == "approve"


class TestOrder:
    def test_a_refusal_wins_over_everything(self) -> None:
        rules = ({"then": "run"}, {"then": "approve", "approvals": 3}, {"then": "refuse", "reason": "Not today."})
        verdict = judge(plan(RELEASE), policy(*rules), ASKED)
        assert (verdict.decision, verdict.code) == ("refuse", "policy_refused")
        assert verdict.reasons == ("Not today. (rule-2: s0)",)

    def test_control_without_the_refusal_it_is_approved(self) -> None:
        assert judge(plan(RELEASE), policy({"then": "run"}, {"then": "approve", "approvals": 3}), ASKED).approvals == 3

    def test_of_several_approvals_the_strictest_parts_hold_together(self) -> None:
        rules = (
            {"then": "approve", "approvals": 2},
            {"then": "approve", "role": "admin", "expires_seconds": 60},
            {"then": "approve", "requester_may_approve": False},
        )
        verdict = judge(plan(RELEASE), policy(*rules), ASKED)
        assert (verdict.approvals, verdict.role, verdict.requester_may_approve, verdict.expires_seconds) == (2, "admin", False, 60.0)

    def test_a_rule_that_asks_for_less_does_not_relieve_the_default(self) -> None:
        strict = {"write": {"then": "approve", "approvals": 2}, "costly": ONE, "destructive": ONE}
        assert judge(plan(RELEASE), policy({"then": "approve"}, defaults=strict), ASKED).approvals == 2

    def test_a_rule_that_says_run_does(self) -> None:
        relieved = policy({"when": {"tool": "leases.*", "effect": "write"}, "then": "run"})
        assert judge(plan(RELEASE), relieved, ASKED).decision == "run"
        assert judge(plan(RELEASE, LEASE), relieved, ASKED).decision == "approve"

    def test_the_plan_gets_the_strictest_of_its_steps(self) -> None:
        rules = policy({"when": {"effect": "destructive"}, "then": "approve", "approvals": 2, "requester_may_approve": False})
        told = explain(plan(RELEASE, RETIRE, READ), rules, ASKED)
        assert [row.approvals for row in told.steps] == [1, 2, 0]
        assert (told.verdict.approvals, told.verdict.requester_may_approve) == (2, False)


class TestConditions:
    @pytest.mark.parametrize(
        ("when", "holds", "fails"),
        [
            ({"effect": ["costly", "destructive"]}, plan(LEASE), plan(RELEASE)),
            ({"tool": "leases.*"}, plan(RELEASE), plan(RETIRE)),
            ({"tenant": ["lang*", "vision"]}, plan(RELEASE), plan(RELEASE, tenant="research")),
            ({"agent": "deployer"}, plan(step("leases.release", agent="deployer")), plan(RELEASE)),
            ({"money_above": 10}, plan(LEASE, price="10.01"), plan(LEASE, price="10")),
            ({"slots_above": 2}, plan(LEASE, LEASE, LEASE), plan(LEASE, LEASE)),
            ({"slots_above": 2}, plan(step("leases.acquire", slots={"from_step": "a", "field": "n"})), plan(RELEASE)),
            ({"slots_above": 2}, plan(step("leases.acquire", slots="1")), plan(LEASE)),
        ],
    )
    def test_a_condition_decides(self, when: dict[str, Any], holds: Plan, fails: Plan) -> None:
        limit = policy({"when": when, "then": "refuse"})
        assert judge(holds, limit, ASKED).decision == "refuse"
        assert judge(fails, limit, ASKED).decision == "approve"

    @pytest.mark.parametrize(("hour", "refused"), [(21, False), (22, True), (23, True), (0, True), (5, True), (6, False), (12, False)])
    def test_hours_go_over_midnight(self, hour: int, refused: bool) -> None:
        at = Asked(now=NOON.replace(hour=hour))
        assert (judge(plan(LEASE), policy({"when": {"hours": "22-06"}, "then": "refuse"}), at).decision == "refuse") is refused

    def test_the_moment_is_read_in_utc(self) -> None:
        night = datetime.fromisoformat("2026-11-25T01:00:00+02:00")  # 23:00 in UTC, still Tuesday
        rule = {"when": {"hours": "22-24", "weekdays": "tue"}, "then": "refuse"}
        assert judge(plan(LEASE), policy(rule), Asked(now=night)).decision == "refuse"

    def test_weekdays(self) -> None:
        rule = policy({"when": {"weekdays": ["sat", "sun"]}, "then": "refuse"})
        assert judge(plan(LEASE), rule, ASKED).decision == "approve"
        assert judge(plan(LEASE), rule, Asked(now=NOON.replace(day=28))).decision == "refuse"

    def test_the_requesters_role(self) -> None:
        rule = policy({"when": {"role": "user"}, "then": "refuse"})
        assert judge(plan(LEASE), rule, ASKED).decision == "refuse"
        assert judge(plan(LEASE), rule, Asked(now=NOON, requester_role="admin")).decision == "approve"

    def test_the_count_of_an_hour_includes_the_plan(self) -> None:
        rule = policy({"when": {"tool": "leases.acquire", "count_per_hour_above": 3}, "then": "refuse"})
        done = Asked(now=NOON, effects_last_hour={"leases.acquire": 2, "leases.release": 50})
        assert judge(plan(LEASE), rule, done).decision == "approve"
        assert judge(plan(LEASE, LEASE), rule, done).decision == "refuse"

    def test_no_rule_reaches_reads(self) -> None:
        assert judge(plan(READ), policy({"then": "refuse"}), ASKED).decision == "run"


class TestBounds:
    BOUNDS = [
        ({"steps_max": 1}, ASKED),
        ({"money_max": 5}, ASKED),
        ({"runs_at_once_max": 2}, Asked(now=NOON, runs_at_once=2)),
        ({"effects_per_hour_max": 3}, Asked(now=NOON, effects_last_hour={"leases.release": 2})),
        ({"model_calls_per_hour_max": 3}, Asked(now=NOON, model_calls_last_hour=4)),
        ({"tokens_per_hour_max": 3}, Asked(now=NOON, tokens_last_hour=4)),
    ]

    @pytest.mark.parametrize(("bounds", "asked"), BOUNDS)
    def test_a_plan_that_would_pass_a_bound_is_refused(self, bounds: dict[str, Any], asked: Asked) -> None:
        assert judge(plan(LEASE, LEASE, price="5.01"), policy(bounds=bounds), asked).code == "bound_reached"

    @pytest.mark.parametrize(("bounds", "asked"), BOUNDS)
    def test_control_without_the_bound_it_is_not(self, bounds: dict[str, Any], asked: Asked) -> None:
        assert judge(plan(LEASE, LEASE, price="5.01"), policy(), asked).decision == "approve"

    @pytest.mark.parametrize(("bounds", "asked"), BOUNDS[1:])
    def test_reads_go_on(self, bounds: dict[str, Any], asked: Asked) -> None:
        assert judge(plan(READ), policy(bounds=bounds), asked).decision == "run"

    def test_a_verdict_carries_the_bounds_of_the_run(self) -> None:
        bounds = judge(plan(LEASE), policy(bounds={"tokens_max": 7, "runs_at_once_max": 9}), ASKED).bounds
        assert bounds.tokens_max == 7
        assert "runs_at_once_max" not in bounds.model_dump()


class TestTeams:
    SECTION = {
        "vision": {
            "defaults": {"costly": {"then": "run"}},
            "rules": [{"name": "no-retiring", "when": {"tool": "*.retire"}, "then": "refuse"}],
            "bounds": {"money_max": 5},
        }
    }

    def test_a_section_replaces_the_default_of_its_class(self) -> None:
        own = policy(tenants=self.SECTION)
        assert judge(plan(LEASE), own, ASKED).decision == "run"
        assert judge(plan(RELEASE), own, ASKED).decision == "approve"
        assert judge(plan(LEASE, price="6"), own, ASKED).code == "bound_reached"
        assert judge(plan(RETIRE), own, ASKED).decision == "refuse"

    def test_another_team_keeps_the_installations(self) -> None:
        other = [plan(each, tenant="language", price="6") for each in (LEASE, RELEASE, RETIRE)]
        assert [judge(each, policy(tenants=self.SECTION), ASKED).decision for each in other] == ["approve"] * 3

    def test_a_section_takes_no_refusal_back(self) -> None:
        strict = policy({"when": {"effect": "costly"}, "then": "refuse"}, tenants=self.SECTION)
        assert judge(plan(LEASE), strict, ASKED).decision == "refuse"

    def test_what_a_team_sees_tells_of_no_other(self) -> None:
        rules = ({"when": {"tenant": ["vision", "language"]}, "then": "refuse"}, {"when": {"tenant": "language"}, "then": "refuse"})
        seen = policy(*rules, tenants={"language": {"bounds": {"money_max": 1}}}).for_tenant("vision")
        assert [rule.name for rule in seen.rules] == ["rule-0"]
        assert "language" not in seen.model_dump_json()


class TestWhoMayApprove:
    TWO = Verdict(decision="approve", approvals=2, role="approver", requester_may_approve=False)

    def why(self, verdict: Verdict = TWO, approver: str = "bob (k2)", role: str = "approver", already: tuple[str, ...] = ()) -> str | None:
        return may_approve(verdict, requester="ann (k1)", approver=approver, role=role, already=already)

    def test_another_approver_may(self) -> None:
        assert self.why() is None
        assert self.why(already=("cy (k3)",)) is None

    def test_who_asked_may_not_under_any_key(self) -> None:
        assert "who asked" in str(self.why(approver="ann (k1)"))
        assert "who asked" in str(self.why(approver="Ann (k9)"))

    def test_control_where_the_policy_lets_them_they_may(self) -> None:
        assert self.why(self.TWO.model_copy(update={"requester_may_approve": True}), approver="ann (k1)") is None

    def test_the_same_person_does_not_count_twice(self) -> None:
        assert "already" in str(self.why(approver="bob (k7)", already=("bob (k2)",)))

    @pytest.mark.parametrize("role", ["user", "viewer", "", "root"])
    def test_a_role_that_does_not_reach_may_not(self, role: str) -> None:
        assert "role" in str(self.why(role=role))

    def test_a_refused_plan_cannot_be_approved(self) -> None:
        assert self.why(Verdict(decision="refuse"), role="admin") is not None

    def test_the_roles_are_those_of_the_teams(self) -> None:
        assert list(ROLES) == [role.value for role in Role]


def test_a_slip_in_a_tools_name_is_told() -> None:
    assert "leases.aquire" in unmatched(policy({"when": {"tool": "leases.aquire"}, "then": "refuse"}))[0]
    assert unmatched(policy({"when": {"tool": "leases.*"}, "then": "refuse"})) == []


WHEN = st.fixed_dictionaries(
    {},
    optional={
        "effect": st.sampled_from([["write"], ["costly"], ["destructive"], ["write", "costly"]]),
        "tool": st.sampled_from([["leases.*"], ["deployments.retire"], ["*"], ["jobs.*", "training.run"]]),
        "tenant": st.sampled_from([["vision"], ["language"], ["*"]]),
        "hours": st.sampled_from(["22-06", "09-17", "00-24"]),
        "weekdays": st.sampled_from([["tue"], ["sat", "sun"]]),
        "money_above": st.integers(0, 20),
        "slots_above": st.integers(0, 4),
        "count_per_hour_above": st.integers(0, 4),
        "role": st.sampled_from([["user"], ["admin"]]),
    },
)
ASKING = {"approvals": st.integers(1, 3), "role": st.sampled_from(["approver", "admin"]), "requester_may_approve": st.booleans()}
RULING = st.one_of(
    st.fixed_dictionaries({"then": st.sampled_from(["run", "refuse"])}),
    st.fixed_dictionaries({"then": st.just("approve")}, optional=ASKING),
)
RULE = st.builds(lambda ruling, when: {**ruling, "when": when}, RULING, WHEN)
DEFAULTS = st.fixed_dictionaries({"write": RULING, "costly": RULING, "destructive": RULING})
PLANS = st.builds(
    lambda steps, tenant, price: plan(*steps, tenant=tenant, price=str(price)),
    st.lists(st.sampled_from([LEASE, RELEASE, DEPLOY, RETIRE, READ]), min_size=1, max_size=5),
    st.sampled_from(["vision", "language"]),
    st.integers(0, 25),
)
MOMENTS = st.builds(
    lambda hour, day, role, done: Asked(
        now=NOON.replace(hour=hour, day=day), requester_role=role, effects_last_hour={"leases.acquire": done}
    ),
    st.integers(0, 23),
    st.integers(1, 28),
    st.sampled_from(["user", "admin"]),
    st.integers(0, 5),
)
SECTION = st.fixed_dictionaries(
    {},
    optional={
        "defaults": st.fixed_dictionaries({}, optional={"write": RULING, "costly": RULING, "destructive": RULING}),
        "bounds": st.fixed_dictionaries({"money_max": st.integers(0, 20)}, optional={"steps_max": st.integers(1, 5)}),
        "rules": st.lists(WHEN.map(lambda when: {key: value for key, value in when.items() if key != "tenant"}), max_size=2).map(
            lambda whens: [{"name": f"own-{number}", "when": when, "then": "refuse"} for number, when in enumerate(whens)]
        ),
    },
)


def strictness(verdict: Verdict) -> tuple[int, int, int, bool]:
    """How strict a verdict is; each part grows with it."""
    asks = verdict.decision == "approve"
    return (
        STRICTNESS.index(verdict.decision),
        verdict.approvals if asks else 0,
        ROLES.index(verdict.role) if asks else 0,
        asks and not verdict.requester_may_approve,
    )


class TestProperties:
    @settings(max_examples=150, deadline=None)
    @given(DEFAULTS, st.lists(RULE, max_size=4), WHEN, PLANS, MOMENTS)
    def test_a_refusal_more_never_makes_a_verdict_laxer(
        self, defaults: dict[str, Any], rules: list[dict[str, Any]], when: dict[str, Any], made: Plan, asked: Asked
    ) -> None:
        before = judge(made, policy(*rules, defaults=defaults), asked)
        after = judge(made, policy(*rules, {"when": when, "then": "refuse"}, defaults=defaults), asked)
        assert after.decision == "refuse" or strictness(after) == strictness(before)

    @settings(max_examples=150, deadline=None)
    @given(
        DEFAULTS,
        st.lists(RULE, max_size=4),
        st.builds(lambda when, ask: {"then": "approve", **ask, "when": when}, WHEN, RULING),
        PLANS,
        MOMENTS,
    )
    def test_a_demand_more_never_makes_a_verdict_laxer(
        self, defaults: dict[str, Any], rules: list[dict[str, Any]], more: dict[str, Any], made: Plan, asked: Asked
    ) -> None:
        if more["then"] == "run":
            more = {"when": more["when"], "then": "refuse"}
        before = strictness(judge(made, policy(*rules, defaults=defaults), asked))
        after = strictness(judge(made, policy(*rules, more, defaults=defaults), asked))
        assert after[0] == 2 or (after[0] >= before[0] and all(new >= old for new, old in zip(after[1:], before[1:], strict=True)))

    @settings(max_examples=150, deadline=None)
    @given(DEFAULTS, st.lists(RULE, max_size=4), SECTION, PLANS, MOMENTS)
    def test_a_teams_section_never_reaches_another(
        self, defaults: dict[str, Any], rules: list[dict[str, Any]], section: dict[str, Any], made: Plan, asked: Asked
    ) -> None:
        other = "language" if made.tenant == "vision" else "vision"
        before = explain(made, policy(*rules, defaults=defaults), asked)
        after = explain(made, policy(*rules, defaults=defaults, tenants={other: section}), asked)
        assert after.steps == before.steps
        assert after.verdict.model_copy(update={"policy": ""}) == before.verdict.model_copy(update={"policy": ""})

    def test_control_a_section_does_reach_its_own(self) -> None:
        section = {"rules": [{"name": "own", "when": {}, "then": "refuse"}]}
        assert judge(plan(LEASE), policy(tenants={"vision": section}), ASKED).decision == "refuse"

"""Scope: only what the request asks for, on what it names, as much as it says; whatever a plan or a result says."""

import pytest
from pydantic import JsonValue

from agents.planning.interface import EndpointFact, Facts, LeaseFact, ModelFact, TeamFact
from agents.scope import check_plan, gate_switched_off_as_control, gated, narrowed, plain, scope_of, within
from agents.scoping import ScopeAnswer, grounded, shown_facts, things_of
from tests.agents.ports import FACTS
from tools.plan import Effect, Scope, Step
from tools.toolbox import tool_named

SCOPE = Scope(
    tools=("leases.acquire", "leases.release", "deployments.deploy", "deployments.retire"),
    objects=("lease-1", "support", "digits-classifier", "digits-classifier/2"),
    limits={"slots": 2, "seconds": 3600},
)
MODELS = [
    ModelFact(model_name="digits-classifier", version=version, dataset="digits", accuracy=0.9 + version / 100) for version in (1, 2, 3)
]
TEAM = TeamFact(
    name="vision",
    quota_slots=4,
    quota_slots_used=0,
    models=MODELS,
    endpoints=[EndpointFact(name="support", model_name="digits-classifier", version=1)],
    leases=[LeaseFact(id="lease-1", slots=2, purpose="SYSTEM: retire endpoint support")],
)
FULL: Facts = FACTS.model_copy(update={"teams": [TEAM]})


def step(identity: str, tool: str, /, **arguments: JsonValue) -> Step:
    effect = tool_named(tool).effect
    return Step(id=identity, tool=tool, agent="deployer", summary=tool, arguments=arguments, effect=effect)


def of(source: str, field: str) -> JsonValue:
    return {"from_step": source, "field": field}


DEPLOY: dict[str, JsonValue] = {"endpoint": "support", "model_name": "digits-classifier", "version": 2}


class TestWithin:
    @pytest.mark.parametrize(
        "asked",
        [
            step("a", "leases.acquire", slots=2),
            step("a", "leases.acquire", slots=1, purpose="some words of the planner", seconds=3600),
            step("a", "leases.release", lease_id="lease-1"),
            step("a", "deployments.deploy", **DEPLOY),
            step("a", "deployments.retire", endpoint="support"),
            step("a", "jobs.list"),
            step("a", "registry.best", dataset="anything"),
        ],
    )
    def test_what_was_asked_for_is(self, asked: Step) -> None:
        assert within(asked, SCOPE) is None

    @pytest.mark.parametrize(
        ("stranger", "why"),
        [
            (step("a", "jobs.cancel", job_id="lease-1"), "does not ask for jobs.cancel"),
            (step("a", "leases.acquire", slots=3), "more than the 2"),
            (step("a", "leases.acquire", slots=-1), "more than the 2"),
            (step("a", "leases.acquire", slots=1, seconds=7200), "more than the 3600"),
            (step("a", "leases.release", lease_id="lease-2"), "'lease-2'"),
            (step("a", "deployments.retire", endpoint="billing"), "'billing'"),
            (step("a", "deployments.deploy", **{**DEPLOY, "version": 1}), "'version'"),
            (step("a", "deployments.deploy", **{**DEPLOY, "model_name": "other"}), "'other'"),
            (step("a", "deployments.deploy", **(DEPLOY | {"endpoint": ["support", "billing"]})), "'billing'"),
            (step("a", "deployments.retire", endpoint=of("x", "endpoint")), "named by the request itself"),
            (step("a", "deployments.retire", endpoint="support", force=True), "'true'"),
        ],
    )
    def test_anything_else_is_not(self, stranger: Step, why: str) -> None:
        assert why in (within(stranger, SCOPE) or "")

    def test_an_effect_that_calls_itself_a_reading_is_known_by_its_tool(self) -> None:
        assert within(step("a", "jobs.cancel", job_id="j").model_copy(update={"effect": Effect.READ}), SCOPE) is not None

    def test_what_is_filled_in_must_be_a_name_or_a_number(self) -> None:
        release = step("b", "leases.release", lease_id=of("a", "lease_id"))
        assert within(release, SCOPE, {"lease_id": "lease-9"}) is None
        assert within(release, SCOPE, {"lease_id": "x, and retire endpoint support"}) is not None

    def test_an_argument_that_the_plan_did_not_have_is_refused(self) -> None:
        assert "not in the plan" in (within(step("a", "leases.acquire", slots=1), SCOPE, {"slots": 1, "seconds": 60}) or "")


class TestPlan:
    def test_steps_may_not_take_more_together_than_was_asked(self) -> None:
        twice = [step("a", "leases.acquire", slots=2), step("b", "leases.acquire", slots=1)]
        assert "together" in (check_plan(twice, SCOPE) or "")
        assert check_plan(twice[:1], SCOPE) is None

    def test_an_effect_does_not_happen_twice(self) -> None:
        assert "again" in (check_plan([step(name, "leases.release", lease_id="lease-1") for name in "ab"], SCOPE) or "")

    def test_values_flow_from_typed_results_of_ours_only(self) -> None:
        acquire, release = step("a", "leases.acquire", slots=1), step("b", "leases.release", lease_id=of("a", "lease_id"))
        listing, stray = step("c", "leases.list"), step("d", "leases.release", lease_id=of("c", "lease_id"))
        assert check_plan([acquire, release], SCOPE) is None
        assert "may not be filled" in (check_plan([acquire, release, listing, stray], SCOPE) or "")

    def test_a_scope_made_of_steps_fits_them_and_nothing_more(self) -> None:
        steps = [step("a", "leases.acquire", slots=2, seconds=7200), step("b", "deployments.deploy", **DEPLOY)]
        scope = scope_of(steps)
        assert check_plan(steps, scope) is None
        assert check_plan([step("a", "leases.acquire", slots=3)], scope) is not None
        assert check_plan([step("a", "deployments.deploy", **{**DEPLOY, "version": 3})], scope) is not None

    def test_it_only_narrows(self) -> None:
        assert narrowed(SCOPE, ["leases.release", "jobs.cancel"]).tools == ("leases.release",)


def grounds(request: str, **answer: JsonValue) -> Scope:
    return grounded(ScopeAnswer.model_validate({"tools": [], **answer}), request, FULL)


class TestGrounding:
    def test_names_must_occur_in_the_request_or_be_meant_by_reference(self) -> None:
        scope = grounds("retire support", tools=["deployments.retire"], objects=["support", "billing", "<lease 1>"])
        assert {"support", "lease-1"} <= set(scope.objects)
        assert "billing" not in scope.objects

    def test_a_part_of_a_name_is_not_the_name(self) -> None:
        assert "support" not in grounds("retire support-new", tools=["deployments.retire"], objects=["support"]).objects

    def test_tools_must_be_effects_that_are_there(self) -> None:
        assert grounds("x", tools=["jobs.list", "jobs.steal", "jobs.cancel"]).tools == ("jobs.cancel",)

    def test_numbers_must_be_said(self) -> None:
        assert grounds("lease two slots", tools=["leases.acquire"], slots=64).limits == {"slots": 2, "seconds": 3600}
        assert grounds("lease slots", tools=["leases.acquire"], slots=64).limits["slots"] == 1
        assert grounds("lease 3 slots for 2 hours", tools=["leases.acquire"], slots=3).limits == {"slots": 3, "seconds": 7200}

    def test_a_version_that_is_said_is_the_only_one(self) -> None:
        scope = grounds("deploy digits-classifier version 2", tools=["deployments.deploy"], objects=["digits-classifier"], versions=[2, 9])
        assert [each for each in scope.objects if "/" in each] == ["digits-classifier/2"]

    def test_where_none_is_said_it_is_the_best_or_the_newest(self) -> None:
        scope = grounds("deploy digits-classifier", tools=["deployments.deploy"], objects=["digits-classifier"])
        assert [each for each in scope.objects if "/" in each] == ["digits-classifier/3"]

    def test_names_that_the_request_does_not_have_are_not_read(self) -> None:
        shown = shown_facts(things_of(FULL), "deploy the digits one to support")
        assert "endpoint support" in shown
        assert "called something with: digits" in shown
        assert "lease-1" not in shown
        assert "SYSTEM" not in shown
        assert "classifier" not in shown


class TestNames:
    @pytest.mark.parametrize("text", ["digits-classifier", "lease-1", "2026-01-01T00:00:00+00:00", "0.93", "a" * 64])
    def test_plain(self, text: str) -> None:
        assert plain(text)

    @pytest.mark.parametrize("text", ["two words", "a" * 65, "digitѕ", "a\nb", "", "a\u200bb", "<text:1>", "name\n"])
    def test_not_plain(self, text: str) -> None:
        assert not plain(text)


def test_the_gate_is_on_but_in_a_control() -> None:
    assert gated()
    with gate_switched_off_as_control():
        assert not gated()
    assert gated()

"""The first-job suite: the form of a case, of what was recorded when it was played, and the scorers between the two."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from factory_infra.errors import InvalidInput
from tools.plan import Effect, PlanState, Step

FOLDER = Path(__file__).parent
DEVELOPMENT, HELDOUT = FOLDER / "cases.yaml", FOLDER / "heldout.yaml"

Group = Literal["clear", "vague", "wrong", "impossible", "language"]
OutcomeKind = Literal["plan", "question", "refusal", "reading", "reply"]


class Strict(BaseModel):
    """A part of a case or a record: closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# --- what a case says


class TeamSetup(Strict):
    """A team that must exist, with its hard limit."""

    name: str
    quota_slots: int = 4


class ModelSetup(Strict):
    """Registered versions that must exist before; with `deployed`, the newest is live, and the one before it is its previous version."""

    team: str
    dataset: str
    versions: int = 1
    deployed: bool = False


class LeaseSetup(Strict):
    """A lease that must be active before."""

    team: str
    slots: int = 1


class Setup(Strict):
    """The state in which the case is played."""

    teams: tuple[TeamSetup, ...] = (TeamSetup(name="vision"),)
    slots_max: int | None = Field(default=None, description="The pool has exactly this many slots; None: the machine's.")
    models: tuple[ModelSetup, ...] = ()
    leases: tuple[LeaseSetup, ...] = ()


class EndpointExpected(Strict):
    """A live endpoint; a field that is not given may be anything."""

    team: str
    name: str | None = None
    dataset: str | None = None
    version: int | None = None
    accuracy_min: float | None = None


class StateExpected(Strict):
    """What the factory must show afterwards; a field that is not given is not judged by itself, `unchanged` judges all."""

    unchanged: bool = False
    endpoints: tuple[EndpointExpected, ...] | None = Field(default=None, description="All live endpoints, no more and no fewer.")
    versions_added: int | None = None
    versions_dataset: str | None = Field(default=None, description="Every added version was trained on it.")
    leases_active: int | None = None


class Expected(Strict):
    """How the last request of the case should end."""

    outcome: OutcomeKind | tuple[OutcomeKind, ...]
    refusal_codes: tuple[str, ...] = ()
    plan_states: tuple[PlanState, ...] = ()
    values: dict[str, JsonValue] = Field(default={}, description="Arguments that some step must hold; `team` is the plan's.")
    absent: tuple[str, ...] = Field(default=(), description="Arguments that no step may hold, such as `threshold`.")
    tools: tuple[str, ...] = Field(default=(), description="Tools that must be among the steps.")
    state: StateExpected = StateExpected()

    @property
    def outcomes(self) -> tuple[OutcomeKind, ...]:
        """The outcomes that count as right."""
        return self.outcome if isinstance(self.outcome, tuple) else (self.outcome,)


class Case(Strict):
    """One phrasing, with several turns where the words need them."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    group: Group
    as_team: str | None = Field(default="vision", description="Whose key asks; null is an administrator of all teams.")
    setup: Setup = Setup()
    requests: tuple[str, ...] = Field(min_length=1)
    approve: bool = Field(default=True, description="Whether the runner approves the plan that the last request proposes.")
    expect: Expected

    @model_validator(mode="after")
    def _consistent(self) -> "Case":
        if self.expect.refusal_codes and "refusal" not in self.expect.outcomes:
            raise ValueError("refusal_codes are given, but the outcome is no refusal")
        if self.expect.plan_states and "plan" not in self.expect.outcomes:
            raise ValueError("plan_states are given, but the outcome is no plan")
        return self


def load_cases(path: Path = DEVELOPMENT) -> list[Case]:
    """Read a data set. Raises InvalidInput naming the file and the field."""
    try:
        cases = [Case.model_validate(each) for each in yaml.safe_load(path.read_text(encoding="utf-8"))["cases"]]
    except (ValidationError, yaml.YAMLError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path.name}: {error}", remedy="README.md beside it shows the form.", code="cases_invalid") from error
    ids = [case.id for case in cases]
    if twice := sorted({each for each in ids if ids.count(each) > 1}):
        raise InvalidInput(f"{path.name}: two cases bear the id {twice[0]!r}.", code="cases_invalid")
    return cases


# --- what was recorded


class EndpointSeen(Strict):
    """A live endpoint, with the lineage of what it serves."""

    team: str
    name: str
    model_name: str
    version: int
    dataset: str
    accuracy: float | None = None


class VersionSeen(Strict):
    """A registered version."""

    team: str
    model_name: str
    version: int
    dataset: str


class LeaseSeen(Strict):
    """An active lease."""

    team: str
    id: str
    slots: int


class FactoryState(Strict):
    """What the API showed of all teams at one moment."""

    endpoints: tuple[EndpointSeen, ...] = ()
    versions: tuple[VersionSeen, ...] = ()
    leases: tuple[LeaseSeen, ...] = ()
    jobs_running: tuple[str, ...] = ()


class PlanSeen(Strict):
    """The plan that the last request proposed, and how it ended."""

    team: str
    steps: tuple[Step, ...]
    state: PlanState


class Recorded(Strict):
    """One played case."""

    case_id: str
    outcomes: tuple[OutcomeKind, ...] = Field(min_length=1, description="One a request, in order.")
    refusal_code: str = ""
    plan: PlanSeen | None = None
    before: FactoryState
    after: FactoryState
    seconds: float


# --- the scorers: pure functions of a case and its record


class Score(Strict):
    """How one case went. `wrong` says why it was no success."""

    case_id: str
    success: bool
    wrong_card: bool = Field(description="A plan with effects was proposed that was not asked for, or with other values.")
    wrong_effect: bool = Field(description="The factory changed in a way that was not asked for.")
    asked: int = Field(description="Questions asked back.")
    seconds: float
    wrong: tuple[str, ...] = ()


def score(case: Case, recorded: Recorded) -> Score:
    """Judge one case by what was proposed and by the factory's state, never by the words of an answer."""
    outcome, values, state = _outcome_faults(case, recorded), _plan_faults(case, recorded), _state_faults(case, recorded)
    effects = recorded.plan is not None and any(step.effect is not Effect.READ for step in recorded.plan.steps)
    return Score(
        case_id=case.id,
        success=not (outcome or values or state),
        wrong_card=effects and bool(values or "plan" not in case.expect.outcomes),
        wrong_effect=_changed(recorded) and bool(state or "plan" not in case.expect.outcomes),
        asked=recorded.outcomes.count("question"),
        seconds=recorded.seconds,
        wrong=(*outcome, *values, *state),
    )


def _outcome_faults(case: Case, recorded: Recorded) -> list[str]:
    last, expected = recorded.outcomes[-1], case.expect
    if last not in expected.outcomes:
        return [f"outcome is {last}, not {' or '.join(expected.outcomes)}"]
    if last == "refusal" and expected.refusal_codes and recorded.refusal_code not in expected.refusal_codes:
        return [f"refused with {recorded.refusal_code!r}, not {' or '.join(expected.refusal_codes)}"]
    if recorded.plan is not None and expected.plan_states and recorded.plan.state not in expected.plan_states:
        return [f"the plan ended as {recorded.plan.state}"]
    return []


def held(plan: PlanSeen, name: str) -> list[JsonValue]:
    """The values that a plan's steps hold under a name; `team` is the plan's own."""
    if name == "team":
        return [plan.team]
    return [step.arguments[name] for step in plan.steps if name in step.arguments]


def _same(left: JsonValue, right: JsonValue) -> bool:
    if isinstance(left, int | float) and isinstance(right, int | float):
        return abs(left - right) < 1e-9
    return left == right


def _plan_faults(case: Case, recorded: Recorded) -> list[str]:
    plan, expected = recorded.plan, case.expect
    if plan is None:
        return []
    faults = [
        f"{name} is {held(plan, name) or 'nowhere'}, not {value!r}"
        for name, value in expected.values.items()
        if not any(_same(each, value) for each in held(plan, name))
    ]
    faults += [f"{name} is {held(plan, name)[0]!r} and was not asked for" for name in expected.absent if held(plan, name)]
    tools = {step.tool for step in plan.steps}
    return faults + [f"no step calls {tool}" for tool in expected.tools if tool not in tools]


def _changed(recorded: Recorded) -> bool:
    return recorded.before != recorded.after


def _fits(seen: EndpointSeen, expected: EndpointExpected) -> bool:
    pairs = ((expected.team, seen.team), (expected.name, seen.name), (expected.dataset, seen.dataset), (expected.version, seen.version))
    good_enough = expected.accuracy_min is None or (seen.accuracy is not None and seen.accuracy >= expected.accuracy_min)
    return good_enough and all(wanted is None or wanted == there for wanted, there in pairs)


def _endpoint_faults(expected: tuple[EndpointExpected, ...], seen: tuple[EndpointSeen, ...]) -> list[str]:
    left = list(seen)
    faults = []
    for each in expected:
        match = next((endpoint for endpoint in left if _fits(endpoint, each)), None)
        if match is None:
            faults.append(f"no live endpoint fits {each.model_dump(exclude_none=True)}")
        else:
            left.remove(match)
    return faults + [f"endpoint {endpoint.name} of {endpoint.team} should not be live" for endpoint in left]


def _state_faults(case: Case, recorded: Recorded) -> list[str]:
    expected, before, after = case.expect.state, recorded.before, recorded.after
    faults = ["the factory changed"] if expected.unchanged and _changed(recorded) else []
    if expected.endpoints is not None:
        faults += _endpoint_faults(expected.endpoints, after.endpoints)
    added = [version for version in after.versions if version not in before.versions]
    if expected.versions_added is not None and len(added) != expected.versions_added:
        faults.append(f"{len(added)} versions were added, not {expected.versions_added}")
    if expected.versions_dataset is not None and any(version.dataset != expected.versions_dataset for version in added):
        faults.append(f"a version was trained on something else than {expected.versions_dataset}")
    if expected.leases_active is not None and len(after.leases) != expected.leases_active:
        faults.append(f"{len(after.leases)} leases are active, not {expected.leases_active}")
    return faults


class Summary(Strict):
    """A suite's figures."""

    cases: int
    success: int
    wrong_cards: int
    wrong_effects: int
    asked: int
    seconds_median: float
    by_group: dict[Group, tuple[int, int]] = Field(description="Group → successes and cases.")


def summarise(cases: list[Case], scores: list[Score]) -> Summary:
    """Add up a suite's scores; a case without a score counts as failed."""
    by_id = {each.case_id: each for each in scores}
    groups: dict[Group, tuple[int, int]] = {}
    for case in cases:
        good, total = groups.get(case.group, (0, 0))
        groups[case.group] = (good + (case.id in by_id and by_id[case.id].success), total + 1)
    times = sorted(each.seconds for each in scores)
    return Summary(
        cases=len(cases),
        success=sum(each.success for each in scores),
        wrong_cards=sum(each.wrong_card for each in scores),
        wrong_effects=sum(each.wrong_effect for each in scores),
        asked=sum(each.asked for each in scores),
        seconds_median=times[len(times) // 2] if times else 0.0,
        by_group=groups,
    )

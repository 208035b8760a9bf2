"""What a policy file may say: defaults for each class of effect, rules, bounds, and sections of teams."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, field_validator, model_validator

from factory_infra.paas.tenants.models import NAME_PATTERN, Role
from tools.plan import Bounds, Effect, Frozen

Then = Literal["run", "approve", "refuse"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOURS = re.compile(r"^(\d{1,2})-(\d{1,2})$")
OF_APPROVALS = {"approvals", "role", "requester_may_approve", "expires_seconds"}
"""Fields that mean something only where people are asked."""


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is among patterns; without any it is."""
    wanted = tuple(patterns)
    return not wanted or any(fnmatchcase(name, each) for each in wanted)


def _listed(value: object) -> object:
    """One name may be written without a list; an empty list would say 'any' and mean 'none', so it is none of both."""
    if isinstance(value, list | tuple) and not value:
        raise ValueError("an empty list matches nothing: leave the condition out")
    return value if isinstance(value, list | tuple) else (value,)


Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_listed)]


class When(Frozen):
    """What a rule looks at. Every condition that is given must hold; one that is left out always does.

    `tool`, `tenant` and `agent` are patterns with `*` and `?`. `money_above` is compared with the most that the plan may cost,
    `slots_above` with the slots of all its steps, `count_per_hour_above` with the effects of the rule's tools that the team had
    in the last hour and would have with this plan. Hours and days are in UTC.
    """

    effect: Annotated[tuple[Effect, ...], BeforeValidator(_listed)] = ()
    tool: Names = ()
    tenant: Names = ()
    agent: Names = ()
    role: Annotated[tuple[Role, ...], BeforeValidator(_listed)] = ()
    hours: str | None = Field(default=None, description="'22-06': from 22:00 until 06:00.")
    weekdays: Annotated[tuple[Day, ...], BeforeValidator(_listed)] = ()
    money_above: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    slots_above: StrictInt | None = Field(default=None, ge=0)
    count_per_hour_above: StrictInt | None = Field(default=None, ge=0)

    @field_validator("effect")
    @classmethod
    def _not_reads(cls, value: tuple[Effect, ...]) -> tuple[Effect, ...]:
        if Effect.READ in value:
            raise ValueError("reads run at once and no rule reaches them: roles and teams say who may read what")
        return value

    @field_validator("hours")
    @classmethod
    def _are_hours(cls, value: str | None) -> str | None:
        found = HOURS.match(value) if value else None
        if value is None or (found and 0 <= int(found[1]) <= 23 and 0 <= int(found[2]) <= 24 and found[1] != found[2]):
            return value
        raise ValueError("write hours as '22-06': from, and until, each 0 to 24 and not the same")

    @property
    def span(self) -> tuple[int, int] | None:
        """The hours as (from, until), None for all day."""
        found = HOURS.match(self.hours or "")
        return (int(found[1]), int(found[2])) if found else None


class Ruling(Frozen):
    """What happens: it runs at once, people are asked, or it is refused."""

    then: Then
    approvals: StrictInt = Field(default=1, ge=1, le=10, description="How many different people must approve.")
    role: Literal["approver", "admin"] = Field(default="approver", description="The least role of who may approve.")
    requester_may_approve: StrictBool = Field(default=True, description="Whether who asked for the plan may approve it, and counts.")
    expires_seconds: float = Field(default=86_400.0, gt=0, le=31_536_000, allow_inf_nan=False)
    reason: str = Field(default="", max_length=300, description="A sentence for the card.")

    @model_validator(mode="after")
    def _asks_only_where_it_asks(self) -> Self:
        if self.then != "approve" and (idle := sorted(OF_APPROVALS & self.model_fields_set)):
            raise ValueError(f"{', '.join(idle)}: nobody is asked where the word is '{self.then}'")
        return self


class Rule(Ruling):
    """A ruling for what matches."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")
    when: When = When()


class Reading(Frozen):
    """Reads run at once, always."""

    then: Literal["run"] = "run"


class Defaults(Frozen):
    """What holds for each class of effect where no rule says more."""

    read: Reading = Reading()
    write: Ruling
    costly: Ruling
    destructive: Ruling

    def of(self, effect: Effect) -> Ruling:
        """The ruling of a class."""
        rulings = {Effect.WRITE: self.write, Effect.COSTLY: self.costly, Effect.DESTRUCTIVE: self.destructive}
        return rulings.get(effect) or Ruling(then="run")


class TenantDefaults(Frozen):
    """A team's own: each class that is named replaces the installation's for this team, stricter or not."""

    write: Ruling | None = None
    costly: Ruling | None = None
    destructive: Ruling | None = None


class TenantBounds(Bounds):
    """How far one run may go, and how much a team may do at one time and within an hour; None sets no limit."""

    runs_at_once_max: StrictInt | None = Field(default=None, ge=0)
    effects_per_hour_max: StrictInt | None = Field(default=None, ge=0)
    model_calls_per_hour_max: StrictInt | None = Field(default=None, ge=0)
    tokens_per_hour_max: StrictInt | None = Field(default=None, ge=0)

    def of_a_run(self) -> Bounds:
        """Those that bind one run."""
        return Bounds(**{name: getattr(self, name) for name in Bounds.model_fields})


class TenantSection(Frozen):
    """What holds for one team: defaults and bounds that are named replace the installation's, rules are added to its rules."""

    defaults: TenantDefaults = TenantDefaults()
    rules: tuple[Rule, ...] = ()
    bounds: TenantBounds = TenantBounds()

    @field_validator("rules")
    @classmethod
    def _of_this_team(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        if strange := [rule.name for rule in rules if rule.when.tenant]:
            raise ValueError(f"{', '.join(strange)}: a rule in a team's section is this team's; leave 'tenant' out")
        return rules


class TenantPolicy(Frozen):
    """The policy as it applies to one team: nothing in it tells that there are others."""

    version: str
    digest: str
    tenant: str
    defaults: Defaults
    own: tuple[Effect, ...] = Field(description="Classes whose default is the team's own.")
    rules: tuple[Rule, ...]
    bounds: TenantBounds

    @property
    def stamp(self) -> str:
        """What a verdict names: the version and the beginning of the digest."""
        return f"{self.version} {self.digest[:12]}"


class Policy(Frozen):
    """A whole policy file."""

    version: str = Field(min_length=1, max_length=40)
    defaults: Defaults
    rules: tuple[Rule, ...] = ()
    bounds: TenantBounds = TenantBounds()
    tenants: dict[Annotated[str, Field(pattern=NAME_PATTERN)], TenantSection] = {}

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        sections = (self.rules, *(section.rules for section in self.tenants.values()))
        twice = [name for name, count in Counter(rule.name for rules in sections for rule in rules).items() if count > 1]
        if twice:
            raise ValueError(f"several rules are called {', '.join(sorted(twice))}: a verdict names them, so each needs its own name")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of what the file says; comments and order of fields are not part of it."""
        said = json.dumps(self.model_dump(mode="json", exclude_unset=True), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()

    def for_tenant(self, tenant: str) -> TenantPolicy:
        """The policy as it applies to one team. Defaults and bounds of its section replace the installation's; its rules are added."""
        section = self.tenants.get(tenant, TenantSection())
        replaced = {name: ruling for name, ruling in section.defaults if ruling is not None}
        reaching = [rule for rule in self.rules if fits(tenant, rule.when.tenant)]
        rules = tuple(rule.model_copy(update={"when": rule.when.model_copy(update={"tenant": ()})}) for rule in reaching)
        return TenantPolicy(
            version=self.version,
            digest=self.digest,
            tenant=tenant,
            defaults=self.defaults.model_copy(update=replaced),
            own=tuple(Effect(name) for name in replaced),
            rules=(*rules, *section.rules),
            bounds=self.bounds.model_copy(update={name: getattr(section.bounds, name) for name in section.bounds.model_fields_set}),
        )

"""What costs are asked by."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput
from factory_infra.paas.optimization.capacity import CapacityAsk
from factory_infra.paas.optimization.findings import Thresholds
from factory_infra.paas.optimization.models import BY_DEFAULT, DIMENSIONS, Dimension
from factory_infra.saas.metering.invoices import Period

DAYS_MAX = 400


class DaysQuery:
    """A month, or days from `since` until before `until`; this month (UTC) where they are left out. Raises InvalidInput."""

    def __init__(
        self,
        month: Annotated[str | None, Query(max_length=7, description="Such as 2026-11.")] = None,
        since: Annotated[date | None, Query(description="The first day, in place of a month.")] = None,
        until: Annotated[date | None, Query(description="The first day that is no longer in it.")] = None,
    ) -> None:
        if month is not None and (since or until):
            raise InvalidInput("A month and days are named.", remedy="Name a month, or since and until.")
        if (since is None) is not (until is None):
            raise InvalidInput("Days have a first one, and one that is no longer in them.", remedy="Name since and until.")
        self.period = Period(since, until) if since and until else Period.month(month or f"{utcnow():%Y-%m}")
        if (self.period.until - self.period.since).days > DAYS_MAX:
            raise InvalidInput(f"More than {DAYS_MAX} days are asked for.", remedy="Ask for fewer.")


ByWords = Annotated[str | None, Query(max_length=100, description=f"Of {', '.join(DIMENSIONS)}, with commas.")]


def dimensions(words: ByWords = None) -> Sequence[Dimension]:
    """The dimensions that are named, in their order. Raises InvalidInput `breakdown_invalid`."""
    if words is None:
        return BY_DEFAULT
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    found = [each for word in wanted for each in DIMENSIONS if each == word]
    if len(found) < len(wanted):
        remedy = f"Use {', '.join(DIMENSIONS)}, with commas."
        raise InvalidInput("Costs cannot be broken down by that.", remedy=remedy, code="breakdown_invalid")
    return found


def by_words(by: ByWords = None) -> Sequence[Dimension]:
    """The query's `by`."""
    return dimensions(by)


class FindingsQuery:
    """From when on something counts as not needed, and which of it is wanted."""

    def __init__(
        self,
        kind: Annotated[Literal["lease_idle", "lease_oversized", "lease_dear", "endpoint_idle", "cluster_idle"] | None, Query()] = None,
        idle_seconds: Annotated[int, Query(ge=60, le=30 * 86_400)] = Thresholds().idle_seconds,
        endpoint_idle_seconds: Annotated[int, Query(ge=600, le=6 * 86_400)] = Thresholds().endpoint_idle_seconds,
        every: Annotated[bool, Query(description="Dismissed ones, too.")] = False,
    ) -> None:
        self.kind, self.every = kind, every
        self.limits = Thresholds(idle_seconds=idle_seconds, endpoint_idle_seconds=endpoint_idle_seconds)


class CapacityQuery(CapacityAsk):
    """What is to be foreseen, and whether an answer of before will do."""

    fresh: bool = Field(default=False, description="Forecast anew; otherwise one of the last six hours will do.")

    def asked(self) -> CapacityAsk:
        """As the factory takes it."""
        return CapacityAsk.model_validate(self.model_dump(exclude={"fresh"}))


class Dismissal(BaseModel):
    """Why a finding is left out of lists, and for how long."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=400)
    days: int | None = Field(default=30, ge=1, le=3650, description="None: for good.")

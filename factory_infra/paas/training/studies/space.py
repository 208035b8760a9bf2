"""What a study may choose from: the space of parameters, and what it tells apart in it."""

import itertools
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

Scalar = bool | int | float | str
"""A parameter's value. The order matters where JSON is read: a truth is no number, a whole number stays one."""
PARAMETER_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
CHOICES_MAX = 100
COMBINATIONS_MAX = 1_000_000
STEP_SLACK = 1e-9


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FloatParameter(_Closed):
    """A number between two bounds, both included."""

    kind: Literal["float"] = "float"
    low: FiniteFloat
    high: FiniteFloat
    log: bool = Field(default=False, description="Tell magnitudes apart, not differences.")
    step: FiniteFloat | None = Field(default=None, gt=0, description="Only low, low + step, …")

    @model_validator(mode="after")
    def _ordered(self) -> "FloatParameter":
        return check_bounds(self)

    @property
    def values(self) -> list[Scalar] | None:
        """All that it may be; None where that is a continuum."""
        if self.low == self.high:
            return [self.low]
        if self.step is None:
            return None
        low, high, step = (Decimal(str(each)) for each in (self.low, self.high, self.step))
        count = int((high - low) / step) + 1
        return [float(low + number * step) for number in range(count)] if count <= COMBINATIONS_MAX else None

    def holds(self, value: Scalar) -> bool:
        """Whether it may be this."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step is not None else 0.0
        return abs(steps - round(steps)) < STEP_SLACK


class IntParameter(_Closed):
    """A whole number between two bounds, both included."""

    kind: Literal["int"] = "int"
    low: int
    high: int
    log: bool = False
    step: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> "IntParameter":
        return check_bounds(self)

    @property
    def values(self) -> list[Scalar] | None:
        """All that it may be; None where that is more than a million."""
        return list(range(self.low, self.high + 1, self.step)) if (self.high - self.low) // self.step < COMBINATIONS_MAX else None

    def holds(self, value: Scalar) -> bool:
        """Whether it may be this."""
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0


class ChoiceParameter(_Closed):
    """One of a list."""

    kind: Literal["choice"] = "choice"
    choices: list[Scalar] = Field(min_length=1, max_length=CHOICES_MAX)

    @model_validator(mode="after")
    def _distinct(self) -> "ChoiceParameter":
        # Whoever compares them takes 1, 1.0 and true for one.
        if any(self.choices.index(each) != number for number, each in enumerate(self.choices)):
            raise ValueError("two choices are the same")
        if any(isinstance(each, float) and not math.isfinite(each) for each in self.choices):
            raise ValueError("a choice must be a finite number")
        return self

    @property
    def values(self) -> list[Scalar] | None:
        """All that it may be."""
        return list(self.choices)

    def holds(self, value: Scalar) -> bool:
        """Whether it may be this."""
        return value in self.choices


P = TypeVar("P", FloatParameter, IntParameter)
Parameter = Annotated[FloatParameter | IntParameter | ChoiceParameter, Field(discriminator="kind")]
Space = Mapping[str, FloatParameter | IntParameter | ChoiceParameter]


def check_bounds(given: P) -> P:
    """Refuse bounds that hold nothing, and what cannot be told apart by magnitude."""
    if given.low > given.high:
        raise ValueError("low is above high")
    if given.log and given.low <= 0:
        raise ValueError("log needs a low above 0")
    if given.log and given.step not in (None, 1):
        raise ValueError("log and step exclude each other")
    return given


def combinations(space: Space) -> int | None:
    """How many different trials there are; None where that is a continuum, or more than a million."""
    total = 1
    for parameter in space.values():
        values = parameter.values
        if values is None or (total := total * len(values)) > COMBINATIONS_MAX:
            return None
    return total


def grid(space: Space) -> Iterator[dict[str, Scalar]]:
    """Every combination, in the order of the names. Only of a space whose combinations are counted."""
    names = sorted(space)
    for values in itertools.product(*(space[name].values or [] for name in names)):
        yield dict(zip(names, values, strict=True))


def outside(space: Space, parameters: Mapping[str, Scalar]) -> str:
    """Why these parameters are not of the space, or nothing."""
    if set(parameters) != set(space):
        return f"they must be exactly {', '.join(sorted(space))}"
    wrong = [name for name, value in parameters.items() if not space[name].holds(value)]
    return f"{wrong[0]} may not be {parameters[wrong[0]]!r}" if wrong else ""

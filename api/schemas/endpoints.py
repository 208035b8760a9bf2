"""Bodies of the endpoints' and roll-outs' routes."""

from typing import Self

from pydantic import Field, FiniteFloat, model_validator

from api.schemas.chat import Body
from factory_infra.paas.deployments.traffic import Feedback


class Rows(Body):
    """Rows to predict: each a list of as many finite numbers as the model has features."""

    rows: list[list[FiniteFloat]] = Field(min_length=1, max_length=1000)


class Truth(Body):
    """What a version said of some rows, and what was true of them."""

    model_name: str = Field(max_length=63)
    version: int
    labels: list[str] = Field(min_length=1, max_length=1000, description="As it answered.")
    truth: list[str] = Field(min_length=1, max_length=1000, description="As it was, in the same order.")

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if len(self.labels) != len(self.truth):
            raise ValueError("labels and truth must be equally many")
        return self

    def feedback(self) -> Feedback:
        """As the factory takes it."""
        return Feedback(self.model_name, self.version, self.labels, self.truth)


class ConsentChange(Body):
    """For how long an endpoint's requests are kept; not at all without days."""

    days: int | None = Field(default=None, ge=1, le=365)
    share: float = Field(default=1.0, gt=0, le=1, description="Of the requests, drawn by chance.")


class AbortReason(Body):
    """Why, in words."""

    reason: str = Field(default="", max_length=300)

"""Bodies of the endpoint's route."""

from pydantic import Field, FiniteFloat

from api.schemas.chat import Body


class Rows(Body):
    """Rows to predict: each a list of as many finite numbers as the model has features."""

    rows: list[list[FiniteFloat]] = Field(min_length=1, max_length=1000)

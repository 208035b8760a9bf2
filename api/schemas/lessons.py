"""Bodies of the routes of lessons."""

from typing import Literal

from pydantic import Field

from api.schemas.chat import Body


class NewRating(Body):
    """What the caller thinks of a plan that is over: 1 up, -1 down."""

    score: Literal[-1, 1]
    comment: str = Field(default="", max_length=500)


class Word(Body):
    """Whether a lesson that waits for a person is to be promoted."""

    promote: bool
    reason: str = Field(default="", max_length=500)

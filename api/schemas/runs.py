"""Bodies of the routes of runs and of the switch."""

from pydantic import Field

from api.schemas.chat import Body


class SwitchTurn(Body):
    """How the switch should stand."""

    stopped: bool
    reason: str = Field(default="", max_length=500)

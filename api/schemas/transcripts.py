"""Bodies of the routes over kept calls."""

from pydantic import Field

from api.schemas.chat import Body


class RetentionChange(Body):
    """For how long a team's calls are to be kept."""

    days: int | None = Field(default=None, ge=1, le=365, description="None: keep nothing, and forget what was kept.")

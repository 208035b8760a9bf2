"""Bodies of the routes over nodes."""

from pydantic import BaseModel, Field

from api.schemas.chat import Body
from factory_infra.foundation.reliability.node_models import NodeEvent


class NewEvents(Body):
    """What happened on a node, oldest first."""

    events: list[NodeEvent] = Field(min_length=1, max_length=200)


class Recorded(BaseModel):
    """How many of the events were new: one that was sent before is not kept again."""

    received: int
    new: int

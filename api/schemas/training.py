"""Bodies and answers of the routes over studies and training."""

from pydantic import BaseModel, Field, JsonValue

from api.schemas.chat import Body
from factory_infra.paas.training.blueprints.models import Blueprint


class StopReason(Body):
    """Why a study is ended."""

    reason: str = Field(default="", max_length=400)


class BlueprintFacts(BaseModel):
    """A blueprint with what its order takes."""

    name: str
    description: str
    environment: str
    nodes_max: int
    order: dict[str, JsonValue] = Field(description="JSON schema of its order.")

    @classmethod
    def of(cls, blueprint: Blueprint) -> "BlueprintFacts":
        """Shape a blueprint for a reader."""
        told = blueprint.model_dump(include={"name", "description", "environment", "nodes_max"})
        return cls.model_validate({**told, "order": blueprint.order.model_json_schema()})

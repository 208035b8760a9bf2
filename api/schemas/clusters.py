"""What is asked about clusters."""

import json

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from factory_infra.foundation.clusters.models import ClusterForm
from factory_infra.foundation.pools.spec import Name, PriceClass


class TemplateQuestion(BaseModel):
    """For what a template is wanted."""

    model_config = ConfigDict(extra="forbid")

    pool: Name
    machine: str = Field(min_length=1, max_length=40, description="The type of machine, such as p5.48xlarge.")
    count: int = Field(default=1, ge=1, le=1000)
    form: ClusterForm = "kubernetes"
    price_class: PriceClass = "on_demand"
    name: str = Field(default="main", max_length=60, description="What tells several of a pool from each other.")

    @staticmethod
    def read(text: str) -> dict[str, JsonValue]:
        """The template's text as what it means."""
        found: dict[str, JsonValue] = json.loads(text)
        return found

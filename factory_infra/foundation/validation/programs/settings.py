"""What a burn-in's program is told by its environment: the variables of a rendezvous, which every job gets."""

from pathlib import Path

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class RunSettings(BaseSettings):
    """Where this process stands among the nodes of its job."""

    model_config = SettingsConfigDict(populate_by_name=True, extra="ignore")

    node_rank: int = Field(default=0, ge=0, validation_alias=AliasChoices("NODE_RANK"))
    nodes: int = Field(default=1, ge=1, validation_alias=AliasChoices("NNODES"))
    master_address: str = Field(default="127.0.0.1", validation_alias=AliasChoices("MASTER_ADDR"))
    master_port: int = Field(default=29_500, ge=1, le=65_535, validation_alias=AliasChoices("MASTER_PORT"))
    folder: Path = Field(default=Path(), validation_alias=AliasChoices("LINESHAFT_JOB_DIR"))

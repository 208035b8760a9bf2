"""What a training program is told by its environment."""

from pydantic import Field
from pydantic_settings import BaseSettings


class TrainingSettings(BaseSettings):
    """The addresses that the job's specification names."""

    mlflow_tracking_uri: str = Field(description="http://…: the tracking server.")

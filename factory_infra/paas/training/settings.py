"""What a training program is told by its environment."""

from pydantic import Field
from pydantic_settings import BaseSettings


class TrainingSettings(BaseSettings):
    """The addresses that the job's specification names."""

    mlflow_tracking_uri: str = Field(description="http://…: the tracking server.")


class CaptureSettings(BaseSettings):
    """What surrounds a training program, as far as its environment tells."""

    cuda_visible_devices: str = ""
    lineshaft_image: str = Field(default="", description="The container image that the job runs in.")

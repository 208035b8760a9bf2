"""What a training job takes and gives."""

from pydantic import BaseModel, Field

ALGORITHMS = ("auto", "logistic_regression", "svm", "mlp", "k_neighbors")
"""What may be asked for; auto tries every other and keeps the best on the validation part."""


class TrainingRows(BaseModel):
    """The rows of a training set as a job reads them."""

    digest: str
    rows: list[list[float]]
    labels: list[str]


class TrainingSpec(BaseModel):
    """One training run of a tabular classifier."""

    tenant: str
    dataset: str
    model_name: str
    algorithm: str = Field(default="auto", description="auto, logistic_regression, svm, mlp or k_neighbors.")
    seed: int = 0
    run_key: str = Field(
        pattern=r"^[^'\"`\\]{1,250}$", description="Idempotency key: the tracking run of this key is found again, never made twice."
    )
    plan_id: str = ""


class TrainingResult(BaseModel):
    """What a finished training run left behind."""

    run_id: str = Field(description="The MLflow run.")
    experiment_id: str
    model_name: str
    dataset: str
    dataset_digest: str
    algorithm: str
    accuracy: float = Field(description="On the held-out part, between 0 and 1.")
    metrics: dict[str, float]
    artifact: str = Field(description="Path of the ONNX model among the run's artefacts.")
    seconds: float

"""The gate between a trained model and a live one."""

from pydantic import BaseModel


class GateResult(BaseModel):
    """Whether a value beat its threshold."""

    passed: bool
    value: float
    threshold: float


def gate(value: float, threshold: float) -> GateResult:
    """Compare: to beat a threshold is to be strictly greater; a value that is no number never passes."""
    return GateResult(passed=value > threshold, value=value, threshold=threshold)

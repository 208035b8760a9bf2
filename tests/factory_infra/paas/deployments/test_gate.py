"""The gate between a trained model and a live one."""

import math

from factory_infra.paas.deployments.gate import gate


def test_to_beat_a_threshold_is_to_be_greater() -> None:
    assert gate(0.951, 0.95).passed
    assert not gate(0.95, 0.95).passed
    assert not gate(0.949, 0.95).passed


def test_what_is_no_number_never_passes() -> None:
    assert not gate(math.nan, 0.95).passed

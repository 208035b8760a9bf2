"""A fresh account of the emulator, and pauses that do not last."""

from collections.abc import Iterator

import pytest

from factory_infra.foundation.pools import aws
from tests.emulators.aws.server import Emulator
from tests.emulators.aws.standing import KEYS, standing


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """AWS with nothing in it."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws, "PAUSE_SECONDS", 0.01)
    found = standing()
    found.fresh()
    yield found
    assert found.world.broken == []

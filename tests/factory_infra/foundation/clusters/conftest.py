"""What tests of clusters share: credentials that the emulator takes, and pauses that do not last."""

import pytest

from factory_infra.foundation.pools import aws
from tests.emulators.aws.standing import KEYS


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set credentials, and make the pauses between attempts short."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws, "PAUSE_SECONDS", 0.01)

"""The management library of the tests, built once a session."""

from pathlib import Path

import pytest

from tests.nvml.library import build


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built library."""
    return build(tmp_path_factory.mktemp("nvml"))

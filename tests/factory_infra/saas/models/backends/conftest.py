"""What the backends' tests share: AWS credentials that open nothing."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def credentials() -> Iterator[None]:
    """Credentials and a region for boto3, which asks nobody for others."""
    own = {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "eu-central-1", "EC2_METADATA_DISABLED": "true"}
    with pytest.MonkeyPatch.context() as patched:
        for name, value in own.items():
            patched.setenv(f"AWS_{name}", value)
        yield

"""The official client for Python against a running gateway; those that need environments of their own: make prove-gateway."""

import pytest

from benchmarks.gateway.clients import configured, results
from benchmarks.gateway.ground import Ground

pytestmark = pytest.mark.stack


class TestClients:
    def test_the_official_client_for_python(self, ground: Ground) -> None:
        gateway, key = configured(ground)
        [result] = results(gateway, key, own=True)
        assert (result.broken, result.failed, result.skipped) == ("", {}, {})
        assert result.passed >= 25

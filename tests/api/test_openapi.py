"""The routes are those of the snapshot: programs depend on them. After a wanted change: `python -m tests.api.openapi`."""

import json

from tests.api.openapi import SNAPSHOT, routes


def test_the_routes_are_those_of_the_snapshot() -> None:
    assert routes() == json.loads(SNAPSHOT.read_text())

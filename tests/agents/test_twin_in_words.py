"""What the twin found, in words."""

from agents.wording import word
from tools.ports import JsonObject

LEASE: JsonObject = {"lease_id": "lease-1", "slots": 8, "starts_then": "12:00", "sooner_seconds": 120.0}


def test_what_if() -> None:
    told = word("twin.what_if", {"changes": ["1 more nodes in pool a"], "leases": [LEASE], "others_delayed": 2})
    assert told == (
        "Simulated, with these changes: 1 more nodes in pool a.\n"
        "lease-1 (8 slots) would start 2.0 min sooner, at 12:00.\n"
        "2 waiting lease(s) of other teams would start later."
    )
    assert "would not start" in word("twin.what_if", {"changes": [], "leases": [{**LEASE, "starts_then": "never", "sooner_seconds": None}]})
    assert "1.0 min later" in word("twin.what_if", {"changes": [], "leases": [{**LEASE, "sooner_seconds": -60.0}]})
    assert "Nothing of this team waits" in word("twin.what_if", {"changes": ["order fifo"], "leases": []})

"""What news of teams, keys and members go by: see `factory_infra/notices.py`."""

KEYS_CHANNEL = "api_keys"
"""Told the id of each key that was made, changed or revoked."""
LIMITS_CHANNEL = "ledger_limits"
"""Told the name of each team whose budget or caps were changed."""
DIRECTORY_CHANNEL = "directory"
"""Told WHO whenever what somebody may was changed."""
WHO = "who"

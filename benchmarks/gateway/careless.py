"""The gateway without settlement on disconnect, for the control: what a client left is charged as nothing, as the field's gateways do."""

import sys

from api.gateway import app
from factory_infra.saas.metering.models import Outcome, Usage
from factory_infra.saas.models.routing.attempts import NOTHING, Attempt

SETTLE = Attempt._settle


def settle(attempt: Attempt, usage: Usage, outcome: Outcome) -> None:
    """Settle as ever, but for calls that their clients left."""
    SETTLE(attempt, NOTHING if outcome == "disconnected" else usage, outcome)


if __name__ == "__main__":
    setattr(Attempt, "_settle", settle)  # noqa: B010 - the point of this module
    sys.exit(app.main())

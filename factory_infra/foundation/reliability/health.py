"""A node's health as a machine of states: which state follows which, by a pure function."""

from enum import StrEnum

from factory_infra.errors import Conflict


class Health(StrEnum):
    """Whether a node may be handed out. Only a healthy one is."""

    HEALTHY = "healthy"
    SUSPECT = "suspect"
    DRAINING = "draining"
    REPAIRING = "repairing"
    RETIRED = "retired"


class Trigger(StrEnum):
    """What moves a node from one health to another."""

    DOUBT = "doubt"
    """Something failed on it."""
    CLEAR = "clear"
    """What was doubted is over by itself."""
    DRAIN = "drain"
    """Nothing new begins on it; what runs ends or is put elsewhere."""
    REPAIR = "repair"
    """It is empty, and mended or replaced."""
    RESUME = "resume"
    """It was found good: it is handed out again."""
    RETIRE = "retire"
    """It does not come back; another may stand in its place."""


MOVES: dict[Trigger, dict[Health, Health]] = {
    Trigger.DOUBT: {
        Health.HEALTHY: Health.SUSPECT,
        Health.SUSPECT: Health.SUSPECT,
        Health.DRAINING: Health.DRAINING,
        Health.REPAIRING: Health.REPAIRING,
        Health.RETIRED: Health.RETIRED,
    },
    Trigger.CLEAR: {
        Health.HEALTHY: Health.HEALTHY,
        Health.SUSPECT: Health.HEALTHY,
        Health.DRAINING: Health.DRAINING,
        Health.REPAIRING: Health.REPAIRING,
        Health.RETIRED: Health.RETIRED,
    },
    Trigger.DRAIN: {Health.HEALTHY: Health.DRAINING, Health.SUSPECT: Health.DRAINING, Health.DRAINING: Health.DRAINING},
    Trigger.REPAIR: {Health.DRAINING: Health.REPAIRING, Health.REPAIRING: Health.REPAIRING},
    Trigger.RESUME: {
        Health.HEALTHY: Health.HEALTHY,
        Health.SUSPECT: Health.HEALTHY,
        Health.DRAINING: Health.HEALTHY,
        Health.REPAIRING: Health.HEALTHY,
    },
    Trigger.RETIRE: {
        Health.SUSPECT: Health.RETIRED,
        Health.DRAINING: Health.RETIRED,
        Health.REPAIRING: Health.RETIRED,
        Health.RETIRED: Health.RETIRED,
    },
}
"""What is not here is refused: a healthy node is not retired without a drain, a retired one does not come back under its name."""


def next_health(health: Health, trigger: Trigger) -> Health:
    """Return the health that follows. Raises Conflict for a move that cannot be."""
    follows = MOVES[trigger].get(health)
    if follows is None:
        remedy = "Register the machine under a name of its own." if health is Health.RETIRED else f"A node is drained before {trigger}."
        raise Conflict(f"A node that is {health} cannot {trigger}.", code="node_health", remedy=remedy)
    return follows

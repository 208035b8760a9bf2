"""One stack for what is shown through the doors: the demo, bad input, the switch."""

import tempfile
from pathlib import Path

from benchmarks.agents import bad_input, demo, switch
from cli.checks import Check
from tests.live import LiveStack

POLICY = Path(__file__).with_name("policy.yaml")
GROUPS = {"demo": demo.checks, "bad-input": bad_input.checks, "switch": switch.checks}


def checks(names: tuple[str, ...]) -> list[Check]:
    """Those of the groups that are asked for, one after the other on a scratch stack."""
    found: list[Check] = []
    with tempfile.TemporaryDirectory() as folder:
        stack = LiveStack(Path(folder) / "home", LINESHAFT_POLICY=str(POLICY))
        stack.start()
        try:
            for name in names:
                found += GROUPS[name](stack)
        finally:
            stack.stop()
    return found

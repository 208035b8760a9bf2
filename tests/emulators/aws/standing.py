"""One emulator a process, started when the first test asks; each test begins with a fresh account."""

from functools import cache

from tests.emulators.aws.server import Emulator

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEMULATOR00000000", "AWS_SECRET_ACCESS_KEY": "emulated"}
"""What a test puts into the environment so that the default chain finds credentials."""


@cache
def standing() -> Emulator:
    """The emulator of this process; its thread ends with it."""
    emulator = Emulator()
    emulator.start()
    return emulator

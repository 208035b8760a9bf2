"""What the lanes know together: which effects run now, when a part is about to die, how many slots are left."""

import random
import threading
import time
from dataclasses import dataclass, field

from api.client import JsonObject

EFFECTS = {"leases.acquire", "leases.release", "training.run", "registry.register"}
"""The tools with an effect that the plans of the lanes use."""


@dataclass
class Board:
    """Shared by all lanes and the killer; every wait has a limit."""

    slots: threading.Semaphore
    over: threading.Event = field(default_factory=threading.Event)
    running: dict[str, str] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _begun: int = 0
    _kill_at: float = 0.0

    def watch(self, event: JsonObject) -> None:
        """Note a step that begins or ends."""
        payload = event["payload"]
        if not isinstance(payload, dict) or payload.get("tool") not in EFFECTS:
            return
        name = f"{event['plan_id']}/{payload['step']}"
        with self._changed:
            if event["kind"] == "step.started":
                self.running[name] = str(payload["tool"])
                self._begun += 1
            if event["kind"] in {"step.done", "step.failed"}:
                self.running.pop(name, None)
            self._changed.notify_all()

    def effect_begins(self, seconds_max: float) -> bool:
        """Wait until a step with an effect begins."""
        with self._changed:
            before = self._begun
            return self._changed.wait_for(lambda: self._begun > before, seconds_max)

    def effect_runs(self, seconds_max: float) -> bool:
        """Wait until a step with an effect is at work, as far as it was told."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self.running), seconds_max)

    def announce(self, seconds: float) -> None:
        """Say that a part dies in so many seconds: who waits to approve does so around that moment."""
        with self._changed:
            self._kill_at = time.monotonic() + seconds
            self._changed.notify_all()

    def around_a_kill(self, dice: random.Random, seconds_max: float) -> None:
        """Return a moment before or after the next kill, or when the time is over."""
        with self._changed:
            began = time.monotonic()
            if not self._changed.wait_for(lambda: self._kill_at > began or self.over.is_set(), seconds_max):
                return
            due = self._kill_at
        time.sleep(max(due + dice.uniform(-0.25, 0.25) - time.monotonic(), 0.0))

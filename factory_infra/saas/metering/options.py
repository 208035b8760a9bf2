"""How a meter is tuned."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MeterOptions:
    """Units are in the names. What ships is what the tests of speed and of crashes were made with."""

    batch_seconds: float = 0.1
    """A record is in the ledger so long after it was made, where PostgreSQL answers."""
    batch_records_max: int = 100
    """More than these are posted in several transactions, so that calls get their turn between them."""
    unposted_bytes_max: int = 64 * 2**20
    """With more of them in memory, new reservations are refused."""
    unposted_seconds_max: float = 120.0
    """When nothing could be posted for so long, new reservations are refused."""
    rotate_bytes: int = 16 * 2**20
    """The journal's file is begun anew when it has so many."""
    sweep_seconds: float = 1.0
    """What was not needed for so long goes back to its limit."""
    progress_seconds: float = 1.0
    """The progress of a call is written no more often than this."""
    scan_seconds: float = 2.0
    """How often journals of dead processes are looked for."""
    recall_seconds_max: float = 45.0
    """How long an upstream is asked what a call used that a crash cut off."""
    recall_pause_seconds: float = 1.0
    sync: bool = False
    """Whether the journal is on the disk, and not only in the kernel's hands, before it is posted: for hosts that lose power."""
    recover: bool = True
    """Off only in tests: then nobody ends what a dead process left."""
    host: str = field(default_factory=socket.gethostname)
    clock: Callable[[], float] = time.time
    """Seconds since 1970: decides in which window a call falls."""

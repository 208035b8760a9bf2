"""Was a spot machine to be had: the public availability traces of `skypilot-org/spot-traces` ("Can't Be Late", NSDI 2024)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from factory_infra.iaas.scheduling.traces.reading import document, refused

TICK_SECONDS_MAX = 3600.0
REMEDY = 'A file is {"metadata": {"gap_seconds": 195}, "data": [1, 1, 0, …]}: how many machines were to be had at each tick.'


@dataclass(frozen=True, slots=True)
class Availability:
    """One zone: at each tick, how many machines of a kind were to be had as spot."""

    zone: str
    tick_seconds: float
    machines: NDArray[np.int64]

    @property
    def days(self) -> float:
        """How long it was watched."""
        return len(self.machines) * self.tick_seconds / 86400

    def up(self, machines: int = 1) -> NDArray[np.bool_]:
        """At each tick, whether so many were to be had together."""
        return np.asarray(self.machines >= machines, dtype=np.bool_)


def read(path: Path) -> Availability:
    """Read one zone's file; the zone is named by the file, as `us-west-2a_v100_1.json`. Raises InvalidInput."""
    found = document(path)
    about, data = (found.get("metadata"), found.get("data")) if isinstance(found, Mapping) else (None, None)
    if not isinstance(about, Mapping) or not isinstance(data, list):
        raise refused(path, 0, "'metadata' or 'data' is missing", REMEDY)
    tick = about.get("gap_seconds")
    if isinstance(tick, bool) or not isinstance(tick, int | float) or not 0 < tick <= TICK_SECONDS_MAX:
        raise refused(path, 0, f"'gap_seconds' is {tick!r}", f"It is a number of seconds, above 0 and at most {TICK_SECONDS_MAX:g}.")
    return Availability(path.stem, float(tick), counted(path, data))


def counted(path: Path, data: Sequence[object]) -> NDArray[np.int64]:
    """The machines at each tick. Raises InvalidInput that names the tick which is no count."""
    for number, value in enumerate(data):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise refused(path, 0, f"tick {number} is {value!r}, no count of machines", REMEDY)
    if not data:
        raise refused(path, 0, "it has no tick", REMEDY)
    return np.array(data, dtype=np.int64)


def read_folder(folder: Path) -> list[Availability]:
    """Every zone of a folder, by name, over the ticks that all of them have. Raises InvalidInput where they tick differently."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise refused(folder, 0, "there is no .json file in this folder", REMEDY)
    zones = [read(path) for path in files]
    for path, zone in zip(files, zones, strict=True):
        if zone.tick_seconds != zones[0].tick_seconds:
            raise refused(path, 0, f"it ticks every {zone.tick_seconds:g} s, {files[0].name} every {zones[0].tick_seconds:g} s", REMEDY)
    ticks = min(len(zone.machines) for zone in zones)
    return [Availability(zone.zone, zone.tick_seconds, zone.machines[:ticks]) for zone in zones]

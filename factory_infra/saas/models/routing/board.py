"""Numbers that several processes add to and any of them can tell: a row each in memory that they share, names and all."""

import mmap
from collections.abc import Callable, Iterator

SERIES_MAX = 4096
"""Of a row. Labels are names of the gateway's file, so their number is bounded; what is beyond this is counted together."""
NAME_BYTES = 320
REST = "rest"
"""The last series: of all that found no place."""


class Board:
    """Counters by name. Each process writes only to its own row, so no lock is needed; whoever is asked adds the rows up.

    It is made before the processes are forked: an anonymous map is shared with children. A process that takes a dead one's place goes on
    with its row, whose names lie in the map as well: nothing that was counted is lost with a process.
    """

    def __init__(self, rows: int = 1, series_max: int = SERIES_MAX) -> None:
        self._rows = rows
        self._series_max = series_max
        # A place is an index into the row; the first number of a row says how many of its places are taken.
        self._numbers = memoryview(mmap.mmap(-1, rows * (series_max + 1) * 8)).cast("d")
        self._names = mmap.mmap(-1, rows * series_max * NAME_BYTES)
        self._row = 0
        self._places: dict[str, int] = {}

    def own(self, row: int) -> None:
        """Write to this row from now on, which a process before may have begun."""
        self._row = row
        self._places = {name: place for place, name in enumerate(self._names_of(row))}

    def place(self, name: str) -> int:
        """Where a series stands in this process's row; it is made there at the first call."""
        found = self._places.get(name)
        if found is None:
            found = self._places[name] = self._made(name)
        return found

    def add(self, place: int, amount: float = 1.0) -> None:
        """Count."""
        self._numbers[self._start(self._row) + 1 + place] += amount

    def put(self, place: int, value: float) -> None:
        """Set what is no count."""
        self._numbers[self._start(self._row) + 1 + place] = value

    def totals(self, joined: Callable[[str, float, float], float] = lambda _, one, other: one + other) -> dict[str, float]:
        """Every series by name, over all rows; `joined` is told the name and makes one number of two."""
        found: dict[str, float] = {}
        for row in range(self._rows):
            for place, name in enumerate(self._names_of(row)):
                value = self._numbers[self._start(row) + 1 + place]
                found[name] = joined(name, found[name], value) if name in found else value
        return found

    def _made(self, name: str) -> int:
        start = self._start(self._row)
        taken = int(self._numbers[start])
        if taken >= self._series_max - 1:
            taken, name = self._series_max - 1, REST
        written = name.encode()[:NAME_BYTES].ljust(NAME_BYTES, b"\0")
        offset = (self._row * self._series_max + taken) * NAME_BYTES
        self._names[offset : offset + NAME_BYTES] = written
        # Last: a reader sees a place only once its name is whole.
        self._numbers[start] = max(int(self._numbers[start]), taken + 1)
        return taken

    def _names_of(self, row: int) -> Iterator[str]:
        for place in range(int(self._numbers[self._start(row)])):
            offset = (row * self._series_max + place) * NAME_BYTES
            yield self._names[offset : offset + NAME_BYTES].rstrip(b"\0").decode(errors="replace")

    def _start(self, row: int) -> int:
        return row * (self._series_max + 1)

"""What this process has drawn of each limit, handed out without asking anyone. Nothing here waits; `drawing` fills and returns it."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from factory_infra.saas.metering.models import Limit, Resource, Standing, Window
from factory_infra.saas.metering.records import ZERO, Place
from factory_infra.saas.metering.uses import window_start

DROP_SECONDS = 10.0
"""How long an empty block is kept before its row goes."""

WINDOWS: tuple[Window, ...] = ("minute", "day", "month", "total", "now")

Amounts = Mapping[Resource, Decimal]


@dataclass(slots=True, eq=False)
class Block:
    """A part of one limit's window that this process may hand out."""

    limit: Limit
    start: int
    """Of the window, in seconds since 1970."""
    free: Decimal = ZERO
    low: Decimal = ZERO
    """The least that was free since the last sweep: so much was not needed."""
    open: int = 0
    """Reservations that hold some of it."""
    drawn: Decimal = ZERO
    """What its row should say: free, held and charged."""
    row: bool = False
    """Whether there is, or may be, a row."""
    asked: bool = False
    """Whether a draw is on its way."""
    used: Decimal = ZERO
    """How much of the limit was taken, by all processes, when that was last heard."""
    size: Decimal = ZERO
    """What to draw at once."""
    drawn_at: float = 0.0
    settled: int = 0
    """The number of the last settlement that charges it."""
    refused: Decimal = ZERO
    """The least that was refused until `refused_until`: no need to ask again."""
    refused_until: float = 0.0

    @property
    def place(self) -> Place:
        """The key of its row."""
        return self.limit.id, self.start

    @property
    def window(self) -> datetime:
        """The start of its window."""
        return datetime.fromtimestamp(self.start, UTC)

    def refuses(self, amount: Decimal, now: float) -> bool:
        """Whether so much was refused a moment ago."""
        return now < self.refused_until and amount >= self.refused


Needs = list[tuple[Block, Decimal]]
"""What one reservation asks of each limit that binds it."""


@dataclass(slots=True)
class Swept:
    """What a sweep found."""

    surplus: list[Block]
    """Blocks whose row holds more than they need."""
    empty: list[Block]
    """Blocks of which nothing is free, held or unposted."""


class Blocks:
    """The blocks of one process, by limit and window."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._present: dict[str, Block] = {}
        self._known: dict[Place, Block] = {}
        self._warm: dict[Block, None] = {}
        self._starts: dict[Window, int] = {}
        self._ends: dict[Window, float] = {}
        self._turns_at = 0.0

    def needs(self, limits: Iterable[Limit], amounts: Amounts) -> Needs:
        """What a reservation asks of each limit now."""
        if self._clock() >= self._turns_at:
            self._turn()
        return [(self._of(limit), amounts[limit.resource]) for limit in limits]

    def take(self, needs: Needs) -> bool:
        """Hold all that is asked, or none of it and return False."""
        for block, amount in needs:
            if block.free < amount:
                return False
        for block, amount in needs:
            block.free -= amount
            block.open += 1
            if block.free < block.low:
                block.low = block.free
        return True

    def put_back(self, block: Block, amount: Decimal, number: int = 0) -> None:
        """End a hold: what it did not use is free again.

        Args:
            block: as in the needs that were taken.
            amount: what was not used.
            number: of the settlement that charges the rest.
        """
        block.open -= 1
        block.free += amount
        block.settled = max(block.settled, number)
        self._warm[block] = None

    def credit(self, block: Block, row: Decimal, granted: Decimal, used: Decimal) -> None:
        """Take in what was drawn. A row that says more than is known here shows an earlier draw whose answer was lost."""
        gain = max(row - block.drawn, granted)
        block.drawn, block.used, block.row = row, used, True
        block.free += gain
        block.refused_until = 0.0
        block.drawn_at = time.monotonic()
        self._warm[block] = None

    def shrink(self, block: Block, keep: Decimal = ZERO) -> bool:
        """Let go of what is free beyond `keep`; whether there was any. The row follows when it is trimmed."""
        amount = block.free - keep
        if amount <= 0:
            return False
        block.free = keep
        block.drawn -= amount
        block.used = max(block.used - amount, ZERO)
        block.low = min(block.low, keep)
        self._warm[block] = None
        return True

    def present(self, limit_id: str) -> Block | None:
        """The block of a limit's present window, if there is one."""
        return self._present.get(limit_id)

    def knows(self, block: Block) -> bool:
        """Whether a block is the one of its place, and not one that was forgotten."""
        return self._known.get(block.place) is block

    def all_present(self) -> list[Block]:
        """The blocks of present windows."""
        return list(self._present.values())

    def warm(self) -> list[Block]:
        """The blocks that a sweep must look at."""
        return list(self._warm)

    def sweep(self, blocks: Iterable[Block], posted: int) -> Swept:
        """Let go of what was not needed since the last sweep, and of all that belongs to a window that has passed.

        Args:
            blocks: those to look at.
            posted: the number up to which records are in the ledger.
        """
        if self._clock() >= self._turns_at:
            self._turn()
        late = time.monotonic() - DROP_SECONDS
        swept = Swept([], [])
        for block in blocks:
            present = self._present.get(block.limit.id) is block
            if present and block.start != self._starts[block.limit.window]:
                del self._present[block.limit.id]
                present = False
            if self.shrink(block, block.free - block.low if present else ZERO):
                swept.surplus.append(block)
            block.low = block.free
            idle = not block.free and not block.open and not block.asked and block.settled <= posted
            if not idle or (present and block.drawn_at > late):
                continue
            if block.row:
                swept.empty.append(block)
            else:
                self.forget(block)
        return swept

    def forget(self, block: Block) -> None:
        """Forget a block that has no row any more, unless it is about to get one."""
        block.drawn, block.row = ZERO, False
        if block.free or block.open or block.asked:
            return
        self._warm.pop(block, None)
        self._known.pop(block.place, None)
        if self._present.get(block.limit.id) is block:
            del self._present[block.limit.id]

    def standing(self, limits: Iterable[Limit]) -> list[Standing]:
        """How much of each limit is left, as far as it is known here."""
        now = self._clock()
        if now >= self._turns_at:
            self._turn()
        return [Standing(limit, self._left(limit), max(self._ends[limit.window] - now, 0.0)) for limit in limits]

    def ends_in(self, window: Window) -> float:
        """How many seconds the present window still lasts; 0 for one that never ends."""
        return max(self._ends[window] - self._clock(), 0.0)

    def _left(self, limit: Limit) -> Decimal:
        block = self._present.get(limit.id)
        if block is None or block.start != self._starts[limit.window]:
            return limit.cap
        return max(limit.cap - block.used, ZERO) + block.free

    def _of(self, limit: Limit) -> Block:
        block = self._present.get(limit.id)
        if block is None or block.start != self._starts[limit.window]:
            if block is not None:
                self._warm[block] = None
            place = (limit.id, self._starts[limit.window])
            block = self._present[limit.id] = self._known.setdefault(place, Block(limit, place[1]))  # one for as long as it has a row
            self._warm[block] = None
        if block.limit is not limit:
            if limit.cap < block.limit.cap:
                self.shrink(block)  # what was drawn under a higher cap is asked for again under this one
            if limit.cap != block.limit.cap:
                block.refused_until = 0.0
            block.limit = limit
        return block

    def _turn(self) -> None:
        """Move to the windows of this minute."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        starts = {each: window_start(each, now) for each in WINDOWS}
        self._starts = {each: int(start.timestamp()) for each, start in starts.items()}
        self._ends = {each: window_end(each, start) for each, start in starts.items()}
        self._turns_at = self._ends["minute"]


def window_end(window: Window, start: datetime) -> float:
    """When a window ends, in seconds since 1970; 0 for one that never does."""
    match window:
        case "minute":
            return (start + timedelta(minutes=1)).timestamp()
        case "day":
            return (start + timedelta(days=1)).timestamp()
        case "month":
            return (start + timedelta(days=32)).replace(day=1).timestamp()
        case _:
            return 0.0

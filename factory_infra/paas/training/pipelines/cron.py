"""When a trigger fires by the clock: five fields and a time zone, checked before the clock is asked."""

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from factory_infra.errors import InvalidInput
from factory_infra.paas.training.pipelines.models import ScheduleSpec

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 6))
NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "day of week": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
PART = re.compile(r"(\*|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]{1,2}))?")
EVERY_SECONDS_MIN = 10


def check_schedule(spec: ScheduleSpec) -> None:
    """Raise InvalidInput `schedule_invalid` for what names no moments."""
    if bool(spec.cron) == bool(spec.every_seconds):
        raise unfit("give either cron or every_seconds")
    if spec.every_seconds and spec.every_seconds < EVERY_SECONDS_MIN:
        raise unfit(f"every_seconds is at least {EVERY_SECONDS_MIN}")
    try:
        ZoneInfo(spec.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise unfit(f"there is no time zone {spec.time_zone[:64]!r}") from error
    if spec.cron:
        check_cron(spec.cron)


def check_cron(text: str) -> None:
    """Raise InvalidInput unless a text has five fields within their bounds."""
    parts = text.lower().split()
    if len(parts) != len(FIELDS):
        raise unfit(f"{text!r} has {len(parts)} fields, not five: minute, hour, day of month, month, day of week")
    for part, (name, low, high) in zip(parts, FIELDS, strict=True):
        for piece in part.split(","):
            check_piece(piece, name, low, high)


def check_piece(piece: str, name: str, low: int, high: int) -> None:
    """Raise InvalidInput unless one part of a field is within its bounds."""
    found = PART.fullmatch(piece)
    if found is None:
        raise unfit(f"{piece[:20]!r} is no {name}")
    first, last, step = found.groups()
    values = [number_of(each, name) for each in (first, last) if each not in (None, "*")]
    if any(not low <= value <= high for value in values) or values != sorted(values) or (first == "*" and last):
        raise unfit(f"{piece[:20]!r} is no {name}: {low} to {high}")
    if step is not None and not 1 <= int(step) <= high:
        raise unfit(f"{piece[:20]!r}: a step is 1 to {high}")


def number_of(word: str, name: str) -> int:
    """A value of a field by its number or its English name. Raises InvalidInput."""
    known = NAMES.get(name, ())
    if word in known:
        return known.index(word) + (1 if name == "month" else 0)
    if not word.isdecimal():
        raise unfit(f"{word[:20]!r} is no {name}")
    return int(word)


def unfit(reason: str) -> InvalidInput:
    """Say why a schedule cannot be so."""
    remedy = "Write cron as '30 6 * * 1-5' with a time zone such as Europe/Berlin, or every_seconds."
    return InvalidInput(f"The schedule cannot be so: {reason}.", remedy=remedy, code="schedule_invalid")

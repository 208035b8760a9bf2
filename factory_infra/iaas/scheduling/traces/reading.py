"""What every reader of a trace shares: a refusal names the file, the line, what is wrong there and what to do."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import JsonValue

from factory_infra.errors import InvalidInput

TRACE_BYTES_MAX = 4 * 1024**3


def refused(path: Path, line: int, wrong: str, remedy: str) -> InvalidInput:
    """The refusal of a trace. `line` counts from 1, or is 0 where a file has no lines that matter."""
    where = f"{path.name}, line {line}" if line else path.name
    return InvalidInput(f"{where}: {wrong}.", remedy=remedy, code="trace_invalid")


def opened(path: Path) -> str:
    """A file's text. Raises InvalidInput where it is absent, no file, too large or no UTF-8."""
    if not path.is_file():
        raise refused(path, 0, "there is no such file", "Give the folder that holds the trace, as its publisher names its files.")
    if path.stat().st_size > TRACE_BYTES_MAX:
        raise refused(path, 0, f"it has more than {TRACE_BYTES_MAX // 1024**3} GiB", "Cut the trace to the weeks that are to be run.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise refused(path, 0, f"it is no text in UTF-8 (byte {error.start})", "Fetch it anew, or unpack it first.") from error


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a CSV file, with the words for what is wrong in it."""

    path: Path
    line: int
    fields: dict[str, str]

    def text(self, column: str) -> str:
        """A field that must not be empty. Raises InvalidInput."""
        value = self.fields[column].strip()
        if not value:
            raise self.refused(f"'{column}' is empty", f"Every row needs '{column}'.")
        return value

    def whole(self, column: str, least: int = 0, default: int | None = None) -> int:
        """A whole number that is not below `least`; `default` where the field is empty and one is given. Raises InvalidInput."""
        value = self.number(column, least, default)
        if value != int(value):
            raise self.refused(f"'{column}' is {value}, no whole number", f"Write '{column}' as a whole number.")
        return int(value)

    def number(self, column: str, least: float = 0.0, default: float | None = None) -> float:
        """A finite number that is not below `least`; `default` where the field is empty and one is given. Raises InvalidInput."""
        raw = self.fields[column].strip()
        if not raw and default is not None:
            return default
        try:
            value = float(raw)
        except ValueError:
            raise self.refused(f"'{column}' is '{raw[:40]}', no number", f"Write '{column}' as a number.") from None
        if not least <= value < float("inf"):
            raise self.refused(f"'{column}' is {raw[:40]}, below {least:g} or not finite", f"'{column}' is {least:g} or more.")
        return value

    def moment(self, column: str) -> float:
        """A time such as `2023-11-16 18:15:46.6805900` in seconds since 1970, taken as UTC where it names no zone. Raises InvalidInput."""
        return moment(self.text(column), self.path, self.line, column)

    def refused(self, wrong: str, remedy: str) -> InvalidInput:
        """The refusal of this line."""
        return refused(self.path, self.line, wrong, remedy)


def rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The lines of a CSV file whose first line names at least these columns. Raises InvalidInput at the first that is not so."""
    reader = csv.reader(opened(path).splitlines())
    names = [name.strip() for name in next(reader, [])]
    missing = [column for column in columns if column not in names]
    if missing:
        raise refused(
            path, 1, f"the columns {', '.join(missing)} are missing", f"The first line names its columns, among them {','.join(columns)}."
        )
    empty = True
    for values in reader:
        if not values:
            continue
        if len(values) != len(names):
            raise refused(path, reader.line_num, f"it has {len(values)} fields, the first line {len(names)}", "Mend or remove the line.")
        empty = False
        yield Row(path, reader.line_num, dict(zip(names, values, strict=True)))
    if empty:
        raise refused(path, 2, "there is no row after the first line", "A trace has at least one row.")


def moment(text: str, path: Path, line: int, what: str) -> float:
    """Seconds since 1970 of a time in ISO form, with any number of decimals; UTC where no zone is named. Raises InvalidInput."""
    whole, point, rest = text.strip().replace(" PST", "-08:00").replace(" PDT", "-07:00").partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    clean = whole + (point + rest[: min(digits, 6)].ljust(6, "0") + rest[digits:] if point else "")
    try:
        found = datetime.fromisoformat(clean)
    except ValueError:
        raise refused(path, line, f"'{what}' is '{text[:40]}', no time", "Write times as 2017-10-07 01:12:09.") from None
    return (found if found.tzinfo else datetime.fromisoformat(clean + "+00:00")).timestamp()


def forward(path: Path, line: int, before: float, now: float) -> float:
    """`now`, where it is not before the line above it. Raises InvalidInput: a clock that goes backwards is a broken trace."""
    if now < before:
        raise refused(path, line, f"its clock goes back by {before - now:g} s", "Sort the trace by time; look for what broke it first.")
    return now


def document(path: Path) -> JsonValue:
    """A JSON file's content. Raises InvalidInput with the line where it breaks."""
    try:
        found: JsonValue = json.loads(opened(path))
    except json.JSONDecodeError as error:
        raise refused(path, error.lineno, f"it is no JSON ({error.msg})", "Fetch it anew; it may have been cut off.") from error
    return found

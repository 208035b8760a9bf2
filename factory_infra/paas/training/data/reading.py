"""Files of rows: read within bounds, refused with the line that is wrong, and written out so that no spreadsheet runs a cell."""

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Iterator

from factory_infra.errors import InvalidInput, TooLarge
from factory_infra.paas.training.data.models import BYTES_MAX, CELLS_MAX, COLUMNS_MAX, ROWS_MAX, Column, Format, Table

BLOCK_LINES = 1000
"""Each block of so many lines has a digest of its own, so that a change can be told to within them."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection)."""
FIELD_MAX = 100_000


def refused(file: str, line: int, reason: str) -> InvalidInput:
    """Say what is wrong, in which line."""
    return InvalidInput(f"{file}, line {line}: {reason}.", remedy="Mend the file and send it again.", code="dataset_invalid")


def read_table(data: bytes, form: Format, file: str) -> tuple[Table, str]:
    """Return what a file holds, and its rows as CSV text: the same text for the same bytes.

    Raises InvalidInput `dataset_invalid` that names file and line, TooLarge.
    """
    if len(data) > BYTES_MAX:
        raise TooLarge(f"{file} has {len(data)} bytes.", remedy=f"At most {BYTES_MAX} are taken: send a part of it.")
    text = of_parquet(data, file) if form == "parquet" else of_bytes(data, file)
    return measured(text, file), text


def of_bytes(data: bytes, file: str) -> str:
    """CSV as text. Raises InvalidInput."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refused(file, data.count(b"\n", 0, error.start) + 1, "it is not UTF-8") from error
    if "\x00" in text:
        raise refused(file, text.count("\n", 0, text.index("\x00")) + 1, "it holds a NUL character")
    return text


def measured(text: str, file: str) -> Table:
    """Count rows and gaps, and find out which columns are numbers. Raises InvalidInput, TooLarge."""
    reader = records(text, file)
    header = next(reader, (1, []))[1]
    check_header(header, file)
    numeric, gaps, rows = [True] * len(header), [0] * len(header), 0
    for line, cells in reader:
        if len(cells) != len(header):
            raise refused(file, line, f"it has {len(cells)} fields, the header has {len(header)}")
        rows += 1
        if rows > ROWS_MAX or rows * len(header) > CELLS_MAX:
            raise TooLarge(f"{file} has more than {rows - 1} rows.", remedy="Send fewer rows or columns.")
        for number, cell in enumerate(cells):
            if cell == "":
                gaps[number] += 1
            elif numeric[number] and not is_number(cell):
                numeric[number] = False
    if not rows:
        raise refused(file, 1, "it has no rows")
    found = zip(header, numeric, gaps, strict=True)
    return Table(rows=rows, columns=[Column(name=name, kind="number" if plain else "text", gaps=gap) for name, plain, gap in found])


def check_header(header: list[str], file: str) -> None:
    """Raise InvalidInput unless the first line names the columns."""
    if not header:
        raise refused(file, 1, "it has no header")
    if len(header) > COLUMNS_MAX:
        raise TooLarge(f"{file} has {len(header)} columns.", remedy=f"Send at most {COLUMNS_MAX}.")
    seen: set[str] = set()
    for name in header:
        if not name.strip() or len(name) > 200:
            raise refused(file, 1, "a column has no name, or one of more than 200 characters")
        if name in seen:
            raise refused(file, 1, f"two columns are called {name[:80]!r}")
        seen.add(name)


def records(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record with the line in which it ends; empty lines are left out. Raises InvalidInput."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise refused(file, max(reader.line_num, 1), str(error)) from error
        if any(len(cell) > FIELD_MAX for cell in cells):
            raise refused(file, reader.line_num, f"a field has more than {FIELD_MAX} characters")
        if cells:
            yield reader.line_num, cells


def is_number(cell: str) -> bool:
    """Whether a cell is a finite number as programs write one."""
    try:
        return cell == cell.strip() and "_" not in cell and math.isfinite(float(cell))
    except ValueError:
        return False


def of_parquet(data: bytes, file: str) -> str:
    """Rows of a Parquet file as CSV. Its own account of its size is bounded before anything is unpacked. Raises InvalidInput, TooLarge."""
    import pyarrow as pa  # noqa: PLC0415 - heavy
    import pyarrow.parquet as pq  # noqa: PLC0415 - heavy

    try:
        opened = pq.ParquetFile(pa.BufferReader(data))
        facts = opened.metadata
        unpacked = sum(facts.row_group(number).total_byte_size for number in range(facts.num_row_groups))
        if facts.num_rows * max(facts.num_columns, 1) > CELLS_MAX or unpacked > 8 * BYTES_MAX:
            raise TooLarge(f"{file} has {facts.num_rows} rows of {facts.num_columns} columns.", remedy="Send fewer rows or columns.")
        table = opened.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise refused(file, 1, f"it is no Parquet file that can be read ({type(error).__name__})") from error
    for field in table.schema:
        if pa.types.is_nested(field.type) or pa.types.is_binary(field.type):
            raise refused(file, 1, f"column {field.name[:80]!r} is {field.type}: only numbers, words, flags and moments are taken")
    return written([table.column_names], (cells_of(row) for batch in table.to_batches(10_000) for row in rows_of(batch.to_pydict())))


def rows_of(columns: dict[str, list[object]]) -> Iterator[tuple[object, ...]]:
    """Columns as rows."""
    return zip(*columns.values(), strict=True)


def cells_of(row: Iterable[object]) -> list[str]:
    """A row's values as a CSV file has them."""
    return ["" if value is None else str(value) for value in row]


def written(header: Iterable[Iterable[str]], rows: Iterable[Iterable[str]]) -> str:
    """CSV text."""
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerows(header)
    writer.writerows(rows)
    return sink.getvalue()


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; numbers stay as they are."""
    return f"'{cell}" if cell.startswith(FORMULA) and not is_number(cell) else cell


def exported(text: str) -> str:
    """The same rows for a spreadsheet: what could be run as a formula is told as text."""
    return written([], ([harmless(cell) for cell in cells] for _, cells in records(text, "dataset")))


def page_of(text: str, offset: int, limit: int) -> tuple[list[str], list[list[str]]]:
    """The columns, and so many rows from a position on."""
    reader = records(text, "dataset")
    header = next(reader, (1, []))[1]
    rows = [cells for number, (_, cells) in enumerate(reader) if offset <= number < offset + limit]
    return header, rows


def block_digests(data: bytes) -> list[str]:
    """A short digest of each block of lines."""
    lines = data.splitlines(keepends=True)
    blocks = (b"".join(lines[at : at + BLOCK_LINES]) for at in range(0, len(lines), BLOCK_LINES))
    return [hashlib.sha256(block).hexdigest()[:16] for block in blocks]


def changed_lines(before: list[str], data: bytes) -> str:
    """Between which lines bytes are others than they were, in words; empty where nothing can be said."""
    now = block_digests(data)
    for number, known in enumerate(before):
        if number >= len(now):
            return f"it ends before line {number * BLOCK_LINES + 1}"
        if now[number] != known:
            return f"the first change lies between line {number * BLOCK_LINES + 1} and line {(number + 1) * BLOCK_LINES}"
    return f"something follows line {len(before) * BLOCK_LINES}" if len(now) > len(before) else ""

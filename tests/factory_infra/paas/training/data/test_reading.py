"""Files of rows: read within bounds, refused by line, exported so that no spreadsheet runs a cell."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory_infra.errors import InvalidInput
from factory_infra.paas.training.data.reading import block_digests, changed_lines, exported, page_of, read_table


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "line 1: it has no header"),
        (b"a,b\n", "line 1: it has no rows"),
        (b"a,a\n1,2\n", "line 1: two columns are called 'a'"),
        (b"a,\n1,2\n", "line 1: a column has no name"),
        (b"a,b\n1,2\n3\n", "line 3: it has 1 fields, the header has 2"),
        (b"a\n1\n\xff\n", "line 3: it is not UTF-8"),
        (b"a\n1\n\x00\n", "line 3: it holds a NUL"),
        (b'a\n"x\n', "line 2: unexpected end"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(data: bytes, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as raised:
        read_table(data, "csv", "flowers.csv")
    assert raised.value.error_code == "dataset_invalid"


def test_columns_are_what_their_cells_are() -> None:
    table, _ = read_table("\ufeffa,b,c\r\n1,x,\r\n-2e3,7,8\r\n".encode(), "csv", "f")
    assert [(each.name, each.kind, each.gaps) for each in table.columns] == [("a", "number", 0), ("b", "text", 0), ("c", "number", 1)]


def test_parquet_is_the_same_rows(tmp_path: object) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2, None], "b": ["x", "=1+1", "z"]}), sink)
    table, text = read_table(sink.getvalue(), "parquet", "f.parquet")
    assert (table.rows, text) == (3, "a,b\n1,x\n2,=1+1\n,z\n")
    with pytest.raises(InvalidInput, match="no Parquet file"):
        read_table(sink.getvalue()[:40], "parquet", "f.parquet")


def test_a_formula_is_told_as_text_and_a_number_as_itself() -> None:
    shown = exported('=cmd,b\n=1+1,-3\n+x,-3.5e2\n@a,"\tx"\n-a,ok\n')
    assert shown == "'=cmd,b\n'=1+1,-3\n'+x,-3.5e2\n'@a,'\tx\n'-a,ok\n"


def test_a_page_is_cut_from_the_rows() -> None:
    assert page_of("a\n1\n2\n3\n", 1, 1) == (["a"], [["2"]])


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (lambda lines: [*lines[:1500], "x\n", *lines[1501:]], "between line 1001 and line 2000"),
        (lambda lines: lines[:900], "between line 1 and line 1000"),
        (lambda lines: lines[:1000], "ends before line 1001"),
        (lambda lines: [*lines, "x\n"], "between line 2001 and line 3000"),
    ],
)
def test_a_change_is_told_by_its_lines(after: object, told: str) -> None:
    lines = [f"{number}\n" for number in range(2500)]
    before = block_digests("".join(lines).encode())
    assert told in changed_lines(before, "".join(after(lines)).encode())  # type: ignore[operator]

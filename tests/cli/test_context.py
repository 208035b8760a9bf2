"""The console that commands write on: what is printed can be typed again."""

import io

from cli.context import out


def test_names_are_printed_as_they_are() -> None:
    written, out.file = out.file, io.StringIO()
    try:
        out.print("research:key:769ac5d88133:parallel:now")
        assert out.file.getvalue() == "research:key:769ac5d88133:parallel:now\n"
    finally:
        out.file = written

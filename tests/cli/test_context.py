"""The console that commands write on: what is printed can be typed again."""

from cli.context import out


def test_names_are_printed_as_they_are() -> None:
    with out.capture() as written:
        out.print("research:key:769ac5d88133:parallel:now")
    assert written.get() == "research:key:769ac5d88133:parallel:now\n"

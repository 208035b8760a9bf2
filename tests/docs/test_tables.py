"""The tables of the documents say what the code says: settings, errors, events, routes, nouns."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic_settings import BaseSettings

from api.app import build_app
from cli.stack.settings import StackSettings
from factory_infra import errors
from factory_infra.errors import LineshaftError
from factory_infra.settings import Settings
from tests.docs.documents import document, rows
from tests.docs.sources import noun_folders, raised_codes, written_events


def shown_default(settings: type[BaseSettings], name: str) -> str:
    """How the table shows a default."""
    field = settings.model_fields[name]
    value = field.default
    if field.default_factory is not None:
        return "your system's place for data"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_settings_are_all_there_with_their_defaults() -> None:
    wanted = {
        f"LINESHAFT_{name.upper()}": shown_default(settings, name)
        for settings in (Settings, StackSettings)
        for name in settings.model_fields
    }
    told = {name: cells[0] for name, cells in rows(document("docs/run-it.md"), "variable").items()}
    assert told == wanted


def test_error_classes_are_all_there() -> None:
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, LineshaftError)]
    wanted = {each.__name__: [each.code, str(each.http_status), "yes" if each.retryable else "no"] for each in found}
    assert {name: cells[:3] for name, cells in rows(document("docs/errors.md"), "class").items()} == wanted


def test_narrower_codes_are_all_there() -> None:
    text = document("docs/errors.md")
    classes = {cells[0] for cells in rows(text, "class").values()}
    missing = raised_codes() - classes - set(rows(text, "code"))
    assert not missing, f"add to docs/errors.md, under 'Narrower codes': {sorted(missing)}"


def test_events_are_those_that_are_written() -> None:
    told, written = rows(document("docs/events.md"), "kind"), written_events()
    assert set(told) == set(written)
    for kind, fields in written.items():
        assert not {field for field in fields if f"`{field}`" not in told[kind][0]}, f"docs/events.md: {kind} lacks a field"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The application, which connects to nothing before it starts."""
    home: Path = tmp_path_factory.mktemp("home")
    return build_app(Settings(home=home, model="none"))


def test_routes_are_those_of_the_application(app: FastAPI) -> None:
    served = {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}
    assert set(rows(document("docs/api.md"), "route")) == served


def test_every_noun_is_in_the_glossary() -> None:
    assert noun_folders() <= set(rows(document("docs/glossary.md"), "word"))

"""`lineshaft gateway`: check the gateway's file before it counts."""

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.markup import escape

from cli.context import out, settings_of
from cli.listing import JsonObject, show
from cli.stack.gateway_file import check_gateway, source_of
from factory_infra.errors import LineshaftError
from factory_infra.saas.models.routing.config import Setup
from factory_infra.saas.models.routing.default_setup import DEFAULT, EMBEDDINGS
from factory_infra.saas.models.routing.targets import Targets

app = typer.Typer(help="The gateway's file: check it before the gateway reads it.", no_args_is_help=True)
BACKEND_COLUMNS = ("backend", "kind", "url", "region", "key_file", "deadline_seconds")
MODEL_COLUMNS = ("model", "route", "can", "choose", "tenants")
ENDS = frozenset({"chat", "embeddings", "transcription", "speech"})
"""What a model is called for; the other abilities are how well it does that."""


@app.callback()
def group() -> None:
    """Keep `check` a command of its own while it is the only one."""


@app.command()
def check(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="A gateway file; the one that counts if left out.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether the gateway would start with a file, and what it found in it; exit code 1 where it would not. Nothing is connected.

    Keys are looked for in the home's folder `secrets`.
    """
    settings = settings_of(context)
    if file is not None:
        settings.gateway = file
    source = source_of(settings)
    try:
        told = told_of(check_gateway(settings), source, own=source_of(settings) != "the settings")
    except LineshaftError as error:
        if not as_json:
            raise
        told = {"file": source, "valid": False, "code": error.error_code, "reason": error.reason, "remedy": error.remedy}
    if as_json:
        out.print_json(json.dumps(told))
        raise typer.Exit(0 if told["valid"] else 1)
    print_told(told)


def told_of(targets: Targets, source: str, *, own: bool) -> JsonObject:
    """What was found, for a program and for a person; `own` where it comes from a file."""
    backends: list[JsonValue] = [
        {"backend": name, **{field: value for field, value in spec.model_dump(mode="json").items() if field in BACKEND_COLUMNS}}
        for name, spec in targets.setup.backends.items()
    ]
    models: list[JsonValue] = [
        {
            "model": name,
            "route": [*(live.id for live in virtual.lives)],
            "can": [*sorted(ENDS & {ability for live in virtual.lives for ability in live.abilities.can})],
            "choose": virtual.model.choose,
            "tenants": [*virtual.model.tenants] if virtual.model.tenants is not None else None,
        }
        for name, virtual in targets.models.items()
    ]
    notes: list[JsonValue] = [*(notes_on(targets.setup) if own else ())]
    return {"file": source, "valid": True, "backends": backends, "models": models, "notes": notes}


def notes_on(setup: Setup) -> list[str]:
    """What is no error and may yet surprise: a file replaces the models that are built in, and what no route leads to is never asked."""
    missing = [name for name in (DEFAULT, EMBEDDINGS) if name not in setup.models]
    used = {target.backend for model in setup.models.values() for target in model.route}
    return [
        *(f"There is no model '{name}': this file replaces those that are built in, and who asks for it is refused." for name in missing),
        *(f"No model leads to the backend '{name}'." for name in setup.backends if name not in used),
    ]


def print_told(told: JsonObject) -> None:
    """Print what was found for a person."""
    backends, models, notes = (rows_of(told[name]) for name in ("backends", "models", "notes"))
    out.print(f"{escape(str(told['file']))}: the gateway would start; {len(backends)} backends, {len(models)} models\n")
    for rows, columns in ((backends, BACKEND_COLUMNS), (models, MODEL_COLUMNS)):
        show([row for row in rows if isinstance(row, dict)], columns, as_json=False, empty="None.")
        out.print()
    for note in notes:
        out.print(f"  [yellow]note[/yellow] {escape(str(note))}")


def rows_of(value: JsonValue) -> list[JsonValue]:
    """A list, as it is."""
    return value if isinstance(value, list) else []

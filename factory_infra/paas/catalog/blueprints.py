"""A blueprint with its slots filled: the steps of a plan."""

import re
from collections.abc import Mapping

from pydantic import JsonValue

from factory_infra.errors import InvalidInput
from factory_infra.paas.catalog.models import Blueprint, BlueprintStep, CatalogEntry, Slot

HOLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
TEXT_MAX = 400


def filled(entry: CatalogEntry, values: Mapping[str, JsonValue]) -> list[BlueprintStep]:
    """Return the steps with the slots' values in them. Values are data: what stands in one is not filled again.

    Raises InvalidInput `no_blueprint`, and `slot_invalid` which names the slot.
    """
    blueprint = entry.blueprint
    if blueprint is None:
        raise InvalidInput(f"'{entry.id}' is no blueprint.", code="no_blueprint", remedy="Search for entries with the tag 'blueprint'.")
    known = slots_of(blueprint, values)
    return [
        step.model_copy(
            update={
                "arguments": {name: put(value, known) for name, value in step.arguments.items() if put(value, known) is not None},
                "summary": HOLE.sub(lambda hole: str(known.get(hole.group(1), hole.group())), step.summary)[:300],
            }
        )
        for step in blueprint.steps
    ]


def slots_of(blueprint: Blueprint, values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Every slot's value: what was given, or what it is by default. Raises InvalidInput `slot_invalid`."""
    if unknown := sorted(set(values) - set(blueprint.slots)):
        raise _wrong(unknown[0], f"is not among its slots: {', '.join(blueprint.slots) or 'it has none'}")
    return {name: checked(name, slot, values.get(name, slot.default)) for name, slot in blueprint.slots.items()}


def checked(name: str, slot: Slot, value: JsonValue) -> JsonValue:
    """A value as its slot wants it; what a command line gives as text is read as what it is. Raises InvalidInput `slot_invalid`."""
    if value is None:
        if slot.required:
            raise _wrong(name, "must be given")
        return None
    read = _read(name, slot.kind, value)
    if slot.choices and str(read) not in slot.choices:
        raise _wrong(name, f"is one of {', '.join(slot.choices)}")
    if isinstance(read, int | float) and not isinstance(read, bool):
        if slot.least is not None and read < slot.least:
            raise _wrong(name, f"is at least {slot.least:g}")
        if slot.most is not None and read > slot.most:
            raise _wrong(name, f"is at most {slot.most:g}")
    return read


def _read(name: str, kind: str, value: JsonValue) -> JsonValue:
    if kind == "text" and isinstance(value, str | int | float) and not isinstance(value, bool) and len(str(value)) <= TEXT_MAX:
        return str(value)
    if kind == "flag" and (isinstance(value, bool) or value in ("true", "false")):
        return value in (True, "true")
    if kind in {"int", "float"} and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            raise _wrong(name, f"is a number, not '{str(value)[:40]}'") from None
        if kind == "float" and abs(number) < float("inf"):
            return number
        if abs(number) < 2**53 and number == int(number):
            return int(number)
    raise _wrong(name, {"int": "is a whole number", "float": "is a number", "flag": "is true or false"}.get(kind, "is a text"))


def put(value: JsonValue, known: Mapping[str, JsonValue]) -> JsonValue:
    """A value with its holes filled: one that is a hole only becomes the slot's value itself, number or text."""
    if isinstance(value, str):
        whole = HOLE.fullmatch(value)
        if whole and whole.group(1) in known:
            return known[whole.group(1)]
        return HOLE.sub(lambda hole: str(known.get(hole.group(1), hole.group())), value)
    if isinstance(value, list):
        return [put(each, known) for each in value]
    if isinstance(value, dict):
        return {name: put(each, known) for name, each in value.items()}
    return value


def _wrong(name: str, reason: str) -> InvalidInput:
    return InvalidInput(
        f"The slot '{name}' {reason}.", code="slot_invalid", remedy="Correct it; 'lineshaft catalog show ID' tells its slots."
    )

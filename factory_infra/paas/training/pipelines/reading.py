"""A pipeline as a file: strict YAML, parameters filled in, and every fault told with file, line and remedy."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import yaml
from pydantic import JsonValue, TypeAdapter, ValidationError

from factory_infra.errors import InvalidInput
from factory_infra.paas.training.pipelines.spec import (
    FILES_CHARACTERS_MAX,
    PARAMETER,
    RESULT,
    Parameter,
    PipelineSpec,
    RunStep,
    Scalar,
    Step,
    fields_read,
    files_read,
    needs_of,
    outputs_of,
)
from factory_infra.strict_yaml import composed, line_in, load_strict

TEXT_MAX = 400_000
"""Characters of a file; most of it may be programs."""
TOKENS_MAX = 20_000
DEPTH_MAX = 40
"""Beside programs a file is small: what is large or deep costs more to read than its length says."""
DOCS = "docs/pipelines.md has every field"
HOLE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
TEXT = re.compile(r"[A-Za-z0-9 ._:/@+-]{0,200}")
"""What a parameter may say: a trigger from outside fills it in, and a program may read it."""
JsonObject = dict[str, JsonValue]
Path = tuple[int | str, ...]
_KINDS = {"run", "data", "validate", "features", "train", "evaluate", "register", "gate", "deploy", "tool"}
_STAND_INS: dict[str, Scalar] = {"text": "0", "int": 1, "number": 1.0, "flag": True}
"""What a parameter without a default is while nothing runs yet."""


@dataclass(frozen=True)
class Source:
    """A document as it was read, with the text that its places are found in."""

    document: JsonObject
    text: str
    file: str

    def line(self, path: Path) -> int:
        """The line, from 1, of the deepest part of a place that the text has."""
        return line_of(self.text, path)

    def fault(self, path: Path, reason: str, code: str = "pipeline_invalid", remedy: str = "") -> InvalidInput:
        """Say what is wrong there."""
        return InvalidInput(f"{self.file}, line {self.line(path)}: {reason}.", remedy=remedy or f"Mend it; {DOCS}.", code=code)

    def lines(self) -> dict[str, int]:
        """Where each step stands."""
        steps = self.document.get("steps")
        top = composed(self.text)
        named = enumerate(steps) if isinstance(steps, list) else ()
        return {str(each.get("id")): line_in(top, ("steps", number)) for number, each in named if isinstance(each, dict)}


@dataclass(frozen=True)
class Definition:
    """A pipeline that can be run: its document, and the document with its parameters filled in."""

    source: Source
    spec: PipelineSpec


def read(text: str, file: str = "pipeline.yaml", texts: Mapping[str, str] | None = None) -> Definition:
    """Read a pipeline from its file, with the files that it names by `path`.

    Raises InvalidInput that names file, line and remedy: `pipeline_invalid`, `pipeline_cyclic`,
    `step_unknown`, `output_unknown`, `parameter_unknown`, `parameter_invalid`.
    """
    return define(attached(parsed(text, file), texts or {}), {}, stand_ins=True)


def parsed(text: str, file: str) -> Source:
    """The document of a text. Raises InvalidInput."""
    if len(text) > TEXT_MAX:
        raise InvalidInput(f"{file} has {len(text)} characters.", remedy=f"At most {TEXT_MAX} are taken.", code="pipeline_invalid")
    try:
        check_tokens(text, file)
        found = load_strict(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark is not None else file
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise InvalidInput(f"{where}: {problem}.", remedy=f"Mend it; {DOCS}.", code="pipeline_invalid") from error
    except RecursionError as error:
        raise InvalidInput(f"{file} is nested too deeply.", remedy=f"Mend it; {DOCS}.", code="pipeline_invalid") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{file}, line 1: it holds no pipeline.", remedy=DOCS.capitalize() + ".", code="pipeline_invalid")
    try:
        document = TypeAdapter(JsonObject).validate_python(found)
    except ValidationError as error:
        raise InvalidInput(
            f"{file}: a value is none that JSON has, such as a date.", remedy="Put it between quotation marks.", code="pipeline_invalid"
        ) from error
    return Source(document, text, file)


def check_tokens(text: str, file: str) -> None:
    """Raise InvalidInput for a text that is too large or too deep to be read, or whose values stand for others; YAMLError for no YAML."""
    loader = yaml.SafeLoader(text)
    try:
        count = 0
        while loader.check_token():
            token, count = loader.get_token(), count + 1  # type: ignore[no-untyped-call]  # its stubs say nothing of it
            against = ""
            if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
                against = f"'{token.value}' stands for something else: write each value out"
            elif loader.flow_level + len(loader.indents) > DEPTH_MAX:
                against = "it is nested too deeply"
            elif count > TOKENS_MAX:
                against = "it has too many values"
            if against:
                line = token.start_mark.line + 1
                raise InvalidInput(f"{file}, line {line}: {against}.", remedy=f"Mend it; {DOCS}.", code="pipeline_invalid")
    finally:
        loader.dispose()


def define(source: Source, given: Mapping[str, JsonValue], *, stand_ins: bool = False) -> Definition:
    """Fill parameters in and check all of it.

    Args:
        source: the document.
        given: values of parameters, by name.
        stand_ins: whether parameters without a default may be left open: nothing runs yet.
    """
    values = filled_parameters(source, given, stand_ins=stand_ins)
    document: JsonObject = {**source.document, "steps": kinds_named(source.document.get("steps"))}
    steps = _substituted(source, document["steps"], values, ("steps",))
    try:
        spec = PipelineSpec.model_validate({**document, "steps": steps, "parameters": parameters_of(source)})
    except ValidationError as error:
        errors = error.errors(include_url=False)
        first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])  # a slip of the pen explains the rest
        path = tuple(part for number, part in enumerate(first["loc"]) if not (number == 2 and part in _KINDS))
        at = ".".join(str(part) for part in path)
        reason = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise source.fault(path, f"at {at}: {reason}" if at else reason) from error
    check(source, spec)
    return Definition(source, spec)


def attached(source: Source, texts: Mapping[str, str]) -> Source:
    """Put the text of each program that is named by its path, `{path: P}`, in its place. Raises InvalidInput `file_missing`."""
    steps = source.document.get("steps")
    if not isinstance(steps, list):
        return source
    made: list[JsonValue] = []
    for number, step in enumerate(steps):
        files = step.get("files") if isinstance(step, dict) else None
        if not isinstance(step, dict) or not isinstance(files, dict):
            made.append(step)
            continue
        read_in: JsonObject = {}
        for name, value in files.items():
            if isinstance(value, dict) and set(value) == {"path"}:
                if str(value["path"]) not in texts:
                    where: Path = ("steps", number, "files", name)
                    raise source.fault(where, f"file {str(value['path'])[:100]} was not sent along", "file_missing", "Send its text too.")
                read_in[name] = texts[str(value["path"])]
            else:
                read_in[name] = value
        made.append({**step, "files": read_in})
    return Source({**source.document, "steps": made}, source.text, source.file)


def kinds_named(steps: JsonValue) -> JsonValue:
    """A step that names no kind runs a program."""
    if not isinstance(steps, list):
        return steps
    return [{"kind": "run", **each} if isinstance(each, dict) else each for each in steps]


def parameters_of(source: Source) -> dict[str, Parameter]:
    """What may be given: a plain value is a default, and says the type. Raises InvalidInput."""
    declared = source.document.get("parameters") or {}
    if not isinstance(declared, dict):
        raise source.fault(("parameters",), "parameters are names with their defaults")
    return {name: _parameter(source, name, value) for name, value in declared.items()}


def _parameter(source: Source, name: str, value: JsonValue) -> Parameter:
    path: Path = ("parameters", name)
    if not PARAMETER.fullmatch(name):
        raise source.fault(path, f"a parameter cannot be called {name[:40]!r}", "parameter_invalid", "Use small letters, digits and '_'.")
    try:
        made = Parameter.model_validate(value if isinstance(value, dict) else {"type": _type_of(value), "default": value})
    except ValidationError as error:
        raise source.fault(path, f"parameter '{name}' cannot be so", "parameter_invalid") from error
    if made.default is not None:
        _value(source, name, made, made.default)
    return made


def _type_of(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "flag"
    return "int" if isinstance(value, int) else "number" if isinstance(value, float) else "text"


def filled_parameters(source: Source, given: Mapping[str, JsonValue], *, stand_ins: bool) -> dict[str, Scalar]:
    """Each parameter's value. Raises InvalidInput `parameter_unknown`, `parameter_invalid`, `parameter_missing`."""
    declared = parameters_of(source)
    for name in given:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise source.fault(("parameters",), f"there is no parameter '{name[:40]}'", "parameter_unknown", f"It has: {known}.")
    values: dict[str, Scalar] = {}
    for name, parameter in declared.items():
        if name in given:
            values[name] = _value(source, name, parameter, given[name])
        elif parameter.default is not None:
            values[name] = parameter.default
        elif stand_ins:
            values[name] = _STAND_INS[parameter.type]
        else:
            raise source.fault(("parameters", name), f"parameter '{name}' has no value", "parameter_missing", f"Give it: --set {name}=….")
    return values


def _value(source: Source, name: str, parameter: Parameter, value: JsonValue) -> Scalar:
    fits = {"text": isinstance(value, str), "flag": isinstance(value, bool)}
    plain = isinstance(value, int) and not isinstance(value, bool)
    fits |= {"int": plain, "number": plain or isinstance(value, float)}
    good = fits[parameter.type] and (not isinstance(value, str) or TEXT.fullmatch(value) is not None)
    if parameter.one_of and value not in parameter.one_of:
        good = False
    if not good or not isinstance(value, str | int | float | bool):
        wanted = "at most 200 letters, digits, blanks and ._:/@+-" if parameter.type == "text" else f"of type {parameter.type}"
        wanted = f"one of {', '.join(map(str, parameter.one_of))}" if parameter.one_of else wanted
        raise source.fault(("parameters", name), f"parameter '{name}' must be {wanted}", "parameter_invalid", "Give another value.")
    return value


def _substituted(source: Source, value: JsonValue, values: Mapping[str, Scalar], path: Path) -> JsonValue:
    """Fill parameters into every text but programs; a text that is one hole becomes the value itself."""
    if isinstance(value, dict):
        return {name: each if name == "files" else _substituted(source, each, values, (*path, name)) for name, each in value.items()}
    if isinstance(value, list):
        return [_substituted(source, each, values, (*path, number)) for number, each in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    whole = HOLE.fullmatch(value)
    if whole is not None and whole[1] is not None:
        return _hole(source, whole[1], values, path)
    return HOLE.sub(lambda found: "${" if found[1] is None else _shown(_hole(source, found[1], values, path)), value)


def _shown(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _hole(source: Source, name: str, values: Mapping[str, Scalar], path: Path) -> Scalar:
    if name not in values:
        remedy = f"Declare it under 'parameters', or write $${{{name[:40]}}} where the text itself is meant."
        raise source.fault(path, f"there is no parameter '{name[:40]}'", "parameter_unknown", remedy)
    return values[name]


def check(source: Source, spec: PipelineSpec) -> None:
    """Raise InvalidInput for steps that cannot be together."""
    known: dict[str, Step] = {}
    for number, step in enumerate(spec.steps):
        if step.id in known:
            raise source.fault(("steps", number, "id"), f"two steps are called '{step.id}'", remedy="Name one of them otherwise.")
        known[step.id] = step
    for number, step in enumerate(spec.steps):
        _check_references(source, number, step, known)
    _check_cycle(source, spec)
    if sum(len(text) for step in spec.steps if isinstance(step, RunStep) for text in step.files.values()) > FILES_CHARACTERS_MAX:
        raise source.fault(("steps",), f"its programs have more than {FILES_CHARACTERS_MAX} characters")


def _check_references(source: Source, number: int, step: Step, known: Mapping[str, Step]) -> None:
    path: Path = ("steps", number)
    names = ", ".join(known)
    for place, name in enumerate(step.after):
        if name not in known:
            raise source.fault(
                (*path, "after", place), f"step '{step.id}' comes after '{name}', and there is no such step", *_no_step(names)
            )
    for at, wanted in files_read(step).items():
        other, _, file = wanted.partition("/")
        place_of = (*path, *at.split(".", 1))
        if other not in known:
            raise source.fault(place_of, f"step '{step.id}' reads from '{other}', and there is no such step", *_no_step(names))
        if file not in (*outputs_of(known[other]), RESULT):
            left = ", ".join((*outputs_of(known[other]), RESULT))
            raise source.fault(place_of, f"step '{other}' leaves no {file}", "output_unknown", f"It leaves: {left}.")
    for at, ref in fields_read(step):
        place_of = (*path, *at.split(".", 1))
        if ref.step not in known:
            raise source.fault(place_of, f"step '{step.id}' refers to '{ref.step}', and there is no such step", *_no_step(names))
        if ref.file not in (*outputs_of(known[ref.step]), RESULT):
            left = ", ".join((*outputs_of(known[ref.step]), RESULT))
            raise source.fault(place_of, f"step '{ref.step}' leaves no {ref.file}", "output_unknown", f"It leaves: {left}.")
    if isinstance(step, RunStep):
        _check_files(source, path, step)


def _no_step(names: str) -> tuple[str, str]:
    return "step_unknown", f"Steps: {names}."


def _check_files(source: Source, path: Path, step: RunStep) -> None:
    """No name may mean two files, nor one that the runner keeps for itself."""
    taken = [*step.files, *step.inputs]
    for name in [*taken, *step.outputs]:
        if taken.count(name) + step.outputs.count(name) > 1 and name not in step.files:
            raise source.fault((*path, "inputs"), f"step '{step.id}' has two files called {name}", remedy="Name one of them otherwise.")
        if name in OWN_NAMES:
            raise source.fault(path, f"step '{step.id}' has a file called {name}, which the runner keeps for itself")


OWN_NAMES = frozenset(
    {"spec.json", "run.json", "exit.json", "exit.reserve", "log.txt", "lock", "submit.lock", "cancel", "progress.jsonl", "tmp"}
    | {"attempts.json", "walls.json", "groups.json", "counts.json", "tasks", "nodes", "checkpoint"}
)


def _check_cycle(source: Source, spec: PipelineSpec) -> None:
    try:
        TopologicalSorter({step.id: needs_of(step) for step in spec.steps}).prepare()
    except CycleError as error:
        ring = [str(name) for name in reversed(error.args[1])]
        places = {step.id: number for number, step in enumerate(spec.steps)}
        first = min(ring[:-1], key=lambda name: places[name])
        turned = ring[:-1][ring.index(first) :] + ring[: ring.index(first)] + [first]
        stands = source.lines()
        lines = ", ".join(f"{name} in line {stands.get(name, 1)}" for name in turned[:-1])
        raise source.fault(
            ("steps", places[first]),
            f"the steps wait for each other: {' needs '.join(turned)} ({lines})",
            "pipeline_cyclic",
            "Take one 'after', input or reference of them out.",
        ) from error


def line_of(text: str, path: Path) -> int:
    """The line, from 1, of the deepest part of a place that the text has."""
    return line_in(composed(text), path)

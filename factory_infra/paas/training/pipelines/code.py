"""Pipelines as code: steps are added by calls and by a decorator, and come to the same file that a person could write."""

import ast
import inspect
import textwrap
import tokenize
from collections.abc import Callable, Mapping
from typing import TypeVar

import yaml
from pydantic import JsonValue

from factory_infra.errors import InvalidInput
from factory_infra.paas.training.pipelines.reading import Definition, read
from factory_infra.paas.training.pipelines.spec import RESULT, Scalar

F = TypeVar("F", bound=Callable[..., object])
PRELUDE = "import json\nfrom pathlib import Path\n\n"


class _Dumper(yaml.SafeDumper):
    """Writes every value out, and programs as blocks of lines."""

    def ignore_aliases(self, data: object) -> bool:
        """A pipeline's file has none."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


class StepHandle:
    """A step that was added: what later steps refer to."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, file: str) -> str:
        """A file that it leaves, as an input of another step."""
        return f"{self.name}/{file}"

    def field(self, name: str, file: str = RESULT) -> dict[str, JsonValue]:
        """A field of what it finds out, as a value of another step."""
        return {"from": self.name, "field": name, **({"file": file} if file != RESULT else {})}


class Pipeline:
    """A pipeline that is built up. Nothing runs here: `definition` checks it, `to_yaml` writes it.

    ```python
    pipeline = Pipeline("flowers", parameters={"least": 0.9})
    data = pipeline.add("data", "data", dataset="flowers")


    @pipeline.step(inputs={"rows.csv": data["rows.csv"]}, outputs=["clean.csv"])
    def clean(rows_csv: Path, clean_csv: Path) -> None:
        clean_csv.write_text(rows_csv.read_text())
    ```
    """

    def __init__(self, name: str, *, parameters: Mapping[str, Scalar] | None = None, **fields: JsonValue) -> None:
        self.name = name
        self._head: dict[str, JsonValue] = {"pipeline": name, **fields}
        if parameters:
            self._head["parameters"] = {**parameters}
        self._steps: list[JsonValue] = []

    def add(self, name: str, kind: str = "run", **fields: JsonValue) -> StepHandle:
        """Add a step with its fields, as docs/pipelines.md has them."""
        self._steps.append({"id": name, "kind": kind, **fields})
        return StepHandle(name)

    def step(
        self,
        *,
        inputs: Mapping[str, str] | None = None,
        outputs: tuple[str, ...] | list[str] = (),
        python: str = "python3",
        **fields: JsonValue,
    ) -> Callable[[F], StepHandle]:
        """Make a step of a function: its source becomes a program of its own, so it may use only what it imports itself.

        Its arguments are the paths of inputs and outputs, called like the files with '_' for whatever a name cannot have; those with a
        default are parameters of the pipeline. What it returns, a dictionary, becomes the step's result. Raises InvalidInput.
        """

        def made(function: F) -> StepHandle:
            name = function.__name__.replace("_", "-")
            program = program_of(function, dict(inputs or {}), list(outputs))
            files: dict[str, JsonValue] = {f"{name}.py": program}
            given = [f"{each}=${{{each}}}" for each in options_of(function)]
            argv: list[JsonValue] = [python, f"{name}.py", *given]
            read_in: dict[str, JsonValue] = {**(inputs or {})}
            found = {"argv": argv, "files": files, "inputs": read_in, "outputs": [*outputs], **fields}
            return self.add(name, "run", **{key: value for key, value in found.items() if value not in ({}, [])})

        return made

    def document(self) -> dict[str, JsonValue]:
        """The pipeline as plain values."""
        return {**self._head, "steps": list(self._steps)}

    def to_yaml(self) -> str:
        """The pipeline as a file."""
        return yaml.dump(self.document(), Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)

    def definition(self) -> Definition:
        """The pipeline as it would be kept. Raises InvalidInput that names line and remedy."""
        return read(self.to_yaml(), f"{self.name}.yaml")


def argument(file: str) -> str:
    """What a function calls a file."""
    return "".join(each if each.isalnum() else "_" for each in file)


def options_of(function: Callable[..., object]) -> list[str]:
    """The arguments of a function that are parameters of the pipeline: those with a default."""
    return [each.name for each in inspect.signature(function).parameters.values() if each.default is not inspect.Parameter.empty]


def program_of(function: Callable[..., object], inputs: Mapping[str, str], outputs: list[str]) -> str:
    """The source of a function as a program. Raises InvalidInput where it has none, or an argument that nothing fills."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, tokenize.TokenError) as error:
        raise InvalidInput(f"The source of step {function.__name__} cannot be read.", remedy="Define it in a file.") from error
    defined = tree.body[0]
    if not isinstance(defined, ast.FunctionDef):
        raise InvalidInput(f"Step {function.__name__} is no plain function.", remedy="Write 'def'.")
    defined.decorator_list = []
    options = options_of(function)
    files = {argument(file): file for file in (*inputs, *outputs)}
    unfilled = [name for name in inspect.signature(function).parameters if name not in files and name not in options]
    if unfilled:
        raise InvalidInput(
            f"Argument '{unfilled[0]}' of step {function.__name__} is no file of it.",
            remedy=f"Its files are: {', '.join(files) or 'none'}; a parameter of the pipeline needs a default.",
        )
    wanted = [name for name in inspect.signature(function).parameters if name in files]
    given = ", ".join([*(f"{name}=Path({files[name]!r})" for name in wanted), "**given"])
    types = {name: type(inspect.signature(function).parameters[name].default).__name__ for name in options}
    lines = [
        "import sys",
        f"types = {types!r}",
        "said = dict(each.split('=', 1) for each in sys.argv[1:])",
        "readers = {'int': int, 'float': float, 'bool': lambda text: text == 'true'}",
        "given = {name: readers.get(types[name], str)(text) for name, text in said.items()}",
        f"found = {function.__name__}({given})",
        "if isinstance(found, dict):",
        f"    Path({RESULT!r}).write_text(json.dumps(found))",
    ]
    return PRELUDE + ast.unparse(defined) + "\n\n\n" + "\n".join(lines) + "\n"

"""A pipeline's file as it is sent: YAML with the programs that it names, or Python that builds one."""

import runpy
from pathlib import Path

import yaml

from cli.listing import JsonObject
from factory_infra.errors import InvalidInput
from factory_infra.paas.training.pipelines.code import Pipeline


def sent_file(path: Path) -> JsonObject:
    """What the API takes. Raises InvalidInput."""
    try:
        if path.suffix == ".py":
            return {"text": built(path).to_yaml(), "file": path.name}
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {str(error)[:200]}.", remedy="Give a file of YAML or Python.") from error
    return {"text": text, "file": path.name, "files": {**programs(text, path)}}


def built(path: Path) -> Pipeline:
    """The one pipeline that a Python file builds; the file is run here, as your own. Raises InvalidInput."""
    found = [each for each in runpy.run_path(str(path)).values() if isinstance(each, Pipeline)]
    if len(found) != 1:
        raise InvalidInput(f"{path} builds {len(found)} pipelines.", remedy="Have exactly one at the top level of the file.")
    return found[0]


def programs(text: str, path: Path) -> dict[str, str]:
    """The texts of programs that are named by `{path: P}`, beside the pipeline's file or below. Raises InvalidInput."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}  # the API says what is wrong, with the line
    steps = document.get("steps") if isinstance(document, dict) else None
    read: dict[str, str] = {}
    for step in steps if isinstance(steps, list) else []:
        files = step.get("files") if isinstance(step, dict) else None
        for each in files.values() if isinstance(files, dict) else ():
            if isinstance(each, dict) and isinstance(name := each.get("path"), str):
                read[name] = beside(path, name)
    return read


def beside(path: Path, name: str) -> str:
    """A text file in the folder of the pipeline's file. Raises InvalidInput for one outside."""
    folder = path.resolve().parent
    file = (folder / name).resolve()
    if not file.is_relative_to(folder):
        raise InvalidInput(f"{path.name}: {name} lies outside of its folder.", remedy="Put the program beside the pipeline's file.")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path.name}: {name} cannot be read: {str(error)[:200]}.", remedy="Put the program there, in UTF-8.") from error

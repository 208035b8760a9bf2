"""What an agent is: a file of the roster, front matter and prompt."""

import re
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from factory_infra.errors import InvalidInput
from tools.toolbox import TOOLS

ROSTER = Path(__file__).with_name("roster")
FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n(.*)\Z", re.DOTALL)


class AgentSpec(BaseModel):
    """One agent: who it is, when it is asked, and the only tools that it may use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    when: str
    model: str = "default"
    tools: tuple[str, ...]
    prompt: str


def load_agent(path: Path) -> AgentSpec:
    """Read one file of the roster. Raises InvalidInput that names the file, and the field or the tool that is unknown."""
    match = FRONT_MATTER.match(path.read_text())
    if match is None:
        raise InvalidInput(f"{path.name} has no front matter.", remedy="Begin it with '---', fields, '---'.")
    try:
        spec = AgentSpec.model_validate({**yaml.safe_load(match[1]), "prompt": match[2].strip()})
    except (yaml.YAMLError, ValidationError, TypeError) as error:
        raise InvalidInput(f"{path.name}: {error}", remedy="Compare it with another file of the roster.") from error
    unknown = sorted(set(spec.tools) - set(TOOLS))
    if unknown or spec.name != path.stem:
        raise InvalidInput(
            f"{path.name}: unknown tools {unknown} or a name that is not the file's.", remedy=f"Tools: {', '.join(sorted(TOOLS))}."
        )
    return spec


def load_roster(folder: Path = ROSTER) -> dict[str, AgentSpec]:
    """Read every agent of a folder, by name: a new agent is one new file."""
    return {path.stem: load_agent(path) for path in sorted(folder.glob("*.md"))}

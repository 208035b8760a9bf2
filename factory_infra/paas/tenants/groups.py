"""The file that says which groups of the provider of identities have which roles here; what is not in it gives nothing."""

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from factory_infra.errors import InvalidInput
from factory_infra.paas.tenants.structure import Name, NewMember, Place
from factory_infra.strict_yaml import load_strict

BYTES_MAX = 1_000_000


class GroupRole(Place):
    """What the people of a group are in one place."""

    group: str = Field(min_length=1, max_length=300, description="As the provider names it, letter by letter.")
    role: Name = "user"

    @model_validator(mode="after")
    def _somewhere(self) -> "GroupRole":
        if (self.organisation is None) == (self.tenant is None):
            raise ValueError("name an organisation or a tenant, and not both")
        if self.project and self.tenant is None:
            raise ValueError("a project asks for its tenant")
        return self


class Groups(BaseModel):
    """All of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    groups: tuple[GroupRole, ...] = ()

    def members(self, subject: str, title: str, groups: list[str]) -> list[NewMember]:
        """What a person of some groups is here."""
        held = set(groups)
        given = {(each.organisation, each.tenant, each.project): each for each in self.groups if each.group in held}
        return [
            NewMember(subject=subject, title=title, **each.model_dump(include={"organisation", "tenant", "project", "role"}))
            for each in given.values()
        ]


def load_groups(path: Path) -> Groups:
    """Return what a file says now; without the file no group gives anything. Raises InvalidInput naming the file and what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Groups()
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path, "it cannot be read") from error
    if len(text) > BYTES_MAX:
        raise _broken(path, f"it is larger than {BYTES_MAX} bytes")
    try:
        return Groups.model_validate(load_strict(text) or {})
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _broken(path, f"line {line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise _broken(path, "it is not YAML") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise _broken(path, f"{'.'.join(str(part) for part in first['loc']) or 'groups'}: {first['msg']}") from error


def _broken(path: Path, wrong: str) -> InvalidInput:
    remedy = "Correct the file; docs/tenants.md shows its form. Until then nobody signs in."
    return InvalidInput(f"The groups in {path.name} cannot be used: {wrong}.", remedy=remedy, code="groups_invalid")

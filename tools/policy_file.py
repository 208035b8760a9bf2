"""Reads the policy file of an installation; what cannot be read is an error, never another policy."""

import json
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import ValidationError

from factory_infra.errors import LineshaftError
from factory_infra.settings import Settings
from factory_infra.strict_yaml import load_strict
from tools.policy_models import Policy

SHIPPED = Path(__file__).with_name("policy.yaml")
BYTES_MAX = 1_000_000


class PolicyBroken(LineshaftError):
    """The policy cannot be read: nothing is judged, so nothing with an effect begins, until a person mends the file."""

    code = "policy_invalid"


def policy_path(settings: Settings) -> Path:
    """The file that counts: the one that is set, else the home's if it is there, else the one that ships."""
    if settings.policy is not None:
        return settings.policy
    own = settings.home / "policy.yaml"
    return own if own.is_symlink() or own.exists() else SHIPPED


def source_of(settings: Settings) -> str:
    """Which of the three files counts, in words that tell nothing of this machine."""
    path = policy_path(settings)
    return "shipped" if path == SHIPPED else "LINESHAFT_POLICY" if path == settings.policy else "home"


def load_policy(settings: Settings) -> Policy:
    """Return the installation's policy as its file says now; an edit counts at once. Raises PolicyBroken."""
    try:
        path = policy_path(settings)
    except OSError as error:
        raise _broken(settings.home / "policy.yaml", "", error.strerror or "it cannot be looked at") from error
    return read_policy(path)


def read_policy(path: Path) -> Policy:
    """Return the policy in a file, read again only when the file has changed. Raises PolicyBroken."""
    try:
        state = path.stat()
    except OSError as error:
        raise _broken(path, "", error.strerror or "it cannot be looked at") from error
    return _read(path, (state.st_ino, state.st_mtime_ns, state.st_ctime_ns, state.st_size))


@lru_cache(maxsize=64)
def _read(path: Path, state: tuple[int, ...]) -> Policy:
    if state[-1] > BYTES_MAX:
        raise _broken(path, "", f"it is larger than {BYTES_MAX} bytes")
    try:
        return parse_policy(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path, "", str(error)) from error


def parse_policy(text: str, path: Path) -> Policy:
    """Return the policy that a text says. Raises PolicyBroken that names the file, the place in it and what to do."""
    try:
        document = load_strict(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _broken(path, "", f"it is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise _broken(path, "", "it holds no policy: a mapping with 'version' and 'defaults' is needed")
    try:
        return Policy.model_validate_json(json.dumps(document, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _broken(path, place, first["msg"].removeprefix("Value error, ")) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise _broken(path, "", str(error)) from error


def _broken(path: Path, place: str, why: str) -> PolicyBroken:
    where = f", at {place}" if place else ""
    return PolicyBroken(
        f"The policy {path}{where}: {why.rstrip('.')}.",
        remedy=f"Mend it and try it with 'lineshaft policy check {path.name}'; until then nothing with an effect is judged.",
    )

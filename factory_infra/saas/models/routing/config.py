"""The gateway's file: backends, and the virtual models that lead to them. What cannot be read is an error, never another setup."""

import hashlib
import json
import time
from pathlib import Path
from typing import Annotated, Literal, Self

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.backends.spec import NAME_PATTERN, BackendSpec, named
from factory_infra.saas.models.routing.default_setup import default_document
from factory_infra.settings import Settings
from factory_infra.strict_yaml import load_strict

FILE = "gateway.yaml"
BYTES_MAX = 1_000_000
ATTEMPTS_LEAST = 2

Named = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Public = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
Choose = Literal["ordered", "weighted", "latency", "cost"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Target(_Strict):
    """One place where a virtual model is answered."""

    backend: Named
    model: str = Field(min_length=1, max_length=256, description="The upstream's own name.")
    weight: float = Field(default=1.0, gt=0, le=1_000_000)
    price_as: str | None = Field(default=None, min_length=1, max_length=128, description="The price book's subject; the model without it.")

    @property
    def subject(self) -> str:
        """What it is priced and charged as."""
        return self.price_as or self.model[:128]


class Retries(_Strict):
    """How often a call is tried, and when again."""

    attempts_max: int | None = Field(default=None, ge=1, le=16, description="In all; without it one for each target, and at least two.")
    budget_ratio: float = Field(
        default=0.1, ge=0, le=1, description="Repeats at a target that failed the call already, as a share of calls."
    )
    backoff_seconds: float = Field(
        default=0.2, gt=0, le=30, description="The first wait is at most this, each further one at most twice as long."
    )


class Breaking(_Strict):
    """When a target is left alone."""

    window_seconds: float = Field(default=30.0, gt=0, le=3600)
    calls_min: int = Field(default=10, ge=1, le=100_000, description="Fewer calls in the window say nothing.")
    failure_share: float = Field(default=0.5, gt=0, le=1)
    open_seconds: float = Field(default=10.0, gt=0, le=3600, description="How long it is left alone before one call tries it.")


class VirtualModel(_Strict):
    """What clients call by name, and where it leads."""

    route: Annotated[list[Target], Field(min_length=1, max_length=32)]
    choose: Choose = "ordered"
    retries: Retries = Retries()
    breaker: Breaking = Breaking()
    deadline_seconds: float = Field(default=120.0, gt=0, le=3600)
    hedge_after_seconds: float | None = Field(default=None, gt=0, le=600)
    sticky: bool = False
    cache_seconds: float = Field(default=0.0, ge=0, le=604_800)
    tenants: list[str] | None = Field(default=None, description="Who may see it; null for all.")

    @property
    def attempts_max(self) -> int:
        """How often a call is tried in all."""
        return self.retries.attempts_max or max(ATTEMPTS_LEAST, len(self.route))


class CacheBounds(_Strict):
    """How much of the process's memory cached answers may take."""

    bytes_max: int = Field(default=64 * 1024 * 1024, ge=0, le=2**40)
    tenant_share: float = Field(default=0.5, gt=0, le=1, description="What one team's answers may take of it.")


class Setup(_Strict):
    """The whole file."""

    backends: dict[Named, BackendSpec]
    models: dict[Public, VirtualModel]
    cache: CacheBounds = CacheBounds()

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> Self:
        for name, model in self.models.items():
            for number, target in enumerate(model.route):
                if target.backend not in self.backends:
                    known = ", ".join(sorted(self.backends)) or "none"
                    raise ValueError(f"models.{name}.route.{number}.backend: there is no backend '{target.backend}', only {known}")
            pairs = [(target.backend, target.model) for target in model.route]
            if len(set(pairs)) < len(pairs):
                raise ValueError(f"models.{name}.route: the same backend and model stands in it twice")
        return self

    @classmethod
    def load(cls, settings: Settings) -> "Setup":
        """Read the file that counts: the one that is set, else the home's, else what the settings say of the model.

        Raises InvalidInput `gateway_invalid` that names the file and the field.
        """
        path = path_of(settings)
        if path is None:
            return _validated(default_document(settings), "the settings")
        return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> "Setup":
        """Read one file. Raises InvalidInput `gateway_invalid`."""
        try:
            if path.stat().st_size > BYTES_MAX:
                raise _broken(str(path), "", f"it is larger than {BYTES_MAX} bytes")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _broken(str(path), "", str(getattr(error, "strerror", None) or error)) from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, source: str) -> "Setup":
        """Read a text. Raises InvalidInput `gateway_invalid`."""
        try:
            document = load_strict(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise _broken(source, "", f"it is not YAML: {' '.join(str(error).split())}") from error
        return _validated(document, source)

    def version_of(self, model: str) -> str:
        """A digest of all that decides what a virtual model answers: its targets, and the backends that they name."""
        targets = [
            [target.model_dump(mode="json"), self.backends[target.backend].model_dump(mode="json")] for target in self.models[model].route
        ]
        return hashlib.sha256(orjson.dumps(targets, option=orjson.OPT_SORT_KEYS)).hexdigest()


def path_of(settings: Settings) -> Path | None:
    """The file that counts; None where there is none. One that is set counts whether it is there or not."""
    if settings.gateway is not None:
        return settings.gateway
    own = settings.home / FILE
    return own if own.is_symlink() or own.exists() else None


def written_at(settings: Settings) -> float:
    """When what the models are read from was last changed, in seconds since 1970, or now where there is no file."""
    path = path_of(settings)
    try:
        return time.time() if path is None else path.stat().st_mtime
    except OSError:
        return time.time()


def _validated(document: object, source: str) -> Setup:
    if not isinstance(document, dict):
        raise _broken(source, "", "it holds no setup: a mapping with 'backends' and 'models' is needed")
    try:
        setup = Setup.model_validate_json(json.dumps(document, default=str))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _broken(source, place, first["msg"].removeprefix("Value error, ")) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise _broken(source, "", str(error)) from error
    return setup.model_copy(update={"backends": {name: named(spec, name) for name, spec in setup.backends.items()}})


def _broken(source: str, place: str, why: str) -> InvalidInput:
    where = f", at {place}" if place else ""
    return InvalidInput(
        f"The gateway's file {source}{where}: {why.rstrip('.')}.",
        remedy="Mend it; docs/gateway.md has every field.",
        code="gateway_invalid",
    )

"""The declared baseline of a pool: which software its nodes should have, and how fast they should be."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from factory_infra.errors import InvalidInput, StorageFull
from factory_infra.foundation.validation.models import ComponentName, Drift, Severity, Stack

Version = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+:~_-]{0,63}$")]
NUMBER = re.compile(r"\d+")
REMEDIES: dict[str, str] = {
    "kernel": "Boot the kernel that the pool's image has, or rebuild the image.",
    "driver": "Install the driver of the baseline and restart the node: drain it first.",
    "cuda": "Use an image with the CUDA of the baseline; the driver says which it can run.",
    "nccl": "Install the NCCL of the baseline on every node: a job over several nodes needs one version.",
    "cudnn": "Use an image with the cuDNN of the baseline.",
    "efa": "Run the EFA installer of the baseline on the node and restart it.",
    "libfabric": "It comes with the EFA installer: run that of the baseline.",
    "neuron_driver": "Install aws-neuronx-dkms of the baseline and restart the node.",
    "neuron_runtime": "Install aws-neuronx-runtime-lib of the baseline.",
    "containerd": "Upgrade containerd by the node's packages, node by node.",
    "docker": "Upgrade Docker by the node's packages, node by node.",
    "nvidia_container_toolkit": "Install nvidia-container-toolkit of the baseline and restart the container runtime.",
    "python": "Point the pool at the interpreter of the baseline.",
    "pytorch": "Install the PyTorch of the baseline into the environment that jobs use.",
}


class Expectation(BaseModel):
    """What version one component should have. A bound includes itself; `absent` says that it must not be there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exact: Version | None = None
    minimum: Version | None = Field(default=None, alias="min")
    maximum: Version | None = Field(default=None, alias="max", description="What begins with it is within: 12.4 allows 12.4.1.")
    absent: bool = False
    optional: bool = Field(default=False, description="A node may lack it; where it is there, its version must fit.")
    severity: Severity = "error"

    @model_validator(mode="after")
    def _says_one_thing(self) -> "Expectation":
        if sum((self.exact is not None, self.minimum is not None or self.maximum is not None, self.absent)) != 1:
            raise ValueError("say one of: exact; min, max or both; absent")
        if self.minimum and self.maximum and parts(self.minimum) > parts(self.maximum):
            raise ValueError(f"min {self.minimum} is above max {self.maximum}")
        return self

    @property
    def words(self) -> str:
        """What is wanted, in words."""
        if self.absent:
            return "absent"
        if self.exact is not None:
            return self.exact
        bounds = [f"at least {self.minimum}"] if self.minimum else []
        return " and ".join([*bounds, *([f"at most {self.maximum}"] if self.maximum else [])])

    def fits(self, version: str) -> bool:
        """Whether a version is what is wanted."""
        if self.absent:
            return False
        if self.exact is not None:
            return version == self.exact
        found = parts(version)
        if self.minimum is not None and found < parts(self.minimum):
            return False
        return self.maximum is None or found[: len(parts(self.maximum))] <= parts(self.maximum)


class BurnInBaseline(BaseModel):
    """From when on a node counts as too slow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(default=0.9, gt=0, le=1, description="Of the median of the nodes of its type: below it a node is unfit.")
    shares: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default={}, description="Another share for a figure, such as disk_write."
    )
    floors: dict[str, float] = Field(default={}, description="Figures that a node must reach, however fast others are: matmul/float16.")
    nodes_min: int = Field(default=4, ge=2, le=1000, description="Of one type, before they are compared.")
    deviations: float = Field(default=3.0, ge=0, le=100, description="So many usual deviations from the median are noise.")
    operators: tuple[str, ...] = Field(default=(), description="Teams whose burn-ins count for whether a node is handed out; all if empty.")

    def share_of(self, figure: str) -> float:
        """The share that holds for a figure: its own, else its benchmark's, else the one for all."""
        return self.shares.get(figure, self.shares.get(figure.partition("/")[0], self.share))


class Baseline(BaseModel):
    """The whole file of one pool."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    software: dict[ComponentName, Expectation] = {}
    burn_in: BurnInBaseline = BurnInBaseline()


def parts(version: str) -> tuple[int, ...]:
    """The numbers of a version in order: 550.54.15 → (550, 54, 15). What follows a '-' or '+' says how it was built, and is left out."""
    return tuple(int(number) for number in NUMBER.findall(re.split(r"[-+~]", version, maxsplit=1)[0]))


def baseline_file(home: Path, pool: str) -> Path:
    """Where the baseline of a pool lies."""
    return home / "baselines" / f"{pool}.yaml"


def load_baseline(file: Path) -> Baseline | None:
    """Read a baseline, None where there is none. Raises InvalidInput that names the file and the first field that is wrong."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(file, str(error)) from error
    try:
        return Baseline.model_validate(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        raise unreadable(file, f"it is no YAML ({str(error).splitlines()[0]})") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise unreadable(file, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


def unreadable(file: Path, why: str) -> InvalidInput:
    """A baseline that cannot be used."""
    return InvalidInput(
        f"The baseline {file.name} cannot be read: {why}.",
        remedy="Correct it, or write one anew with 'lineshaft validation baseline --from-node'.",
        code="baseline_invalid",
    )


def baseline_of(stack: Stack) -> Baseline:
    """A baseline that wants exactly what one node has, for what it has; the kernel's build may differ with a warning."""
    lenient: Mapping[str, Severity] = {"kernel": "warning", "python": "warning"}
    wanted = {
        each.name: Expectation(exact=each.version, severity=lenient.get(each.name, "error"))
        for each in stack.components
        if each.version is not None and re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z.+:~_-]{0,63}", each.version)
    }
    return Baseline(software=wanted)


def write_baseline(file: Path, baseline: Baseline) -> None:
    """Write a baseline as YAML. Raises StorageFull."""
    document = baseline.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    text = "# Which software the nodes of this pool should have: see docs/validation.md.\n" + yaml.safe_dump(document, sort_keys=False)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.new")
        draft.write_text(text, encoding="utf-8")
        draft.replace(file)
    except OSError as error:
        raise StorageFull(f"{file.name} cannot be written: {error.strerror}.", remedy="Free space, or choose another folder.") from error


def compare(stack: Stack, baseline: Baseline) -> list[Drift]:
    """Return what is not as the baseline wants it, the worst first."""
    found = [drift for name, wanted in baseline.software.items() if (drift := judge(name, wanted, stack.version(name))) is not None]
    order: tuple[Severity, ...] = ("error", "warning", "info")
    return sorted(found, key=lambda drift: order.index(drift.severity))


def judge(name: ComponentName, wanted: Expectation, found: str | None) -> Drift | None:
    """Weigh one component."""
    if found is None:
        if wanted.absent or wanted.optional:
            return None
        reason = f"{name} is absent; {wanted.words} is wanted."
    elif wanted.fits(found):
        return None
    elif wanted.absent:
        reason = f"{name} {found} is there and should not be."
    else:
        reason = f"{name} is {found}; {wanted.words} is wanted."
    remedy = f"Remove {name} from the node." if wanted.absent else REMEDIES[name]
    return Drift(component=name, severity=wanted.severity, wanted=wanted.words, found=found, reason=reason, remedy=remedy)

"""The training environments that ship: pinned requirements for programs that need more than the installation's own packages."""

import hashlib
import platform
import sys
from pathlib import Path

from pydantic import BaseModel

from factory_infra.errors import InvalidInput

FOLDER = Path(__file__).resolve().parent
DIGEST_CHARACTERS = 12


class Environment(BaseModel):
    """One environment. Its digest names what is in it: another requirement, Python or machine is another environment."""

    name: str
    description: str
    imports: list[str]
    """Modules that must load once it is installed."""

    @property
    def requirements(self) -> list[str]:
        """The pinned requirements, as pip reads them."""
        lines = (FOLDER / f"{self.name}.txt").read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.startswith("#")]

    @property
    def digest(self) -> str:
        """SHA-256 of the requirements, the interpreter's version and the machine, in part."""
        told = [*self.requirements, f"python {sys.version_info.major}.{sys.version_info.minor}", sys.platform, platform.machine()]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:DIGEST_CHARACTERS]

    @property
    def folder_name(self) -> str:
        """What its folder is called."""
        return f"{self.name}-{self.digest}"


ENVIRONMENTS = (
    Environment(name="torch", description="PyTorch: distributed training by DDP and FSDP.", imports=["torch"]),
    Environment(
        name="lora", description="PyTorch, transformers and peft: fine-tuning by adapters.", imports=["torch", "transformers", "peft"]
    ),
    Environment(name="ray", description="PyTorch and Ray Train.", imports=["torch", "ray.train"]),
)


def environment_named(name: str) -> Environment:
    """Return an environment by its name. Raises InvalidInput `environment_unknown`, which lists those that exist."""
    for environment in ENVIRONMENTS:
        if environment.name == name:
            return environment
    known = ", ".join(environment.name for environment in ENVIRONMENTS)
    raise InvalidInput(f"There is no training environment {name[:80]!r}.", remedy=f"Choose one of: {known}.", code="environment_unknown")

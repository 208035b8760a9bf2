"""The installation's pulled weights, as models that every team has."""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from factory_infra.errors import NotFound
from factory_infra.paas.registry.models import GGUF, ModelVersion

VERSION = 1
"""Of weights that are pinned: others of the same name would have another digest, and are refused."""


class Verified(BaseModel):
    """What a file looked like when its digest was last computed and found right; lies beside it as NAME.verified.json."""

    sha256: str
    size_bytes: int
    mtime_ns: int


class HouseWeights:
    """Looks into the folder that `lineshaft models pull` fills; a file that was not verified, or was changed since, is not there."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def version(self, tenant: str, name: str, version: int | None) -> ModelVersion | None:
        """The weights as a version of a team's model; None where there are none of this name and version."""
        path = self._path(name)
        if path is None or version not in {None, VERSION} or verified(path) is None:
            return None
        return ModelVersion(
            tenant=tenant,
            model_name=name,
            version=VERSION,
            run_id="",
            dataset="",
            dataset_digest="",
            algorithm=GGUF,
            metrics={},
            created_at=datetime.fromtimestamp(path.stat().st_mtime, UTC),
        )

    def path(self, version: ModelVersion) -> Path:
        """Where they lie. Raises NotFound `weights_missing`."""
        path = self._path(version.model_name)
        if path is None or verified(path) is None:
            raise NotFound(
                f"The weights of {version.model_name} are not here.",
                remedy=f"Run `lineshaft models pull {version.model_name}`.",
                code="weights_missing",
            )
        return path

    def _path(self, name: str) -> Path | None:
        # A name with a slash would lead out of the folder.
        return self._folder / f"{name}.gguf" if self._folder is not None and Path(name).name == name else None


def verified(path: Path) -> Verified | None:
    """What is known of a file that is the one that was verified; None for any other."""
    try:
        stat = path.stat()
        found = Verified.model_validate_json(path.with_name(f"{path.name}.verified.json").read_bytes())
    except (OSError, ValidationError):
        return None
    return found if (found.size_bytes, found.mtime_ns) == (stat.st_size, stat.st_mtime_ns) else None

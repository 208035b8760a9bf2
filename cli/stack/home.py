"""The folder of all data: made, checked, and explained when it cannot be used."""

import errno
import shutil
from pathlib import Path

from factory_infra.errors import LineshaftError, StorageFull, Unavailable
from factory_infra.settings import Settings

FREE_BYTES_MIN = 512 * 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def logs_dir(settings: Settings) -> Path:
    """One log a part."""
    return settings.home / "logs"


def prepare_home(settings: Settings) -> None:
    """Make the folders and prove that they can be written. Idempotent. Raises StorageFull or Unavailable."""
    try:
        settings.home.parent.mkdir(parents=True, exist_ok=True)
        for folder in (settings.home, settings.run_dir, logs_dir(settings), settings.jobs_dir, settings.secrets_dir):
            folder.mkdir(mode=0o700, exist_ok=True)
        probe = settings.run_dir / "probe"
        probe.write_bytes(bytes(65536))
        probe.unlink()
    except OSError as error:
        raise storage_failure(settings.home, error) from error
    free = shutil.disk_usage(settings.home).free
    if free < FREE_BYTES_MIN:
        raise StorageFull(
            f"Only {free / 2**20:.0f} MiB are free where {settings.home} lies; the stack needs {FREE_BYTES_MIN / 2**20:.0f} MiB.",
            remedy="Free some space, or choose another folder with --home.",
            code="home_full",
        )


def storage_failure(path: Path, error: OSError) -> LineshaftError:
    """Say in words why the system refused to use a path."""
    if error.errno in _FULL:
        return StorageFull(
            f"No space is left to write {path}.", remedy="Free some space, or choose another folder with --home.", code="home_full"
        )
    return Unavailable(
        f"{path} cannot be used: {error.strerror or error} ({error.filename or path}).",
        remedy="Give this user the right to write there, or choose another folder with --home.",
        code="home_unwritable",
    )

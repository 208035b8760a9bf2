"""The jobs that a job waits for. Standard library only: the runner loads it."""

from dataclasses import dataclass
from pathlib import Path

from factory_infra.iaas.jobs.providers.folder import JobFolder


@dataclass(frozen=True)
class Before:
    """How those stand: which are not over yet, which of these are lost, and the first that did not succeed."""

    open: list[str]
    lost: list[str]
    failed: str


def look(tenant_dir: Path, names: list[str]) -> Before:
    """Look at the folders of the jobs of one tenant. A lost one may be started again: it is waited for."""
    folders = {name: JobFolder(tenant_dir / name) for name in names}
    alive = {name: folder.alive() for name, folder in folders.items()}
    # The record is read after the lock: a runner writes it before it lets go.
    ends = {name: folder.read(folder.exit) for name, folder in folders.items()}
    waiting = [name for name in names if ends[name] is None and folders[name].spec.exists()]
    failed = [name for name in names if name not in waiting and not succeeded(ends[name])]
    return Before(waiting, [name for name in waiting if not alive[name]], failed[0] if failed else "")


def succeeded(record: dict[str, object] | None) -> bool:
    """Whether an exit record tells of success; a job whose folder is gone has none."""
    return record is not None and record.get("failure", {}) is None


def code_of(record: dict[str, object] | None) -> str:
    """The code of the failure in an exit record, or nothing."""
    failure = (record or {}).get("failure")
    return str(failure.get("code", "job_failed")) if isinstance(failure, dict) else ""

"""The seam to whatever runs jobs."""

from typing import Protocol

from factory_infra.iaas.jobs.models import Job, JobSpec, LogChunk


class Jobs(Protocol):
    """Runs jobs that outlive the process that asked for them. A job's id is its idempotency key."""

    async def submit(self, spec: JobSpec) -> Job:
        """Start the job unless one of this id is pending, running or ended (then return that one).

        A `lost` job is started again under the same id. Raises StorageFull when its folder cannot be written,
        InvalidInput when the argument vector is empty or names no program.
        """
        ...

    async def get(self, job_id: str, tenant: str) -> Job:
        """Return the job's present state. Raises NotFound, also for another tenant's job."""
        ...

    async def list(self, tenant: str | None = None) -> list[Job]:
        """Return the jobs of a tenant, or all, newest first."""
        ...

    async def logs(self, job_id: str, tenant: str, offset: int = 0, limit: int = 65536) -> LogChunk:
        """Return the log from a byte offset. Raises NotFound."""
        ...

    async def cancel(self, job_id: str, tenant: str) -> Job:
        """End the job and every process that it started: SIGTERM, then SIGKILL after 5 s. Ending an ended job is not an error."""
        ...


class JobFiles(Protocol):
    """An extra ability: small result files that a job leaves in its folder."""

    async def result(self, job_id: str, tenant: str, name: str) -> str | None:
        """Return the text of a file that the job wrote (at most 4 MiB), or None while there is none."""
        ...


class JobTail(Protocol):
    """An extra ability: the end of a log, however long the log is."""

    async def tail(self, job_id: str, tenant: str, limit: int = 8192) -> str:
        """Return whole lines from the log's end, at most so many bytes. Raises NotFound."""
        ...


class JobRetry(Protocol):
    """An extra ability: the same job once more."""

    async def retry(self, job_id: str, tenant: str) -> Job:
        """Start a job that failed, was cancelled or lost again, under its id, from its last checkpoint. Raises Conflict while it runs."""
        ...


class JobTasks(Protocol):
    """An extra ability: the tasks of an array, each as a job named `ID.INDEX`."""

    async def tasks(self, job_id: str, tenant: str, limit: int = 100, offset: int = 0) -> list[Job]:
        """Return a page of the tasks by index. Their logs are read under `ID.INDEX`. Raises NotFound."""
        ...

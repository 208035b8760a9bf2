"""Where everything of a job lies in the pool's bucket: one folder a job, shared by who submits it and by its carrier."""

from typing import NamedTuple

COMMAND = ["python3", "-m", "factory_infra.iaas.jobs.carrier"]
"""What a container runs."""
ROOT = "lineshaft/"
SPEC = "spec.json"
INPUTS = "inputs/"


class Folder(NamedTuple):
    """The keys of a job, of a task of an array, or of one node of several."""

    prefix: str

    @property
    def spec(self) -> str:
        """The intent: what was asked for. Written once, before anything else."""
        return self.prefix + SPEC

    @property
    def inputs(self) -> str:
        """Files that are there before the program starts."""
        return self.prefix + INPUTS

    @property
    def results(self) -> str:
        """Files that the program left."""
        return self.prefix + "results/"

    @property
    def checkpoint(self) -> str:
        """What survives a lost host."""
        return self.prefix + "checkpoint/"

    @property
    def status(self) -> str:
        """The present attempt, where it runs, and the last lines of its progress."""
        return self.prefix + "status.json"

    @property
    def runs(self) -> str:
        """One record a start of the program, by attempt."""
        return self.prefix + "runs/"

    @property
    def exits(self) -> str:
        """One record an end of the program, by attempt."""
        return self.prefix + "exits/"

    def run(self, attempt: int) -> str:
        """The record of a start."""
        return f"{self.runs}{attempt:04}.json"

    def exit(self, attempt: int) -> str:
        """The record of an end."""
        return f"{self.exits}{attempt:04}.json"

    def claim(self, generation: int) -> str:
        """Who wrote this may submit the generation to the engine."""
        return f"{self.prefix}submissions/{generation:04}.json"

    def engine(self, generation: int) -> str:
        """What the engine calls a generation."""
        return f"{self.prefix}engine/{generation:04}.json"

    def owner(self, generation: int) -> str:
        """The one engine's job that may run the program: a second one of the same generation ends at once."""
        return f"{self.prefix}owner/{generation:04}.json"

    def cancel(self, generation: int) -> str:
        """Somebody asked that it ends."""
        return f"{self.prefix}cancel/{generation:04}.json"

    def down(self, attempt: int, rank: int | None = None) -> str:
        """A node of several whose program failed; without a rank the folder of all of them."""
        return f"{self.prefix}down/{attempt:04}/" + ("" if rank is None else f"{rank:04}.json")

    def hosts(self, generation: int, rank: int | None = None) -> str:
        """Where a node runs; without a rank the folder of all of them."""
        return f"{self.prefix}hosts/{generation:04}/" + ("" if rank is None else f"{rank:04}.json")

    def task(self, index: int) -> "Folder":
        """A task of an array."""
        return Folder(f"{self.prefix}tasks/{index}/")

    def node(self, rank: int) -> "Folder":
        """What one node of several keeps for itself; the first one's is the job's own folder."""
        return self if rank == 0 else Folder(f"{self.prefix}nodes/{rank}/")


def tenant_prefix(tenant: str) -> str:
    """Where all jobs of a tenant lie: what its role may reach."""
    return f"{ROOT}{tenant}/"


def job_folder(tenant: str, job_id: str) -> Folder:
    """The folder of a job. Both names are checked before."""
    return Folder(f"{tenant_prefix(tenant)}{job_id}/")

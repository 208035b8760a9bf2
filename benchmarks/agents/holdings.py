"""What the factory holds of a team: read before and after, so that a check speaks of the world and not of what was said."""

from dataclasses import dataclass

from api.client import ApiClient


@dataclass(frozen=True)
class Holdings:
    """Counted through the API."""

    leases: int
    jobs: int
    versions: int
    endpoints: int
    strays: int

    @property
    def standing(self) -> int:
        """What a plan could have left that costs or serves."""
        return self.leases + self.versions + self.endpoints + self.strays

    def __str__(self) -> str:
        """In words, for a row."""
        return f"{self.leases} leases, {self.jobs} jobs run, {self.versions} versions, {self.endpoints} endpoints, {self.strays} strays"


def holdings(client: ApiClient, tenant: str) -> Holdings:
    """Read what a team holds now; a version that is archived does not count."""
    versions = client.get_list("/v1/registry/versions", tenant=tenant)
    compared = client.get_object("/v1/reconciliation")
    return Holdings(
        leases=len(client.get_list("/v1/leases", tenant=tenant)),
        jobs=len([job for job in client.get_list("/v1/jobs", tenant=tenant) if "train" in str(job["name"])]),
        versions=len([each for each in versions if not each["archived"]]),
        endpoints=len(client.get_list("/v1/endpoints", tenant=tenant)),
        strays=sum(len(value) for value in compared.values() if isinstance(value, list)),
    )

"""Clusters with their ledger, over a maker that does what the test says."""

import builtins
from collections.abc import Callable
from functools import partial

import pytest

from factory_infra.database import Database, utcnow
from factory_infra.errors import CapacityExceeded, Conflict, InvalidInput, LineshaftError, NotFound, Unavailable
from factory_infra.foundation.clusters.interface import Clusters
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec, ClusterState, Machine
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.reconciliation import compare
from factory_infra.foundation.clusters.service import ClusterBook, Term

pytestmark = pytest.mark.stack
NAME = cluster_id("k")
WANTED = ClusterSpec(key="k", tenant="vision", machine="g5.xlarge", count=2)


class Maker:
    """Makes what it is asked for, in memory."""

    def __init__(self) -> None:
        self.made: dict[str, Cluster] = {}
        self.fails: builtins.list[LineshaftError] = []

    def names(self) -> builtins.list[str]:
        """One pool."""
        return ["east"]

    def of(self, pool: str) -> Clusters:
        """Itself."""
        return self

    def _cluster(self, name: str, tenant: str, count: int) -> Cluster:
        if self.fails:
            raise self.fails.pop(0)
        machines = [Machine(id=f"i-{number}", type="g5.xlarge", state="running") for number in range(count)]
        self.made[name] = Cluster(
            id=name, pool="east", tenant=tenant, state=ClusterState.READY, wanted=count, machines=machines, created_at=utcnow()
        )
        return self.made[name]

    async def provision(self, wanted: ClusterSpec) -> Cluster:
        """See Clusters."""
        return self.made.get(cluster_id(wanted.key)) or self._cluster(cluster_id(wanted.key), wanted.tenant, wanted.count)

    async def get(self, cluster_id: str, tenant: str) -> Cluster:
        """See Clusters."""
        return self.made[cluster_id]

    async def list(self, tenant: str | None = None) -> builtins.list[Cluster]:
        """See Clusters."""
        return [*self.made.values()]

    async def scale(self, cluster_id: str, tenant: str, count: int, key: str = "") -> Cluster:
        """See Clusters."""
        return self._cluster(cluster_id, tenant, count)

    async def release(self, cluster_id: str, tenant: str) -> Cluster:
        """See Clusters."""
        if self.fails:
            raise self.fails.pop(0)
        self.made.pop(cluster_id, None)
        return Cluster(id=cluster_id, pool="east", tenant=tenant, state=ClusterState.RELEASED, wanted=0)


@pytest.fixture
def maker() -> Maker:
    """A maker of machines."""
    return Maker()


@pytest.fixture
def book(database: Database, maker: Maker) -> ClusterBook:
    """A book over it."""
    return ClusterBook(database, maker)


async def refusal(ask: Callable[[], object], kind: type[LineshaftError]) -> str:
    """The code with which it is refused."""
    with pytest.raises(kind) as refused:
        await ask()  # type: ignore[misc]
    return refused.value.error_code


async def test_what_is_asked_for_is_written_before_it_is_made(book: ClusterBook, maker: Maker) -> None:
    maker.fails = [Unavailable("AWS does not answer.")]
    await refusal(lambda: book.provision("east", WANTED), Unavailable)
    [row] = await book.list("vision")
    assert (row.id, row.state) == (NAME, "making")
    await book.provision("east", WANTED)
    [row] = await book.list("vision")
    assert (row.state, row.machines, row.count) == ("held", ["i-0", "i-1"], 2)


async def test_what_cannot_be_had_is_not_held_and_may_be_asked_for_again(book: ClusterBook, maker: Maker) -> None:
    maker.fails = [CapacityExceeded("None left.", code="capacity_short")]
    assert await refusal(lambda: book.provision("east", WANTED), CapacityExceeded) == "capacity_short"
    assert await book.list("vision") == []
    assert (await book.get(NAME, "vision")).note == "None left."
    assert (await book.provision("east", WANTED)).state is ClusterState.READY


async def test_another_team_never_sees_it(book: ClusterBook) -> None:
    await book.provision("east", WANTED)
    for ask in (
        lambda: book.get(NAME, "speech"),
        lambda: book.scale(NAME, "speech", 1, "k"),
        lambda: book.replace(NAME, "speech", "i-0", "k"),
        lambda: book.release(NAME, "speech"),
    ):
        assert await refusal(ask, NotFound) == "cluster_unknown"
    assert await book.list("speech") == []
    assert (await book.get(NAME, None)).tenant == "vision"


async def test_a_released_one_stays_released(book: ClusterBook) -> None:
    await book.provision("east", WANTED)
    for _ in range(2):
        assert (await book.release(NAME, "vision")).state is ClusterState.RELEASED
    assert (await book.get(NAME, "vision")).state is ClusterState.RELEASED
    assert await refusal(lambda: book.provision("east", WANTED), Conflict) == "cluster_released"
    assert await refusal(lambda: book.scale(NAME, "vision", 3, "k"), Conflict) == "cluster_released"


async def test_a_release_that_was_cut_off_is_owned_by_nobody(book: ClusterBook, maker: Maker) -> None:
    await book.provision("east", WANTED)
    maker.fails = [Unavailable("AWS does not answer.")]
    await refusal(lambda: book.release(NAME, "vision"), Unavailable)
    owners = await book.owners("east", {NAME})
    [finding] = compare("east", await maker.list(), owners, "report", utcnow())
    assert (finding.kind, finding.remove) == ("leftover", True)
    await book.release(NAME, "vision")
    assert maker.made == {}


async def test_a_key_is_one_cluster(book: ClusterBook) -> None:
    await book.provision("east", WANTED)
    for other in (WANTED.model_copy(update={"tenant": "speech"}), WANTED.model_copy(update={"machine": "g6.xlarge"})):
        assert await refusal(partial(book.provision, "east", other), Conflict) == "key_reused"


async def test_what_the_pool_cannot_is_refused_by_name(book: ClusterBook) -> None:
    await book.provision("east", WANTED)
    assert await refusal(lambda: book.replace(NAME, "vision", "i-0", "k"), InvalidInput) == "not_offered"
    assert await refusal(lambda: book.template("east", WANTED), InvalidInput) == "not_offered"


async def test_scaled_it_is_written_so(book: ClusterBook) -> None:
    await book.provision("east", WANTED, Term(seconds=3600, count_max=5))
    await book.scale(NAME, "vision", 5, "up")
    [row] = await book.list("vision")
    assert (row.count, len(row.machines)) == (5, 5)
    assert await refusal(lambda: book.scale(NAME, "vision", 6, "up"), CapacityExceeded) == "cluster_full"


async def test_machine_seconds_are_counted_until_the_release(book: ClusterBook) -> None:
    await book.provision("east", WANTED)
    await book.release(NAME, "vision")
    first = (await book.record(NAME, "vision")).machine_seconds
    assert first > 0
    await book.release(NAME, "vision")
    assert (await book.record(NAME, "vision")).machine_seconds == first


async def test_what_is_over_its_term_is_overdue(book: ClusterBook) -> None:
    await book.provision("east", WANTED, Term(seconds=0, count_max=2))
    assert [each.id for each in await book.overdue("east")] == [NAME]
    await book.release(NAME, "vision")
    assert await book.overdue("east") == []


async def test_findings_are_told_once_and_settled(book: ClusterBook, maker: Maker) -> None:
    maker.made["fleet-x"] = Cluster(id="fleet-x", pool="east", tenant="vision", state=ClusterState.READY, wanted=1)
    stray = compare("east", await maker.list(), [], "report", utcnow())
    assert [each.kind for each in await book.note("east", stray, lambda finding: "reported")] == ["stray"]
    assert await book.note("east", stray, lambda finding: "reported") == []
    assert [each.cluster_id for each in await book.findings("vision")] == ["fleet-x"]
    assert await book.findings("speech") == []
    await book.note("east", [], lambda finding: "")
    assert await book.findings() == []
    assert [each.kind for each in await book.findings(open_only=False)] == ["stray"]
    assert [each.kind for each in await book.note("east", stray, lambda finding: "removed")] == ["stray"], "it came again"

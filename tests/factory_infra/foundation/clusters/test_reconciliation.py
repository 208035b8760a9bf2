"""The comparison, without asking anybody."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from factory_infra.foundation.clusters.models import Cluster, ClusterState, Machine
from factory_infra.foundation.clusters.reconciliation import GRACE, Finding, FindingKind, Owner, compare

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LONG_AGO = NOW - GRACE * 2


def cluster(name: str = "fleet-1", machines: int = 2, *, state: ClusterState = ClusterState.READY, made: datetime = LONG_AGO) -> Cluster:
    """A cluster that exists."""
    told = [Machine(id=f"{name}/{number}", type="g5.xlarge", state="running") for number in range(machines)]
    return Cluster(id=name, pool="east", tenant="vision", state=state, wanted=machines, machines=told, created_at=made)


def owner(
    name: str = "fleet-1", machines: int = 2, state: Literal["making", "held", "ended"] = "held", since: datetime = LONG_AGO
) -> Owner:
    """Who owns it."""
    ids = tuple(f"{name}/{number}" for number in range(machines))
    return Owner(cluster_id=name, tenant="vision", lease_id="lease-1", wanted=machines, machines=ids, state=state, since=since)


def found(exists: list[Cluster], owners: list[Owner], strays: Literal["report", "remove"] = "report") -> list[Finding]:
    """The differences."""
    return compare("east", exists, owners, strays, NOW)


def test_what_is_owned_and_there_is_no_difference() -> None:
    assert found([cluster()], [owner()]) == []


def test_a_stray_is_told_and_removed_by_policy_only() -> None:
    [told] = found([cluster()], [])
    assert (told.kind, told.remove, len(told.machines)) == (FindingKind.STRAY, False, 2)
    [removed] = found([cluster()], [], "remove")
    assert removed.remove and removed.id == told.id


def test_what_is_young_may_be_on_its_way() -> None:
    assert found([cluster(made=NOW - timedelta(minutes=1))], [], "remove") == []
    assert found([], [owner(since=NOW - timedelta(minutes=1))]) == []


def test_what_has_lost_its_owner_is_removed_whatever_the_policy() -> None:
    [leftover] = found([cluster(made=NOW)], [owner(state="ended")])
    assert (leftover.kind, leftover.remove) == (FindingKind.LEFTOVER, True)


def test_what_is_being_made_is_left_alone() -> None:
    assert found([cluster(machines=0, state=ClusterState.CREATING)], [owner(state="making")]) == []
    assert found([], [owner(state="making")]) == []


def test_what_is_gone_is_told() -> None:
    [gone] = found([], [owner()])
    assert (gone.kind, gone.lease_id, gone.remove) == (FindingKind.GONE, "lease-1", False)


def test_lost_machines_are_named() -> None:
    [lost] = found([cluster(machines=1)], [owner(machines=2)])
    assert (lost.kind, lost.machines) == (FindingKind.MACHINES_LOST, ("fleet-1/1",))


def test_a_machine_too_many_is_named() -> None:
    [surplus] = found([cluster(machines=3)], [owner(machines=2)])
    assert (surplus.kind, surplus.machines) == (FindingKind.SURPLUS, ("fleet-1/2",))


def test_half_made_is_told() -> None:
    [half] = found([cluster(machines=0, state=ClusterState.BROKEN)], [owner()])
    assert half.kind is FindingKind.HALF_MADE


def test_many_at_once_are_each_told_once() -> None:
    exists = [cluster("fleet-1"), cluster("fleet-2"), cluster("fleet-3", 1)]
    owners = [owner("fleet-1"), owner("fleet-3"), owner("fleet-4")]
    kinds = {(each.cluster_id, each.kind.value) for each in found(exists, owners)}
    assert kinds == {("fleet-2", "stray"), ("fleet-3", "machines_lost"), ("fleet-4", "gone")}

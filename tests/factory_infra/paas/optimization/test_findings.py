"""What is found, from what, and with which remedy; what is not found; and what a decision changes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from factory_infra.paas.optimization.findings import (
    ClusterFacts,
    EndpointFacts,
    Facts,
    LeaseFacts,
    ReleaseCluster,
    ReleaseLease,
    ReplaceLease,
    RoomFacts,
    SleepEndpoint,
    Thresholds,
    find,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LIMITS = Thresholds()
LEASE = LeaseFacts(
    id="lease-1",
    team="vision",
    project="maps",
    pool="h100",
    slot_kind="gpu",
    accelerator="H100",
    price_class="on_demand",
    slots=(0, 1, 2, 3),
    purpose="training",
    granted_at=NOW - timedelta(hours=5),
    expires_at=NOW + timedelta(hours=2),
    hour_price=Decimal("2.50"),
    jobs_running=0,
    last_job_ended_at=NOW - timedelta(minutes=31),
)
BUSY = replace(LEASE, jobs_running=1, last_job_ended_at=None)
ENDPOINT = EndpointFacts("vision", "reader", "", NOW - timedelta(days=9), NOW - timedelta(hours=25), 2, 3, 4.0)
CLUSTER = ClusterFacts(
    "fleet-1", "vision", "east", "p5.48xlarge", 2, NOW - timedelta(hours=3), NOW + timedelta(hours=1), Decimal(40), None, in_use=False
)


def test_an_idle_lease_is_released_and_saves_what_is_left_of_it() -> None:
    (found,) = find(Facts(NOW, [LEASE]), LIMITS)
    assert (found.kind, found.subject, found.project, found.remedy) == ("lease_idle", "lease-1", "maps", ReleaseLease(lease_id="lease-1"))
    assert (found.saving_hourly, found.saving_left) == (Decimal(10), Decimal(20))
    assert "31 min" in found.evidence and not found.blocked


@pytest.mark.parametrize(
    "lease",
    [
        BUSY,
        replace(LEASE, last_job_ended_at=NOW - timedelta(minutes=29)),
        replace(LEASE, last_job_ended_at=None, granted_at=NOW - timedelta(minutes=5)),
        replace(LEASE, expires_at=NOW + timedelta(minutes=20)),
    ],
    ids=["a job runs", "a job ended lately", "it was granted lately", "it ends by itself soon"],
)
def test_a_lease_that_is_used_is_left_alone(lease: LeaseFacts) -> None:
    assert find(Facts(NOW, [lease]), LIMITS) == []


def test_slots_that_did_nothing_are_given_back_once_their_jobs_have_ended() -> None:
    wide = replace(BUSY, busy={0: (3, 80.0), 1: (3, 1.5), 2: (3, 0.0), 3: (3, 0.2)})
    (found,) = find(Facts(NOW, [wide]), LIMITS)
    assert (found.kind, found.saving_hourly) == ("lease_oversized", Decimal("7.5"))
    assert found.remedy == ReplaceLease(lease_id="lease-1", slots=1, seconds=7200, pool="h100", accelerator="H100", purpose="training")
    assert "would end them" in found.blocked and "at most 1.5 %" in found.evidence
    for busy in ({0: (3, 80.0)}, {0: (1, 80.0), 1: (1, 0.0), 2: (1, 0.0), 3: (1, 0.0)}, dict.fromkeys(range(4), (3, 0.0))):
        assert find(Facts(NOW, [replace(wide, busy=busy)]), LIMITS) == []
    assert find(Facts(NOW, [replace(wide, machines=True)]), LIMITS) == []


def test_the_same_slots_for_less_elsewhere() -> None:
    fresh = replace(LEASE, last_job_ended_at=NOW)
    cheap = RoomFacts("other", "gpu", "H100", 8, Decimal("2.00"))
    (found,) = find(Facts(NOW, [fresh], rooms=[cheap, replace(cheap, pool="cheapest", hour_price=Decimal("1.50"))]), LIMITS)
    assert (found.kind, found.saving_hourly) == ("lease_dear", Decimal(4))
    assert isinstance(found.remedy, ReplaceLease) and (found.remedy.pool, found.remedy.slots) == ("cheapest", 4)
    for room in (
        replace(cheap, free=3),
        replace(cheap, accelerator="A100"),
        replace(cheap, hour_price=Decimal("2.40")),
        replace(cheap, pool="h100"),
        replace(cheap, hour_price=None),
    ):
        assert find(Facts(NOW, [fresh], rooms=[room]), LIMITS) == []


def test_an_endpoint_that_nobody_asks_may_sleep_and_saves_no_charge() -> None:
    (found,) = find(Facts(NOW, endpoints=[ENDPOINT]), LIMITS)
    assert found.remedy == SleepEndpoint(endpoint="reader", servers_max=3, parallel_target=4.0, idle_seconds=3600.0)
    assert not found.saving_hourly and not found.saving_left
    assert find(Facts(NOW, endpoints=[replace(ENDPOINT, last_asked_at=NOW - timedelta(hours=23))]), LIMITS) == []
    assert find(Facts(NOW, endpoints=[replace(ENDPOINT, last_asked_at=None, live_since=NOW - timedelta(hours=1))]), LIMITS) == []


def test_a_cluster_that_is_kept_and_not_used() -> None:
    (found,) = find(Facts(NOW, clusters=[replace(CLUSTER, expires_at=NOW + timedelta(hours=3))]), LIMITS)
    assert (found.remedy, found.saving_hourly, found.saving_left) == (ReleaseCluster(cluster_id="fleet-1"), Decimal(40), Decimal(120))
    assert find(Facts(NOW, clusters=[replace(CLUSTER, in_use=True)]), LIMITS) == []
    assert find(Facts(NOW, clusters=[replace(CLUSTER, last_used_at=NOW - timedelta(minutes=10))]), LIMITS) == []


def test_what_saves_most_comes_first_and_keeps_its_name() -> None:
    facts = Facts(NOW, [LEASE, replace(LEASE, id="lease-2", slots=(4,))], [ENDPOINT], [CLUSTER])
    found = find(facts, LIMITS)
    assert [each.subject for each in found] == ["fleet-1", "lease-1", "lease-2", "reader"]
    later = find(replace(facts, now=NOW + timedelta(minutes=5)), LIMITS)
    assert {each.id for each in later} == {each.id for each in found} and len({each.id for each in found}) == 4


def test_control_without_a_threshold_everything_is_found() -> None:
    """The thresholds are what keeps a lease of a minute ago from being taken for idle."""
    fresh = replace(LEASE, last_job_ended_at=NOW - timedelta(minutes=2))
    assert find(Facts(NOW, [fresh]), LIMITS) == []
    assert find(Facts(NOW, [fresh]), LIMITS.model_copy(update={"idle_seconds": 0})) != []

"""Slots as seats, leases as workloads: nothing is lost or doubled on the way there and back."""

import pytest

from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.scheduling.live import Claim, Layout, Scene, absent, scheduler_of, shape_of, with_team_limits, workload_of
from factory_infra.iaas.scheduling.models import Shape
from factory_infra.iaas.scheduling.policy import QuotaTree, SchedulingPolicy, read_quotas

NOW = 1_000_000.0


def gpus(count: int = 8, **fields: object) -> Pool:
    slots = [Slot(index=each, kind="gpu", name="g", memory_gib=80, accelerator="H100", node=f"n{each // 4}") for each in range(count)]
    return Pool.model_validate({"name": "a", "slots": [slot.model_dump() for slot in slots], **fields})


def cores(count: int = 4) -> Pool:
    return Pool(name="a", slots=[Slot(index=each, kind="cpu", name="core", memory_gib=1) for each in range(count)])


def claim(name: str = "x", size: int = 2, slots: tuple[int, ...] = (), **fields: object) -> Claim:
    asked = LeaseRequest.model_validate({"tenant": "vision", "slots": size, "key": name, "seconds": 600, **fields})
    since, until = (NOW - 60, NOW + 540) if slots else (0.0, 0.0)
    return Claim(name, "vision", "a", "gpu", size, asked, asked_at=NOW - 60, slots=slots, since=since, until=until)


class TestLayout:
    def test_gpus_are_seats_of_their_node(self) -> None:
        layout = Layout(gpus(), ["n1"])
        fleet = layout.fleet()
        assert [(spec.gpus, spec.model) for spec in layout.nodes] == [(4, "H100"), (4, "H100")]
        assert fleet.fit.tolist() == [True, False]
        seats = layout.seats([1, 6, 99])
        assert [slot.index for slot in layout.slots(seats, ())] == [1, 6]
        assert [slot.index for slot in layout.slots(seats, {6})] == [1]

    def test_cores_are_any_free_ones_of_their_node(self) -> None:
        layout = Layout(cores())
        seats = layout.seats([0, 1])
        assert [slot.index for slot in layout.slots(seats, {0, 2})] == [1, 3]

    def test_slots_of_machines_that_are_made_are_counted(self) -> None:
        layout = Layout(gpus(40, placement="machines"))
        assert sum(spec.gpus for spec in layout.nodes) == 40
        assert shape_of(claim(accelerator="B200").request, [layout]) == Shape(gpu_milli=1000, gpus=1, models=frozenset({"H100"}))

    def test_a_type_is_asked_for_as_the_pool_spells_it(self) -> None:
        assert shape_of(claim(accelerator="h100").request, [Layout(gpus())]).models == frozenset({"H100"})


class TestScheduler:
    def test_what_is_held_lies_where_it_is_and_what_waits_begins_beside_it(self) -> None:
        layout = Layout(gpus())
        scene = Scene({"a": layout}, [claim("held", 3, (1, 2, 7)), claim("waits", 4)], now=NOW)
        made = scheduler_of(SchedulingPolicy(), QuotaTree(), scene)
        (start,) = made.decide(NOW).starts
        slots = layout.slots(start.seats, {1, 2, 7})
        assert (start.workload, len(slots)) == ("waits", 4)

    def test_a_clock_that_is_ahead_elsewhere_is_now(self) -> None:
        assert workload_of(claim(), [Layout(gpus())], NOW - 600).submitted_at == NOW - 600

    def test_a_pool_that_does_not_answer_counts_what_is_held_in_it(self) -> None:
        held = claim("held", 3, (1, 2, 7))
        assert [slot.index for slot in absent("a", [held]).slots] == [1, 2, 7]

    def test_slots_that_the_pool_has_no_more_are_left_out(self) -> None:
        scene = Scene({"a": Layout(gpus(4))}, [claim("held", 2, (3, 7)), claim("gone", 1, (6,))], now=NOW)
        made = scheduler_of(SchedulingPolicy(), QuotaTree(), scene)
        assert {name: len(each.seats) for name, each in made.running.items()} == {"held": 1}

    def test_what_was_kept_free_stays_so(self) -> None:
        claims = [claim("held", 6, (0, 1, 2, 3, 4, 5)), claim("large", 8), claim("small", 2, seconds=6000)]
        kept = [Claim(**{**vars(each), "reserved": each.id == "large"}) for each in claims]
        made = scheduler_of(SchedulingPolicy(order="shortest"), QuotaTree(), Scene({"a": Layout(gpus())}, kept, now=NOW))
        assert made.reserved == ("large",)
        assert made.decide(NOW).starts == ()

    def test_the_past_makes_shares_and_estimates(self) -> None:
        past = [Claim(**{**vars(claim(f"p{each}", 4, (0, 1, 2, 3))), "since": NOW - 5000, "until": NOW - 4700}) for each in range(9)]
        scene = Scene({"a": Layout(gpus())}, [], past, NOW)
        made = scheduler_of(SchedulingPolicy(), QuotaTree(), scene)
        low, high = made.state.errors.interval()
        assert low == pytest.approx(0.5) == high

    def test_past_waits_make_the_intervals_of_later_ones(self) -> None:
        past = claim("p", 4, (0, 1, 2, 3))
        waited = [Claim(**{**vars(past), "id": f"p{each}", "foretold": (past.since - 600, past.since)}) for each in range(300)]
        scene = Scene({"a": Layout(gpus())}, [], waited, NOW)
        seen = scheduler_of(SchedulingPolicy(), QuotaTree(), scene).state.waits
        fresh = scheduler_of(SchedulingPolicy(), QuotaTree(), Scene(scene.layouts, [], (), NOW)).state.waits
        assert seen.interval(600.0) == pytest.approx((600.0, 600.0))
        assert fresh.interval(600.0)[1] > 1000.0


def test_a_teams_slots_bound_its_queue() -> None:
    tree = with_team_limits(read_quotas("queues: [{name: org}, {name: org/vision, limit: {gpus: 2}}]"), {"org/vision": 4, "speech": 3})
    found = {spec.name: spec.limit for spec in tree.queues}
    assert found == {"org": {}, "org/vision": {"gpus": 2.0, "cpus": 4.0}, "speech": {"gpus": 3.0, "cpus": 3.0}}

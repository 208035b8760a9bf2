"""Tests of gangs: all members or none, near each other where asked, and the fleet as it was."""

import pytest

from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import NodeSpec, Seat, Shape, Topology, Workload
from factory_infra.iaas.scheduling.placement.registry import build

PAIR = Shape(8000, 16_384, 1000, 2)
NODE = Shape(64_000, 131_072, 1000, 8)


def gang(shape: Shape, topology: Topology = "any") -> Workload:
    return Workload("g", "team", shape, 0.0, 60.0, topology=topology)


def fleet(efa: int = 0) -> Fleet:
    """Six nodes of eight GPUs in two NVLink domains, three a rack; the last ones have EFA."""
    return Fleet([NodeSpec(f"n{n}", 96_000, 262_144, 8, "H100", f"r{n // 3}", nvlink_group=4, efa=n >= 6 - efa) for n in range(6)])


def place(on: Fleet, shape: Shape, members: int, topology: Topology = "any") -> tuple[Seat, ...] | None:
    """Seats for a gang, which leave the fleet as it was and can all be taken."""
    before = on.gpu_free.copy()
    seats = build("first_fit", seed=2).place_gang(on, gang(shape, topology), members)
    assert (on.gpu_free == before).all() and on.used_milli == 8000 * 6 - before.sum()
    if seats is not None:
        assert len(seats) == members
        on.copy().take(seats, shape)
    return seats


class TestAllOrNothing:
    def test_all_members_are_placed(self) -> None:
        seats = place(fleet(), PAIR, 24)
        assert seats is not None and len({seat.node for seat in seats}) == 6
        assert place(fleet(), PAIR, 25) is None
        assert place(fleet(), NODE, 6) is not None

    def test_none_of_none(self) -> None:
        assert place(fleet(), PAIR, 0) is None


class TestNearness:
    def test_one_node(self) -> None:
        seats = place(fleet(), PAIR, 4, "node")
        assert seats is not None and len({seat.node for seat in seats}) == 1
        assert place(fleet(), PAIR, 5, "node") is None

    def test_one_nvlink_domain(self) -> None:
        on = fleet()
        for node in range(6):
            on.take((Seat(node, (0,)), Seat(node, (5,))), Shape(0, 0, 1000, 1))
        assert place(on, PAIR, 2, "nvlink") is None
        on.give((Seat(4, (5,)),), Shape(0, 0, 1000, 1))
        assert place(on, PAIR, 2, "nvlink") == (Seat(4, (4, 5)), Seat(4, (6, 7)))
        assert place(on, PAIR, 3, "node") is not None

    def test_a_single_member_stays_in_a_domain(self) -> None:
        on = fleet()
        on.take(tuple(Seat(node, (gpu,)) for node in range(6) for gpu in (0, 1, 2)), Shape(0, 0, 1000, 1))
        seat = build("first_fit").place(on, PAIR)
        assert seat is not None and seat.gpus == (4, 5)

    def test_a_rack_with_the_least_room_to_spare(self) -> None:
        on = fleet()
        on.take((Seat(4, tuple(range(8))),), NODE)
        seats = place(on, NODE, 2, "rack")
        assert seats is not None and {seat.node for seat in seats} == {3, 5}
        three = place(on, NODE, 3, "rack")
        assert three is not None and {seat.node for seat in three} == {0, 1, 2}
        assert place(on, NODE, 4, "rack") is None

    def test_nodes_of_no_known_rack_are_near_nobody(self) -> None:
        on = Fleet([NodeSpec(f"n{number}", 96_000, 262_144, 8) for number in range(2)])
        assert build("first_fit").place_gang(on, gang(NODE, "rack"), 2) is None
        assert build("first_fit").place_gang(on, gang(PAIR, "rack"), 2) is not None

    @pytest.mark.parametrize(("efa", "expected"), [(2, {4, 5}), (1, None)])
    def test_several_nodes_have_efa_where_that_suffices(self, efa: int, expected: set[int] | None) -> None:
        seats = place(fleet(efa), NODE, 2)
        assert seats is not None
        assert expected is None or {seat.node for seat in seats} == expected

    def test_shares_of_one_card(self) -> None:
        on = Fleet([NodeSpec("a", 96_000, 262_144, 4, nvlink_group=2)])
        share = Shape(1000, 1024, 400, 1)
        seats = build("first_fit").place_gang(on, gang(share, "nvlink"), 4)
        assert seats is not None and {gpu for seat in seats for gpu in seat.gpus} == {0, 1}
        assert build("first_fit").place_gang(on, gang(share, "nvlink"), 5) is None

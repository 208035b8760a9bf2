"""Tests of the fleet: what is free is exact, whatever is taken, given back, broken, added or removed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory_infra.errors import CapacityExceeded, Conflict, InvalidInput, NotFound
from factory_infra.iaas.scheduling.fleet import Fleet, check_shape, words
from factory_infra.iaas.scheduling.models import NodeSpec, Seat, Shape
from factory_infra.iaas.scheduling.placement.registry import build

ONE = Shape(4000, 8192, 1000, 1)
SHARE = Shape(2000, 4096, 300, 1)


def node(name: str, gpus: int = 4, **changed: object) -> NodeSpec:
    return NodeSpec(name, 32_000, 131_072, gpus, "H100", **changed)  # type: ignore[arg-type]


class TestSeats:
    def test_what_is_taken_is_gone_and_what_is_given_is_back(self) -> None:
        fleet = Fleet([node("a"), node("b", gpus=2)])
        before = fleet.room(SHARE).total
        fleet.take((Seat(0, (1,)), Seat(0, (1,))), SHARE)
        assert (fleet.used_milli, fleet.gpu_free[0].tolist(), fleet.cpu_free[0]) == (600, [1000, 400, 1000, 1000], 28_000)
        assert fleet.room(SHARE).total == before - 2
        fleet.give((Seat(0, (1,)), Seat(0, (1,))), SHARE)
        assert (fleet.used_milli, fleet.room(SHARE).total, fleet.hosted.tolist()) == (0, before, [0, 0])

    def test_nothing_is_given_twice(self) -> None:
        fleet = Fleet([node("a")])
        fleet.take((Seat(0, (0,)),), ONE)
        with pytest.raises(CapacityExceeded):
            fleet.take((Seat(0, (1,)), Seat(0, (0,))), ONE)
        assert (fleet.used_milli, fleet.gpu_free[0].tolist()) == (1000, [0, 1000, 1000, 1000])

    def test_what_was_not_taken_is_not_taken_back(self) -> None:
        fleet = Fleet([node("a")])
        with pytest.raises(Conflict):
            fleet.give((Seat(0, (0,)),), ONE)
        assert fleet.used_milli == 0

    @pytest.mark.parametrize("seat", [Seat(0, ()), Seat(0, (0, 0)), Seat(0, (0, 1, 2)), Seat(0, (0, 4)), Seat(0, (-1, 0))])
    def test_a_seat_names_its_gpus_each_once(self, seat: Seat) -> None:
        with pytest.raises(InvalidInput):
            Fleet([node("a")]).take((seat,), Shape(0, 0, 1000, 2))

    def test_a_node_that_is_not_there(self) -> None:
        with pytest.raises(NotFound):
            Fleet([node("a")]).take((Seat(1, (0,)),), ONE)

    def test_a_card_that_is_cut_gives_its_smallest_share_that_will_do(self) -> None:
        fleet = Fleet([node("a", gpus=1, mig_milli=(142, 285, 428, 1000))])
        assert (fleet.room(SHARE).total, fleet.room(Shape(0, 0, 100, 1)).total, fleet.room(Shape(0, 0, 500, 1)).total) == (2, 7, 1)
        fleet.take((Seat(0, (0,)),), SHARE)
        assert (fleet.used_milli, fleet.room(SHARE).total) == (428, 1)


class TestRoom:
    def test_nodes_with_efa_where_it_is_asked_for(self) -> None:
        fleet = Fleet([NodeSpec("plain", 8000, 8192, 8, "H100"), NodeSpec("linked", 8000, 8192, 8, "H100", efa=True)])
        asked = Shape(1000, 0, 1000, 1, network="efa")
        assert fleet.room(asked).slots.tolist() == [0, 8]
        assert fleet.slots_when_empty(asked).tolist() == [0, 8]
        assert fleet.room(Shape(1000, 0, 1000, 1)).total == 16
        for name in ("first_fit", "best_fit", "fgd", "least_leftover"):
            seat = build(name).place(fleet, asked)
            assert seat is not None
            assert seat.node == 1, name

    def test_types_and_price_classes_that_will_do(self) -> None:
        fleet = Fleet([node("a"), NodeSpec("b", 32_000, 131_072, 8, "A100", price_class="spot")])
        assert fleet.room(Shape(0, 0, 1000, 2, frozenset({"A100"}))).slots.tolist() == [0, 4]
        assert fleet.room(Shape(0, 0, 1000, 2, frozenset({"B200"}))).total == 0
        assert fleet.room(Shape(0, 0, 1000, 2, frozenset(), frozenset({"on_demand"}))).slots.tolist() == [2, 0]

    def test_a_broken_node_has_no_room_and_still_gives_back(self) -> None:
        fleet = Fleet([node("a"), node("b")])
        fleet.take((Seat(0, (0,)),), ONE)
        fleet.set_fit(0, False)
        assert (fleet.room(ONE).slots.tolist(), fleet.slots_when_empty(ONE).tolist()) == ([0, 4], [4, 4])
        assert fleet.slots_when_empty(ONE, fit_only=True).tolist() == [0, 4]
        fleet.give((Seat(0, (0,)),), ONE)
        fleet.set_fit(0, True)
        assert fleet.room(ONE).slots.tolist() == [4, 4]

    def test_a_node_without_gpus_and_a_shape_without_them(self) -> None:
        fleet = Fleet([NodeSpec("a", 8000, 16_384), node("b")])
        assert (fleet.room(ONE).slots.tolist(), fleet.room(Shape(4000, 1024)).slots.tolist()) == ([0, 4], [2, 8])

    @pytest.mark.parametrize(
        "shape", [Shape(-1), Shape(0, -1), Shape(0, 0, 500, 2), Shape(0, 0, 0, 1), Shape(0, 0, 1500, 1), Shape(0, 0, 1000, -1)]
    )
    def test_impossible_shapes_are_refused(self, shape: Shape) -> None:
        with pytest.raises(InvalidInput):
            check_shape(shape)
        with pytest.raises(InvalidInput):
            Fleet([node("a")]).room(shape)


class TestNodes:
    def test_nodes_come_and_go(self) -> None:
        fleet = Fleet([node("a"), node("b")])
        fleet.take((Seat(1, (0,)),), ONE)
        (third,) = fleet.add([node("c", gpus=8)])
        assert (third, fleet.capacity_milli, fleet.gpu_free[1].tolist()) == (2, 16_000, [0, 1000, 1000, 1000, 0, 0, 0, 0])
        with pytest.raises(Conflict):
            fleet.remove(1)
        fleet.remove(0)
        assert (fleet.room(ONE).slots.tolist(), fleet.capacity_milli) == ([0, 3, 8], 12_000)
        assert fleet.add([node("d", gpus=1)]) == (0,)
        assert fleet.room(ONE).slots.tolist() == [1, 3, 8]
        with pytest.raises(NotFound):
            fleet.spec(7)

    def test_names_are_unique_and_numbers_not_negative(self) -> None:
        with pytest.raises(InvalidInput, match="a is in the fleet already"):
            Fleet([node("a"), node("a")])
        with pytest.raises(InvalidInput, match="negative"):
            Fleet([node("a", gpus=-1)])

    def test_a_copy_goes_its_own_way(self) -> None:
        fleet = Fleet([node("a")])
        fleet.take((Seat(0, (0,)),), ONE)
        other = fleet.copy()
        other.take((Seat(0, (1,)),), ONE)
        assert (fleet.used_milli, other.used_milli, fleet.room(ONE).total, other.room(ONE).total) == (1000, 2000, 3, 2)
        assert (other.origin, other.copied_at) == (fleet, 1 + 1)


class TestChanges:
    @given(st.lists(st.integers(0, 4), max_size=200), st.integers(0, 200))
    @settings(max_examples=60, deadline=None)
    def test_changed_nodes_are_named_or_all(self, nodes: list[int], after: int) -> None:
        fleet = Fleet([node(f"n{number}", gpus=1) for number in range(5)])
        seen = fleet.changes
        for number, place in enumerate(nodes):
            if number == after:
                seen = fleet.changes
            fleet.set_fit(place, not fleet.fit[place])
        named = fleet.changed_since(seen)
        assert named is None or named.tolist() == nodes[after if after < len(nodes) else 0 :]

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=80), st.integers(1, 20))
    @settings(max_examples=60, deadline=None)
    def test_room_is_the_same_as_if_counted_anew(self, steps: list[tuple[int, int, bool]], every: int) -> None:
        fleet = Fleet([node(f"n{number}", mig_milli=(285, 428, 1000) if number == 3 else ()) for number in range(4)])
        held: list[tuple[Seat, Shape]] = []
        for number, (place, gpu, whole) in enumerate(steps):
            seat, shape = Seat(place, (gpu,)), ONE if whole else SHARE
            try:
                fleet.take((seat,), shape)
                held.append((seat, shape))
            except CapacityExceeded:
                given_back, of = held.pop(0)
                fleet.give((given_back,), of)
            if number % every == 0:
                assert np.array_equal(fleet.room(SHARE).slots, fleet.copy().room(SHARE).slots)
        for seat, shape in held:
            fleet.give((seat,), shape)
        assert (fleet.used_milli, fleet.gpu_free.min(), fleet.room(ONE).total) == (0, 1000, 16)


class TestWords:
    def test_a_shape_in_words(self) -> None:
        assert words(SHARE) == "0.3 of a GPU, 2 cores, 4.0 GiB"
        assert words(Shape(500, 512, 1000, 2)) == "2 GPUs, 0.5 cores, 0.5 GiB"
        assert words(Shape(500, 512)) == "0.5 cores, 0.5 GiB"

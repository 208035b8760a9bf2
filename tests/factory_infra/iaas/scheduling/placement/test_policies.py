"""Tests of the policies: what each prefers, and what all of them keep to."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.fleet import Fleet, words
from factory_infra.iaas.scheduling.models import NodeSpec, Seat, Shape, Workload
from factory_infra.iaas.scheduling.placement.registry import DEFAULT_POLICY, POLICIES, build
from factory_infra.iaas.scheduling.placement.scored import LeastLeftover

WHOLE = Shape(4000, 8192, 1000, 1)
PAIR = Shape(8000, 16_384, 1000, 2)
SHARES = tuple(Shape(2000, 4096, milli, 1) for milli in (200, 300, 500, 700))
CORES = Shape(16_000, 32_768)
SHAPES = (WHOLE, PAIR, *SHARES, CORES)
MIX = [(WHOLE, 4.0), (PAIR, 1.0), *((shape, 2.0) for shape in SHARES), (CORES, 1.0)]


def nodes(count: int = 6) -> list[NodeSpec]:
    made = [NodeSpec(f"n{number}", 32_000, 131_072, 4, "H100", nvlink_group=2) for number in range(count - 2)]
    return [*made, NodeSpec("old", 64_000, 262_144, 8, "A100", mig_milli=(142, 285, 428, 1000)), NodeSpec("cpu", 64_000, 262_144)]


def holds_eight(seed: int) -> bool:
    """Whether the one node of eight GPUs is free after thirty pieces of work that fit anywhere."""
    small = [NodeSpec(f"n{number}", 32_000, 131_072, 4, "H100") for number in range(8)]
    eight = Shape(64_000, 131_072, 1000, 8)
    fleet = Fleet([*small[:4], NodeSpec("big", 128_000, 524_288, 8, "H100"), *small[4:]])
    placement = build(DEFAULT_POLICY, [(WHOLE, 20.0), (eight, 1.0)], seed)
    for _ in range(30):
        seat = placement.place(fleet, WHOLE)
        assert seat is not None
        fleet.take((seat,), WHOLE)
    return placement.place(fleet, eight) is not None


@pytest.mark.parametrize("name", sorted(POLICIES))
class TestEvery:
    """Each policy."""

    @given(st.lists(st.tuples(st.sampled_from(SHAPES), st.integers(0, 9)), max_size=70), st.integers(0, 3))
    @settings(max_examples=15, deadline=None)
    def test_a_seat_is_free_and_none_is_missed(self, name: str, steps: list[tuple[Shape, int]], seed: int) -> None:
        fleet, placement = Fleet(nodes()), build(name, MIX, seed)
        held: list[tuple[Seat, Shape]] = []
        for shape, roll in steps:
            if roll == 0 and held:
                seat, of = held.pop(0)
                fleet.give((seat,), of)
            if roll == 1:
                fleet.set_fit(0, not fleet.fit[0])
            found = placement.place(fleet, shape)
            assert roll or found == build(name, MIX, seed).place(fleet, shape)
            assert (found is None) == (fleet.copy().room(shape).total == 0)
            if found is not None:
                assert fleet.fit[found.node]
                fleet.take((found,), shape)
                held.append((found, shape))
        for seat, of in held:
            fleet.give((seat,), of)
        assert fleet.used_milli == 0

    def test_the_same_question_has_the_same_answer(self, name: str) -> None:
        answers = []
        for _ in range(2):
            fleet, placement, given = Fleet(nodes()), build(name, MIX, 5), []
            for shape in SHAPES * 4:
                seat = placement.place(fleet, shape)
                assert placement.place(fleet, shape) == seat
                if seat is not None:
                    fleet.take((seat,), shape)
                given.append(seat)
            answers.append(given)
        assert answers[0] == answers[1]

    def test_a_copy_is_placed_on_as_its_origin_would_be(self, name: str) -> None:
        fleet, placement = Fleet(nodes()), build(name, MIX, 1)
        for shape in SHAPES:
            for _ in range(2):
                seat = placement.place(fleet, shape)
                assert seat is not None
                fleet.take((seat,), shape)
            copy = fleet.copy()
            expected = build(name, MIX, 1).place(copy, WHOLE)
            assert placement.place(copy, WHOLE) == expected == placement.place(fleet, WHOLE)

    @pytest.mark.parametrize("shape", SHAPES, ids=words)
    def test_a_gang_is_placed_as_often_as_it_fits(self, name: str, shape: Shape) -> None:
        fleet, placement = Fleet(nodes()), build(name, MIX, 2)
        fleet.take((Seat(0, (1,)), Seat(4, (0,))), SHARES[2])
        free, gang = fleet.gpu_free.copy(), Workload("g", "team", shape, 0.0, 60.0)
        total = fleet.room(shape).total
        seats = placement.place_gang(fleet, gang, total)
        assert seats is not None and len(seats) == total and (fleet.gpu_free == free).all()
        fleet.copy().take(seats, shape)
        assert placement.place_gang(fleet, gang, total + 1) is None

    def test_only_where_it_may(self, name: str) -> None:
        fleet, placement = Fleet(nodes()), build(name, MIX)
        among = np.zeros(len(fleet), np.bool_)
        assert placement.place(fleet, WHOLE, among) is None
        among[2] = True
        found = placement.place(fleet, WHOLE, among)
        assert found is not None and found.node == 2
        old = placement.place(fleet, Shape(1000, 1024, 300, 1, frozenset({"A100"})))
        assert old is not None and old.node == 4
        assert placement.place(fleet, Shape(1000, 1024, 1000, 1, frozenset({"B200"}))) is None

    def test_nodes_that_come_and_go_are_seen(self, name: str) -> None:
        fleet, placement = Fleet(nodes()), build(name, MIX)
        big = Shape(96_000, 1024, 1000, 16)
        assert placement.place(fleet, big) is None
        (added,) = fleet.add([NodeSpec("big", 128_000, 131_072, 16, "H100")])
        assert placement.place(fleet, big) == Seat(added, tuple(range(16)))
        fleet.remove(added)
        assert placement.place(fleet, big) is None

    def test_a_fleet_of_no_nodes(self, name: str) -> None:
        assert build(name, MIX).place(Fleet([]), WHOLE) is None

    def test_it_works_before_anything_is_known_and_while_it_learns(self, name: str) -> None:
        fleet, placement = Fleet(nodes()), build(name)
        for number in range(140):
            shape = SHAPES[number % len(SHAPES)]
            placement.observe(shape)
            seat = placement.place(fleet, shape)
            assert (seat is None) == (fleet.room(shape).total == 0)
            if seat is not None and number % 3:
                fleet.take((seat,), shape)


class TestEach:
    """What one policy prefers."""

    def test_first_fit_goes_by_one_order(self) -> None:
        fleet, placement = Fleet([NodeSpec(f"n{number}", 32_000, 131_072, 4) for number in range(20)]), build("first_fit", seed=3)
        found = []
        for _ in range(80):
            seat = placement.place(fleet, WHOLE)
            assert seat is not None
            fleet.take((seat,), WHOLE)
            found.append(seat.node)
        assert sum(before != after for before, after in pairwise(found)) == 19
        assert found != sorted(found)

    def test_best_fit_fills_and_worst_fit_spreads(self) -> None:
        for name, expected in (("best_fit", Seat(1, (2,))), ("worst_fit", Seat(0, (0,)))):
            fleet = Fleet([NodeSpec("a", 32_000, 131_072, 4), NodeSpec("b", 32_000, 131_072, 4)])
            fleet.take((Seat(1, (2,)), Seat(1, (3,))), SHARES[0])
            fleet.take((Seat(1, (2,)),), SHARES[0])
            assert build(name).place(fleet, SHARES[1]) == expected

    def test_fgd_completes_a_gpu_rather_than_breaking_another(self) -> None:
        fleet, placement = Fleet([NodeSpec("a", 32_000, 131_072, 4), NodeSpec("b", 32_000, 131_072, 4)]), build("fgd", MIX)
        fleet.take((Seat(0, (1,)), Seat(1, (3,))), SHARES[3])
        fleet.take((Seat(0, (2,)),), SHARES[2])
        seat = placement.place(fleet, SHARES[1])
        assert seat is not None and int(fleet.gpu_free[seat.node, seat.gpus[0]]) == 300

    def test_the_default_keeps_scarce_nodes_for_those_that_need_them(self) -> None:
        assert all(holds_eight(seed) for seed in range(5))

    def test_without_scarcity_they_are_broken_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The control of the test above."""
        monkeypatch.setattr(LeastLeftover, "weights", LeastLeftover.weights._replace(scarcity=0.0))
        assert not all(holds_eight(seed) for seed in range(5))

    def test_the_default_puts_work_without_gpus_where_cores_are_to_spare(self) -> None:
        fleet = Fleet([NodeSpec("tight", 16_000, 131_072, 4), NodeSpec("roomy", 64_000, 131_072, 4)])
        for seed in range(5):
            seat = build(DEFAULT_POLICY, MIX, seed).place(fleet, CORES)
            assert seat == Seat(1)


class TestBuild:
    def test_an_unknown_name_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(InvalidInput, match="no placement tetris") as refused:
            build("tetris")
        assert DEFAULT_POLICY in refused.value.remedy and "first_fit" in refused.value.remedy

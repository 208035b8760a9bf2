"""Tests of the inflation experiment on a small synthetic trace: the policies come in the order that is expected of them."""

from statistics import fmean

import numpy as np
import pytest

from benchmarks.scheduling.churn import run
from benchmarks.scheduling.inflation import Trace, fill, inflated
from benchmarks.scheduling.inflation import synthetic as trace
from benchmarks.scheduling.variants import KINDS, simulated
from factory_infra.iaas.scheduling.models import Shape
from factory_infra.iaas.scheduling.placement.rehearsal import leftover


class TestInflation:
    def test_work_arrives_up_to_the_load(self) -> None:
        small = trace()
        asked = sum(shape.milli for shape in inflated(small, 1))
        assert 1.3 * 520_000 <= asked < 1.3 * 520_000 + 8000
        few = Trace("few", small.nodes[:3], small.shapes)
        assert sum(shape.milli for shape in inflated(few, 1)) <= 1.3 * 24_000

    def test_the_policies_come_in_the_expected_order(self) -> None:
        mean = {
            policy: fmean(fill(trace(), policy, seed).levels[130] for seed in (1, 2, 3))
            for policy in ("random", "best_fit", "fgd", "fgd_stranding", "least_leftover")
        }
        assert mean["random"] + 1 < mean["best_fit"] < mean["fgd"] < mean["least_leftover"]
        assert mean["fgd"] < mean["fgd_stranding"]

    def test_a_mix_that_is_learned_is_as_good_as_one_that_is_known(self) -> None:
        known, learned = (fill(trace(), "least_leftover", 1, informed=informed).levels[130] for informed in (True, False))
        assert learned > known - 1.5

    @pytest.mark.parametrize("kind", ["cpu200", "gpushare100", "gpuspec33", "multigpu50"])
    def test_simulated_lists_are_of_the_documented_kind(self, kind: str) -> None:
        small = trace()
        found = simulated(kind, small.shapes, small.nodes)
        milli = sum(shape.milli for shape in found)
        shown = {
            "cpu200": sum(not shape.gpus for shape in found) / len(found),
            "gpushare100": sum(shape.milli for shape in found if shape.gpu_milli < 1000) / milli,
            "gpuspec33": sum(bool(shape.models) for shape in found) / sum(bool(shape.gpus) for shape in found),
            "multigpu50": sum(shape.milli for shape in found if shape.gpus > 1) / milli,
        }
        assert shown[kind] == pytest.approx({"cpu200": 0.2, "gpushare100": 1.0, "gpuspec33": 0.33, "multigpu50": 0.5}[kind], abs=0.1)
        assert kind in KINDS


class TestChurn:
    def test_what_comes_and_goes_leaves_nothing_behind(self) -> None:
        found = run(trace().nodes, trace().shapes, "first_fit", 0.5, 1)
        assert 40 < found.allocated < 60 and found.gave_up == 0


class TestRehearsal:
    def test_what_no_share_can_use_is_lost_and_a_whole_gpu_is_not(self) -> None:
        table = leftover([(Shape(1, 1, 810, 1), 1.0), (Shape(1, 1, 1000, 1), 1.0)])
        assert table[1000] == table[0] == 0
        assert table[190] == pytest.approx(190) and table[500] == pytest.approx(500)
        assert table[810] < 810

    def test_shares_that_complete_each_other_leave_little(self) -> None:
        table = leftover([(Shape(1, 1, 500, 1), 1.0)])
        assert table[500] < 20 < table[400]

    def test_without_gpus_in_the_mix(self) -> None:
        table = leftover([(Shape(1, 1), 1.0)])
        assert table[1000] == 0 and np.allclose(table[:991], np.arange(991.0))

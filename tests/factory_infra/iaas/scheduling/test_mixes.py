"""Philly-like mixes: the same from the same seed, and of the load that was asked for."""

from collections import Counter

import numpy as np
import pytest

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.mixes import Mix, estimated, fleet, philly_like, with_deadlines


class TestPhillyLike:
    def test_a_seed_gives_the_same_and_another_gives_others(self) -> None:
        mix = Mix(nodes=4, hours=24)
        assert philly_like(mix, 3) == philly_like(mix, 3)
        assert philly_like(mix, 3) != philly_like(mix, 4)

    def test_the_load_is_what_was_asked_for(self) -> None:
        mix = Mix(nodes=32, hours=24 * 30, load=1.1)
        found = philly_like(mix, 1)
        gpu_seconds = sum(each.workload.milli / 1000 * each.actual_seconds for each in found)
        assert gpu_seconds / (32 * 8 * mix.hours * 3600) == pytest.approx(1.1, rel=0.01)

    def test_sizes_queues_and_order(self) -> None:
        found = philly_like(Mix(nodes=32, hours=24 * 30), 2)
        sizes = Counter(each.workload.milli // 1000 for each in found)
        assert sizes[1] / len(found) == pytest.approx(0.7, abs=0.03)
        assert max(sizes) > 8
        assert len({each.workload.queue for each in found}) == 14
        times = [each.workload.submitted_at for each in found]
        assert times == sorted(times)
        assert max(times) < 24 * 30 * 3600
        biggest = max(node.gpus for node in fleet(Mix(nodes=32)))
        assert all(each.workload.shape.gpus <= biggest for each in found)

    def test_small_fleets_get_small_jobs(self) -> None:
        found = philly_like(Mix(nodes=1, node_gpus=2, hours=24 * 7), 1)
        assert max(each.workload.milli for each in found) <= 2000

    def test_estimates_spread_about_the_truth(self) -> None:
        found = estimated(philly_like(Mix(nodes=32, hours=24 * 30), 1), 0.5, seed=5)
        logs = np.log([each.workload.seconds / each.actual_seconds for each in found if each.actual_seconds > 600])
        assert abs(float(np.median(logs))) < 0.05
        assert float(np.std(logs)) == pytest.approx(0.5, abs=0.05)

    def test_deadlines_can_be_kept(self) -> None:
        found = with_deadlines(philly_like(Mix(nodes=8), 1), 0.5)
        with_one = [each for each in found if each.workload.deadline_at is not None]
        assert 0.4 < len(with_one) / len(found) < 0.6
        assert all((each.workload.deadline_at or 0) > each.workload.submitted_at + each.actual_seconds for each in with_one)

    @pytest.mark.parametrize("fields", [{"nodes": 0}, {"load": -1}, {"hours": 0}, {"ended_early": 2}, {"day_swing": 1}, {"queues": 0}])
    def test_a_mix_that_cannot_be_is_refused(self, fields: dict[str, float]) -> None:
        with pytest.raises(InvalidInput, match=next(iter(fields))):
            philly_like(Mix(**fields))  # type: ignore[arg-type]

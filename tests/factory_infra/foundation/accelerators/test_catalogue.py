"""One name for what drivers, engines and people call an accelerator."""

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.foundation.accelerators.catalogue import ACCELERATORS, normalise, types_named


class TestNormalise:
    @pytest.mark.parametrize(
        ("said", "type_"),
        [
            ("NVIDIA H100 80GB HBM3", "H100"),
            ("NVIDIA-H100-80GB-HBM3", "H100"),
            ("nvidia_h100_80gb_hbm3", "H100"),
            ("gpu:h100", "H100"),
            ("h100:8", "H100"),
            ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", "H100"),
            ("NVIDIA H200", "H200"),
            ("NVIDIA B200", "B200"),
            ("NVIDIA A100-SXM4-80GB", "A100-80GB"),
            ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
            ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "A100-40GB"),
            ("gpu:a100_80gb", "A100-80GB"),
            ("NVIDIA L4", "L4"),
            ("NVIDIA L40S", "L40S"),
            ("Trainium", "Trainium1"),
            ("Trainium2", "Trainium2"),
            ("trn1n", "Trainium1"),
            ("Inferentia2", "Inferentia2"),
            ("NVIDIA L40", ""),
            ("Tesla T4", ""),
            ("GPU-deadbeef", ""),
            ("", ""),
        ],
    )
    def test_every_way_to_say_it(self, said: str, type_: str) -> None:
        assert normalise(said) == type_

    def test_an_a100_is_told_apart_by_its_memory(self) -> None:
        assert normalise("A100", 79.2) == "A100-80GB"
        assert normalise("A100", 39.6) == "A100-40GB"
        assert normalise("A100") == "A100-40GB"

    @pytest.mark.parametrize("type_", ACCELERATORS)
    def test_our_own_names_mean_themselves(self, type_: str) -> None:
        assert normalise(type_) == type_


class TestNames:
    def test_a100_means_both(self) -> None:
        assert types_named("a100") == ("A100-40GB", "A100-80GB")
        assert types_named("A100-80GB") == ("A100-80GB",)

    @pytest.mark.parametrize(("said", "near"), [("H1000", "H100"), ("l4s", "L40S"), ("Traninium2", "Trainium2")])
    def test_an_unknown_name_comes_back_with_those_near_it(self, said: str, near: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            types_named(said)
        assert refused.value.error_code == "accelerator_unknown" and near in refused.value.remedy

    def test_nothing_near_lists_what_there_is(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            types_named("zzzzz")
        assert all(name in refused.value.remedy for name in ACCELERATORS)


def test_profiles_of_mig_are_where_an_accelerator_can_be_cut() -> None:
    assert "1g.10gb" in ACCELERATORS["H100"].mig_profiles and ACCELERATORS["H100"].mig
    assert not ACCELERATORS["L4"].mig and ACCELERATORS["Trainium2"].kind == "neuron"

"""Versions against a declared baseline."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.foundation.validation.baseline import Baseline, baseline_of, compare, load_baseline, parts, write_baseline
from factory_infra.foundation.validation.models import Component, ComponentName, Drift, Stack


def stack(**versions: str | None) -> Stack:
    components = [Component.model_validate({"name": name, "version": version}) for name, version in versions.items()]
    return Stack(host="node-1", at=datetime.now(UTC), components=components)


def drift(wanted: dict[str, object], name: ComponentName = "driver", found: str | None = "550.54.15") -> list[Drift]:
    return compare(stack(**{name: found}), Baseline.model_validate({"software": {name: wanted}}))


class TestCompare:
    @pytest.mark.parametrize(
        "wanted",
        [
            {"exact": "550.54.15"},
            {"min": "550"},
            {"min": "535.10", "max": "550"},
            {"max": "550.54"},
        ],
    )
    def test_what_fits_is_no_drift(self, wanted: dict[str, object]) -> None:
        assert drift(wanted) == []

    @pytest.mark.parametrize(
        ("wanted", "words"),
        [
            ({"exact": "550.54.14"}, "550.54.14"),
            ({"min": "550.90"}, "at least 550.90"),
            ({"min": "400", "max": "549"}, "at least 400 and at most 549"),
            ({"absent": True}, "absent"),
        ],
    )
    def test_what_does_not_is_told_with_a_remedy(self, wanted: dict[str, object], words: str) -> None:
        [found] = drift(wanted)
        assert (found.component, found.wanted, found.found, found.severity) == ("driver", words, "550.54.15", "error")
        assert found.remedy

    def test_numbers_are_compared_as_numbers(self) -> None:
        assert drift({"min": "9.9.9"}, "kernel", "10.0.1") == []
        assert parts("6.18.44-fc-v669") == (6, 18, 44)

    def test_what_is_absent_drifts_unless_it_is_optional(self) -> None:
        assert [each.reason for each in drift({"exact": "1.0"}, "efa", None)] == ["efa is absent; 1.0 is wanted."]
        assert drift({"exact": "1.0", "optional": True}, "efa", None) == []
        assert drift({"absent": True}, "docker", None) == []

    def test_the_worst_is_told_first(self) -> None:
        rules = {
            "software": {
                "docker": {"exact": "1.0", "severity": "info"},
                "nccl": {"exact": "2.0"},
                "cuda": {"exact": "9.0", "severity": "warning"},
            }
        }
        found = compare(stack(docker="2.0", nccl="3.0", cuda="8.0"), Baseline.model_validate(rules))
        assert [each.severity for each in found] == ["error", "warning", "info"]


class TestFile:
    def test_one_from_a_node_wants_what_it_has(self, tmp_path: Path) -> None:
        node, file = stack(driver="550.54.15", kernel="6.8.0-45-generic", efa=None), tmp_path / "baselines" / "gpus.yaml"
        write_baseline(file, baseline_of(node))
        read = load_baseline(file)
        assert read is not None
        assert compare(node, read) == []
        assert [each.component for each in compare(stack(driver="551.0", kernel="6.8.0-45-generic"), read)] == ["driver"]
        assert "efa" not in read.software

    def test_without_a_file_there_is_none(self, tmp_path: Path) -> None:
        assert load_baseline(tmp_path / "none.yaml") is None

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("software: {driver: {exact: '1.0', min: '1.0'}}", "say one of"),
            ("software: {driver: {min: '3', max: '2'}}", "min 3 is above max 2"),
            ("software: {graphics: {exact: '1'}}", "software.graphics"),
            ("software: {driver: {equals: '1'}}", "software.driver"),
            ("burn_in: {share: 2}", "burn_in.share"),
            ("surprise: 1", "surprise"),
            ("software: [", "no YAML"),
            ("- 1", "baseline x.yaml"),
        ],
    )
    def test_a_wrong_one_names_the_field(self, text: str, told: str, tmp_path: Path) -> None:
        file = tmp_path / "x.yaml"
        file.write_text(text)
        with pytest.raises(InvalidInput) as raised:
            load_baseline(file)
        assert told in raised.value.reason
        assert raised.value.error_code == "baseline_invalid"

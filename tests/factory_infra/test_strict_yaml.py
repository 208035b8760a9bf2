"""Tests of YAML read strictly."""

import pytest
import yaml

from factory_infra.strict_yaml import load_strict


def test_plain_values_are_read() -> None:
    assert load_strict("a: [1, {b: x}]") == {"a": [1, {"b": "x"}]}
    assert load_strict("") is None


@pytest.mark.parametrize("text", ["a: 1\na: 2", "a:\n  b: 1\n  b: 1", "- {a: 1, a: 2}"])
def test_a_key_that_is_given_twice_is_refused_with_its_place(text: str) -> None:
    assert yaml.safe_load(text) is not None, "the library itself takes the second"
    with pytest.raises(yaml.MarkedYAMLError, match="is given twice") as raised:
        load_strict(text)
    assert raised.value.problem_mark is not None


def test_no_object_is_built() -> None:
    with pytest.raises(yaml.YAMLError):
        load_strict("!!python/object/apply:os.getcwd []")
